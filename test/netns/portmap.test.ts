import t from "tap";
import { addressOf, FULL } from "./bridge-fixture.ts";
import { HOSTED, type Node } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";
import type { ConfList } from "./harness/runtime.ts";
import { startUnderlay } from "./harness/underlay.ts";
import { Talker } from "./talker.ts";

const list = (keys: object = {}, version = "1.0.0"): ConfList => ({
  cniVersion: version,
  name: "test",
  plugins: [
    { ...FULL, hairpinMode: true },
    { type: "portmap", capabilities: { portMappings: true }, ...keys },
  ].map(({ cniVersion: _, name: __, ...plugin }: Record<string, unknown>) => plugin),
});

interface Mapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol?: string;
  readonly hostIP?: string;
}

const both = (hostPort: number, containerPort = 80, hostIP?: string): Mapping[] =>
  ["tcp", "udp"].map((protocol) => ({ hostPort, containerPort, protocol, ...(hostIP && { hostIP }) }));

const enterPod = (pod: Pod) => [...pod.node.enter, "ip", "netns", "exec", pod.containerId];

async function publish(node: Node, pod: Pod, mappings: readonly Mapping[], conf = list()): Promise<[string, string]> {
  const called = await node.runtime.add(conf, pod, { runtimeConfig: { portMappings: mappings } });
  if (called.code !== 0) throw new Error(called.stdout);
  const result = { interfaces: [], ips: [], routes: [], ...called.json } as unknown as Parameters<typeof addressOf>[0];
  return [addressOf(result, 4), addressOf(result, 6)];
}

t.test("portmap: a port of the node leads to the pod for everybody, in both families", async (t) => {
  const { hub, nodes, addressesOf } = await startUnderlay(t, 1);
  const [node] = nodes;
  if (node === undefined) throw new Error("no node");
  const [four, six] = addressesOf(0);
  const [red, blue] = [await node.pod("red"), await node.pod("blue")];
  const [red4, red6] = await publish(node, red, [
    ...both(8080),
    ...both(8081, 80, "127.0.0.1"),
    ...both(8082, 80, four),
  ]);
  const [blue4] = await publish(node, blue, both(8090));
  const outside = await Talker.start(t, hub.enter, "outside");
  const local = await Talker.start(t, node.enter, "node", [8083]);
  const inRed = await Talker.start(t, enterPod(red), "red", [80]);
  const inBlue = await Talker.start(t, enterPod(blue), "blue", [80]);

  for (const protocol of ["tcp", "udp"] as const) {
    await t.test(`from outside by ${protocol}`, async (t) => {
      t.equal(await outside.ask(four, 8080, { protocol }), "red 192.168.77.1");
      t.equal(await outside.ask(six, 8080, { protocol }), "red fd77::1");
      t.equal(await outside.ask(four, 8082, { protocol }), "red 192.168.77.1", "the port of one address");
      t.match(await outside.ask(six, 8082, { protocol, expectSilence: true }), /ECONNREFUSED|silence/);
    });
    await t.test(`P8: the node itself, at its own and at the loopback addresses, by ${protocol}`, async (t) => {
      t.equal(await local.ask(four, 8080, { protocol }), `red ${four}`);
      t.equal(await local.ask(six, 8080, { protocol }), `red ${six}`);
      t.equal(await local.ask("127.0.0.1", 8080, { protocol }), "red 10.22.0.1");
      t.equal(await local.ask("::1", 8080, { protocol }), "red fd00:22::1");
      t.equal(await local.ask("127.0.0.1", 8081, { protocol }), "red 10.22.0.1", "a port of the loopback alone");
      t.match(await local.ask(four, 8081, { protocol, expectSilence: true }), /ECONNREFUSED|silence/);
      t.equal(await local.ask("127.0.0.1", 8083, { protocol }), "node 127.0.0.1", "others are as before");
    });
    // With br_netfilter a packet between neighbours takes another way through the node.
    for (const bridged of [1, 0])
      await t.test(`the pod itself and its neighbour by ${protocol}`, async (t) => {
        await node.sh(
          `cd /proc/sys/net/bridge 2>/dev/null || exit 0; for f in ip ip6; do echo ${bridged} > bridge-nf-call-$\{f}tables; done`,
        );
        t.equal(await inRed.ask(four, 8080, { protocol }), "red 10.22.0.1", "it must not see its own address");
        t.equal(await inRed.ask(six, 8080, { protocol }), "red fd00:22::1");
        t.equal(await inBlue.ask(four, 8080, { protocol }), "red 10.22.0.1", "or would answer directly");
        t.equal(await inBlue.ask(six, 8080, { protocol }), "red fd00:22::1");
        t.equal(await inRed.ask(four, 8090, { protocol }), "blue 10.22.0.1");
        t.equal(
          await inBlue.ask(red4, 80, { protocol }),
          `red ${blue4}`,
          "neighbours that ask directly are not hidden",
        );
      });
  }

  await t.test("P8: route_localnet stays off, and a neighbour on the wire does not get at the loopback", async (t) => {
    t.equal((await node.sh("cat /proc/sys/net/ipv4/conf/*/route_localnet | sort -u")).trim(), "0");
    // What the hub sends to 198.51.100.1 arrives at the node's link as if for 127.0.0.1.
    const mac = JSON.parse(await node.sh("ip -j link show eth0"))[0].address;
    await hub.sh(`ip neigh replace 192.168.77.201 lladdr ${mac} dev under
      ip route add 198.51.100.1 via 192.168.77.201
      nft 'table ip forge { chain out { type filter hook postrouting priority 300; ip daddr 198.51.100.1 ip daddr set 127.0.0.1; }; }'`);
    await node.sh(
      `nft 'table ip watch { chain passing { type filter hook forward priority 0; ip saddr 192.168.77.1 udp dport 80 counter; }; }
      table ip arrive { chain arriving { type filter hook prerouting priority -400; iifname eth0 ip daddr 127.0.0.1 counter; }; }'`,
    );
    const count = async (table: string) =>
      Number(/packets (\d+)/.exec(await node.sh(`nft list table ip ${table}`))?.[1]);
    t.equal(await outside.ask("198.51.100.1", 8081, { protocol: "udp", expectSilence: true }), "silence");
    t.ok((await count("arrive")) > 0, "it came");
    t.equal(await count("watch"), 0, "and went no further");
    t.equal(await outside.ask(four, 8080, { protocol: "udp" }), "red 192.168.77.1");
    t.ok((await count("watch")) > 0, "this one did");
    t.equal(await local.ask("127.0.0.1", 8081, { protocol: "udp" }), "red 10.22.0.1", "whom the port is for");
  });

  await t.test(
    "CHECK sees that all is there; DEL without anything takes all away; a second DEL is no error",
    async (t) => {
      const mappings = [...both(8080), ...both(8081, 80, "127.0.0.1"), ...both(8082, 80, four)];
      const options = { runtimeConfig: { portMappings: mappings } };
      t.equal((await node.runtime.check(list(), red, options))?.code, 0);
      await node.sh("nft delete element inet podwire portmap_any4 { tcp . 8080 }");
      const checked = await node.runtime.check(list(), red, options);
      t.match(checked?.json, { code: 100, msg: /port 8080\/tcp \(IPv4\) is not this attachment's/ });
      for (const _ of [1, 2]) {
        const bare = await node.runtime.call(
          "DEL",
          undefined,
          { type: "portmap", cniVersion: "1.0.0", name: "test" },
          {
            CNI_CONTAINERID: red.containerId,
            CNI_IFNAME: "eth0",
          },
        );
        t.equal(bare.code, 0, bare.stdout);
      }
      const left = await node.sh("nft list table inet podwire");
      for (const address of [red4, red6]) t.notOk(left.includes(`${address} . `), "in no map of portmap's");
      t.match(await outside.ask(four, 8080, { expectSilence: true }), /ECONNREFUSED|silence/);
      t.equal(await outside.ask(four, 8090), "blue 192.168.77.1", "the others' are left");
    },
  );
});

t.test("portmap: what is tracked, conditions, several owners, GC", async (t) => {
  const { hub, nodes, addressesOf } = await startUnderlay(t, 1);
  const [node] = nodes;
  if (node === undefined) throw new Error("no node");
  const [four, six] = addressesOf(0);
  const [red, blue, green] = [await node.pod("red"), await node.pod("blue"), await node.pod("green")];
  const outside = await Talker.start(t, hub.enter, "outside");
  const udp = (hostPort: number): Mapping => ({ hostPort, containerPort: 80, protocol: "udp" });
  const inRed = await Talker.start(t, enterPod(red), "red", [80]);
  await Talker.start(t, enterPod(blue), "blue", [80, 81]);

  await t.test("P9: who keeps sending from one UDP port reaches the pod that has the port now", async (t) => {
    const steady = { protocol: "udp", from: 5555 } as const;
    for (const address of [four, six]) {
      t.match(
        await outside.ask(address, 9000, { ...steady, expectSilence: true }),
        /ECONNREFUSED|silence/,
        "nobody's yet",
      );
    }
    await publish(node, red, [udp(9000)]);
    for (const address of [four, six]) t.match(await outside.ask(address, 9000, steady), /^red /);
    t.equal((await node.runtime.del(list(), red))?.code, 0);
    await publish(node, blue, [udp(9000), ...both(9001), { hostPort: 9002, containerPort: 81 }]);
    for (const address of [four, six]) t.match(await outside.ask(address, 9000, steady), /^blue /);
  });

  await t.test("P7: conditions are for their owner's mappings alone", async (t) => {
    const conditions = { conditionsV4: ["!", "-s", "192.168.77.0/24"], conditionsV6: ["-d", "fd77::99"] };
    await publish(node, red, both(9100), list(conditions));
    t.match(await outside.ask(four, 9100, { expectSilence: true }), /ECONNREFUSED|silence/);
    t.match(await outside.ask(six, 9100, { expectSilence: true }), /ECONNREFUSED|silence/);
    t.match(await inRed.ask(four, 9100), "red 10.22.0.1", "the source is not one of the excluded");
    t.equal(await outside.ask(four, 9001), "blue 192.168.77.1");
    t.equal(await outside.ask(four, 9002), "blue 192.168.77.1");
  });

  await t.test("a port that another attachment has is refused, and says whose it is", async (t) => {
    const refused = await node.runtime.add(list(), green, { runtimeConfig: { portMappings: both(9001) } });
    t.match(refused.json, { code: 11, msg: /port 9001\/tcp \(IPv4\) is taken by "eth0" of container blue-/ });
    t.equal((await node.runtime.del(list(), green))?.code, 0);
    const overlapping = list({ conditionsV4: ["-s", "10.0.0.0/8"] });
    const also = await node.runtime.add(overlapping, green, { runtimeConfig: { portMappings: both(9100) } });
    t.match(also.json, { code: 11, msg: /port 9100\/tcp \(IPv4\) is taken by "eth0" of container red-/ });
    t.equal((await node.runtime.del(list(), green))?.code, 0);
    t.equal(await outside.ask(four, 9001), "blue 192.168.77.1");
  });

  await t.test("P7: two attachments of one container", async (t) => {
    const second = { ifName: "net1", runtimeConfig: { portMappings: both(9200) } };
    t.equal((await node.runtime.add(list(), red, second)).code, 0);
    t.equal(await outside.ask(four, 9200), "red 192.168.77.1");
    t.equal((await node.runtime.del(list(), red))?.code, 0);
    t.equal(await outside.ask(four, 9200), "red 192.168.77.1", "still");
    t.equal((await node.runtime.del(list(), red, { ifName: "net1" }))?.code, 0);
    t.match(await outside.ask(four, 9200, { expectSilence: true }), /ECONNREFUSED|silence/);
  });

  await t.test(
    "GC removes those that are not valid, with the namespace gone too, and leaves other networks alone",
    async (t) => {
      const other = {
        ...list(),
        name: "other",
        plugins: list().plugins.map((p) =>
          "capabilities" in p ? p : { ...p, bridge: "cni1", ipam: { type: "host-local", subnet: "10.33.0.0/24" } },
        ),
      };
      await publish(node, red, both(9300));
      t.equal((await node.runtime.add(other, green, { runtimeConfig: { portMappings: both(9400) } })).code, 0);
      await red.deleteNetns();
      t.equal((await node.runtime.gc(list({}, "1.1.0"), [blue]))?.code, 0);
      const mapped = await node.sh("nft list map inet podwire portmap_any4");
      t.notMatch(mapped, /9300/);
      for (const port of [/9001/, /9400/]) t.match(mapped, port);
      t.equal((await node.runtime.gc(list({}, "1.1.0"), []))?.code, 0);
      t.equal((await node.runtime.del(other, green))?.code, 0);
      t.equal((await node.runtime.gc({ ...other, cniVersion: "1.1.0" }, []))?.code, 0);
      t.notMatch(await node.sh("nft list tables"), /inet podwire/, "the last one takes the table away");
      t.equal((await node.sh("find /run/podwire/elements -type f")).trim(), "");
    },
  );
});

// What an agent sends shows in no call of its.
if (!HOSTED) {
  t.test("portmap: an ADD and a DEL cost the same with 5,000 mappings of others", async (t) => {
    const { nodes } = await startUnderlay(t, 1);
    const [node] = nodes;
    if (node === undefined) throw new Error("no node");
    const [red, blue] = [await node.pod("red"), await node.pod("blue")];
    await publish(node, red, both(8000));
    const [{ address }] = [{ address: "10.22.0.77/16" }];
    const conf = {
      type: "portmap",
      cniVersion: "1.0.0",
      name: "test",
      runtimeConfig: { portMappings: both(9000) },
      prevResult: {
        cniVersion: "1.0.0",
        interfaces: [{ name: "eth0", sandbox: blue.netns }],
        ips: [{ address, interface: 0 }],
      },
    };
    const messages = async (verb: "ADD" | "DEL") => {
      const { code, stderr } = await node.cni(verb, blue, conf, { NLDEBUG: "1" });
      t.equal(code, 0);
      return stderr.split("\n").filter((line) => /->|<-/.test(line)).length;
    };
    const before = [await messages("ADD"), await messages("DEL")];
    const others = Array.from(
      { length: 5000 },
      (_, i) => `tcp . ${10_000 + i} comment "someone else" : 10.22.1.1 . 80`,
    );
    await node.runOk(["nft", "-f", "-"], { input: `add element inet podwire portmap_any4 { ${others.join(", ")} }` });
    t.strictSame([await messages("ADD"), await messages("DEL")], before);
    t.ok(
      before.every((count) => count > 4),
      `something was counted: ${before.join(", ")}`,
    );
  });
}
