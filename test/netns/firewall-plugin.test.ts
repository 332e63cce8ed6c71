import t from "tap";
import { addressOf, FULL } from "./bridge-fixture.ts";
import { eventually } from "./harness/eventually.ts";
import { HOSTED, type Node, startNode, startPluginHost } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";
import type { CallOptions, ConfList } from "./harness/runtime.ts";
import { Talker } from "./talker.ts";

/** As podman writes it, which knows no newer version: bridge, portmap, firewall, tuning; here without the last. */
function network(name: string, keys: object = {}, version = "0.4.0"): ConfList {
  const n = name.charCodeAt(0) - "a".charCodeAt(0) + 1;
  const ranges = [[{ subnet: `10.3${n}.0.0/24` }], [{ subnet: `fd00:3${n}::/64` }]];
  return {
    cniVersion: version,
    name,
    plugins: [
      {
        type: "bridge",
        bridge: `br-${name}`,
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: { type: FULL.ipam.type, routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }], ranges },
      },
      { type: "portmap", capabilities: { portMappings: true } },
      { type: "firewall", backend: "", ...keys },
    ],
  };
}

interface Placed {
  readonly pod: Pod;
  readonly addresses: readonly [string, string];
  readonly talker: Talker;
}

async function place(node: Node, name: string, conf: ConfList, options: CallOptions = {}): Promise<Placed> {
  const pod = await node.pod(name);
  const { code, stdout, json } = await node.runtime.add(conf, pod, options);
  if (code !== 0) throw new Error(stdout);
  const result = { interfaces: [], ips: [], routes: [], ...json } as unknown as Parameters<typeof addressOf>[0];
  const enter = [...node.enter, "ip", "netns", "exec", pod.containerId];
  return {
    pod,
    addresses: [addressOf(result, 4), addressOf(result, 6)],
    talker: await Talker.start(node, enter, name, [80]),
  };
}

const DROPPED = "silence";

async function reached(from: Placed, to: Placed, expected: boolean): Promise<readonly string[]> {
  return await Promise.all(to.addresses.map((each) => from.talker.ask(each, 80, { expectSilence: !expected })));
}

t.test("firewall: networks closed to one another, an administrator's chain, and DEL without anything", async (t) => {
  const node = await startNode(t);
  const closed = { ingressPolicy: "same-bridge" };
  const [a, b, open] = [network("a", closed), network("b", closed), network("c")];
  const [red, rose] = [await place(node, "red", a), await place(node, "rose", a)];
  const blue = await place(node, "blue", b);
  const green = await place(node, "green", open);

  await t.test("same-bridge: the own network, and those that have no policy, in both families", async (t) => {
    for (const bridged of [1, 0]) {
      await node.sh(
        `cd /proc/sys/net/bridge 2>/dev/null || exit 0; echo ${bridged} | tee bridge-nf-call-iptables > bridge-nf-call-ip6tables`,
      );
      t.strictSame(
        await reached(red, rose, true),
        red.addresses.map((each) => `rose ${each}`),
      );
    }
    t.strictSame(await reached(red, blue, false), [DROPPED, DROPPED]);
    t.strictSame(await reached(blue, red, false), [DROPPED, DROPPED]);
    t.ok((await reached(green, red, true)).every((answer) => answer.startsWith("red ")));
    t.ok((await reached(red, green, true)).every((answer) => answer.startsWith("green ")));
  });

  await t.test("what the administrator's chain accepts passes, and what it drops does not", async (t) => {
    await node.sh(`nft add rule inet podwire CNI-ADMIN ip daddr ${blue.addresses[0]} accept
      nft add rule inet podwire CNI-ADMIN ip saddr ${blue.addresses[0]} accept
      nft add rule inet podwire CNI-ADMIN ip daddr ${green.addresses[0]} drop`);
    t.equal((await red.talker.ask(blue.addresses[0], 80)).split(" ")[0], "blue", "before the policy is asked");
    t.equal(await red.talker.ask(green.addresses[0], 80, { expectSilence: true }), DROPPED);
    const extra = await place(node, "extra", open);
    t.equal(await red.talker.ask(green.addresses[0], 80, { expectSilence: true }), DROPPED, "no ADD empties it");
    const named = await node.pod("named");
    t.equal((await node.runtime.add(network("c", { iptablesAdminChainName: "MY-OWN" }), named)).code, 0);
    t.match(await node.sh("nft list map inet podwire firewall_pods4"), /jump MY-OWN/);
    t.equal((await node.runtime.del(open, named))?.code, 0);
    t.equal((await node.runtime.del(open, extra.pod))?.code, 0);
    await node.sh("nft flush chain inet podwire CNI-ADMIN");
  });

  await t.test("P14: CHECK names what is missing", async (t) => {
    t.equal((await node.runtime.check(a, red.pod))?.code, 0);
    await node.sh(`nft delete element inet podwire firewall_pods4 { ${red.addresses[0]} }
      nft delete element inet podwire firewall_bridges { "br-a" }`);
    const said = await node.runtime.check(a, red.pod);
    t.match(said?.json, { code: 100, msg: new RegExp(`${red.addresses[0]} is not this attachment's`) });
    t.match(said?.json, { msg: /ingressPolicy: "same-bridge" is not in force for bridge br-a/ });
  });

  await t.test("P3, P12: DEL needs neither prevResult nor namespace; GC takes the rest", async (t) => {
    for (const { pod } of [rose, rose]) {
      const called = await node.runtime.call(
        "DEL",
        undefined,
        { type: "firewall", cniVersion: "0.4.0", name: "a", backend: "nonsense" },
        { CNI_CONTAINERID: pod.containerId, CNI_IFNAME: "eth0" },
      );
      t.equal(called.code, 0, called.stdout);
    }
    const left = await node.sh("nft list map inet podwire firewall_pods4; nft list map inet podwire firewall_pods6");
    for (const address of rose.addresses) t.notOk(left.includes(`${address} `));
    t.ok(left.includes(red.addresses[1]), "the others' are left");
    for (const [conf, placed] of [
      [a, red],
      [a, rose],
      [b, blue],
      [open, green],
    ] as const) {
      t.equal((await node.runtime.del(conf, placed.pod))?.code, 0);
    }
    for (const conf of [a, b, open]) t.equal((await node.runtime.gc({ ...conf, cniVersion: "1.1.0" }, []))?.code, 0);
    const named = { ...network("c", { iptablesAdminChainName: "MY-OWN" }), cniVersion: "1.1.0" };
    t.equal((await node.runtime.gc(named, []))?.code, 0);
    t.notMatch(await node.sh("nft list tables"), /podwire/);
  });

  await t.test("isolated: not even the own network, with br_netfilter and without", async (t) => {
    const isolated = network("d", { ingressPolicy: "isolated" }, "1.0.0");
    const ports = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] } };
    const one = await place(node, "one", isolated, ports);
    const two = await place(node, "two", isolated);
    for (const bridged of [1, 0]) {
      await node.sh(
        `cd /proc/sys/net/bridge 2>/dev/null || exit 0; echo ${bridged} | tee bridge-nf-call-iptables > bridge-nf-call-ip6tables`,
      );
      for (const answer of await reached(two, one, false)) t.match(answer, /silence|EHOSTUNREACH/);
    }
    const local = await Talker.start(t, node.enter, "node");
    t.equal((await local.ask(one.addresses[0], 80)).split(" ")[0], "one", "the node reaches it");
    t.equal((await local.ask("127.0.0.1", 8080)).split(" ")[0], "one", "and its ports");
  });

  await t.test("what cannot be is refused", async (t) => {
    const pod = await node.pod("wrong");
    const call = (keys: object) =>
      node.cni("ADD", pod, { type: "firewall", prevResult: { cniVersion: "1.0.0", ips: [] }, ...keys });
    t.match((await call({ ingressPolicy: "same-bridge" })).json, { code: 7, msg: /is about a bridge/ });
    t.match((await call({ ingressPolicy: "shut" })).json, { code: 7, msg: /ingressPolicy: "shut" is not one of/ });
    t.match((await call({ iptablesAdminChainName: "a b" })).json, { code: 7, msg: /cannot be the name of a chain/ });
    t.match((await call({ iptablesAdminChainName: "firewall_forward" })).json, { code: 7, msg: /podwire's own/ });
    t.match((await call({ iptablesAdminChainName: "accept" })).json, { code: 7, msg: /cannot be a chain of table/ });
    t.match((await call({ prevResult: undefined })).json, { code: 7, msg: /prevResult is missing/ });
  });
});

t.test("P10: rules of pods that somebody flushes come back by the agent", async (t) => {
  const node = await startNode(t);
  if (!HOSTED) await startPluginHost(node);
  const closed = { ingressPolicy: "isolated" };
  const options = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] } };
  const red = await place(node, "red", network("a", closed), options);
  const blue = await place(node, "blue", network("b", { iptablesAdminChainName: "OTHER" }), {});
  const gone = await place(node, "gone", network("b"), {});
  t.equal((await node.runtime.del(network("b"), gone.pod))?.code, 0);
  const local = await Talker.start(t, node.enter, "node");
  const elements = async () => {
    const sets = [
      "map inet podwire portmap_any4",
      "map inet podwire firewall_pods4",
      "set inet podwire firewall_bridges",
    ];
    const lines = await node.sh(
      [...sets, "set bridge podwire firewall_isolated"].map((set) => `nft list ${set}`).join(";"),
    );
    return [...lines.matchAll(/comment/g)].length;
  };
  t.equal(await elements(), 5);
  for (const damage of ["delete table inet podwire", "flush ruleset"]) {
    await node.sh(`nft ${damage}`);
    await eventually(async () => (await elements()) === 5, `after ${damage}`);
    t.equal(await local.ask("127.0.0.1", 8080), `red 10.31.0.1`, damage);
    const conf = network("a", closed);
    const behindBridge = { ...conf, plugins: conf.plugins.slice(1) };
    t.equal((await node.runtime.check(behindBridge, red.pod, options))?.code, 0);
  }
  t.match(await node.sh("nft list map inet podwire firewall_pods4"), new RegExp(`${blue.addresses[0]} .*jump OTHER`));
});
