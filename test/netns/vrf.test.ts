import t from "tap";
import { VERSIONS } from "../../cni/version.ts";
import { type Attached, attach, result } from "./bridge-fixture.ts";
import { lackingFeatures, needs } from "./harness/full-kernel.ts";
import { type Called, type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const VRF = { type: "vrf", cniVersion: "1.1.0", name: "red", vrfname: "blue" } as const;

/** An interface on a bridge of its own, with a default route of each family. */
function joinNetwork(node: Node, pod: Pod, ifName: string, number: number): Promise<Attached> {
  const ranges = [[{ subnet: `10.${number}.0.0/24` }], [{ subnet: `fd00:${number}::/64` }]];
  const conf = { type: "bridge", cniVersion: "1.1.0", name: "red", bridge: `br${number}`, isDefaultGateway: true };
  return attach(node, pod, { ...conf, ipam: { type: "host-local", ranges } }, { CNI_IFNAME: ifName });
}

function call(node: Node, verb: "ADD" | "DEL" | "CHECK", pod: Pod, keys: object, ifName = "eth0"): Promise<Called> {
  return node.cni(verb, pod, { ...VRF, ...keys }, { CNI_IFNAME: ifName });
}

t.test(
  "a kernel without VRFs is told as such, and nothing is done",
  { skip: lackingFeatures().includes("vrf") ? false : "this kernel has VRFs" },
  async (t) => {
    const node = await startNode(t);
    const pod = await node.pod("pod");
    const prevResult = await joinNetwork(node, pod, "eth0", 22);
    const shown = await pod.runOk(["sh", "-c", "ip address; ip route"]);
    t.match((await call(node, "ADD", pod, { prevResult })).json, { code: 101, msg: /^vrf: .*CONFIG_NET_VRF/ });
    t.equal(await pod.runOk(["sh", "-c", "ip address; ip route"]), shown);
    t.match((await node.runtime.call("STATUS", undefined, VRF)).json, { code: 50, msg: /CONFIG_NET_VRF/ });
    t.match((await call(node, "CHECK", pod, { prevResult })).json, { code: 100, msg: /vrf: want blue, have nothing$/ });
  },
);

t.test("P3, P5: wrong names are refused, and DEL needs nothing", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const prevResult = await joinNetwork(node, pod, "eth0", 22);
  const rows: readonly [keys: object, code: number, msg: RegExp][] = [
    [{ vrfname: undefined, prevResult }, 7, /^vrfname/],
    [{ vrfname: "../x", prevResult }, 7, /^vrfname/],
    [{ vrfname: "eth0", prevResult }, 7, /is a link of kind veth in the pod, not a VRF/],
    [{ table: -1, prevResult }, 7, /^table: -1/],
    [{}, 7, /^prevResult is missing/],
  ];
  for (const [keys, code, msg] of rows)
    t.match((await call(node, "ADD", pod, keys)).json, { code, msg }, JSON.stringify(msg));
  t.match((await call(node, "ADD", pod, { prevResult }, "net7")).json, { code: 4, msg: /"net7" does not exist/ });
  for (const keys of [{}, { vrfname: "../x" }, { vrfname: undefined, prevResult: "nonsense" }])
    t.equal((await call(node, "DEL", pod, keys)).stdout, "");
  await pod.deleteNetns();
  t.equal((await call(node, "DEL", pod, {})).stdout, "");
  t.equal((await node.runtime.call("GC", undefined, { ...VRF, "cni.dev/valid-attachments": [] })).stdout, "");
});

t.test(
  "interfaces join a VRF with their addresses and routes, and the last one takes it away",
  needs("vrf"),
  async (t) => {
    const node = await startNode(t);
    const pod = await node.pod("pod");
    const first = await joinNetwork(node, pod, "eth0", 22);
    const second = await joinNetwork(node, pod, "net1", 23);
    t.equal((await node.runtime.call("STATUS", undefined, VRF)).stdout, "");
    t.match((await call(node, "ADD", pod, { prevResult: first })).json, first, "prevResult is passed on");
    result(await call(node, "ADD", pod, { prevResult: second }, "net1"));
    const show = (words: string) => pod.runOk(["sh", "-c", `ip ${words}`]);
    t.match(
      await show("-d link show blue"),
      /,UP[\s\S]*vrf table 1\b[\s\S]*alias podwire vrf net=red/,
      "the lowest table",
    );
    const routes = (await show("route show table 1; ip -6 route show table 1")).replace(/ +/g, " ");
    for (const [ifName, number] of [
      ["eth0", 22],
      ["net1", 23],
    ] as const) {
      t.match(routes, new RegExp(`default via 10\\.${number}\\.0\\.1 dev ${ifName}`));
      t.match(routes, new RegExp(`10\\.${number}\\.0\\.0/24 dev ${ifName} proto kernel`));
      t.match(routes, new RegExp(`via fd00:${number}::1 dev ${ifName}`));
      t.match(await show(`address show ${ifName}`), new RegExp(`inet6 fd00:${number}::2/64`));
    }
    t.equal((await show("route")).trim(), "", "nothing is left in the main table");
    t.equal((await pod.run(["ping", "-c1", "-W10", "-I", "blue", "10.22.0.1"])).code, 0);
    t.equal((await call(node, "CHECK", pod, { prevResult: first })).stdout, "");
    t.match((await call(node, "ADD", pod, { prevResult: first })).json, { code: 4, msg: /belongs to blue already/ });
    t.match((await call(node, "CHECK", pod, { prevResult: first, table: 7 })).json, {
      code: 100,
      msg: /table of blue: want 7, have 1/,
    });
    await pod.runOk(["ip", "link", "set", "eth0", "nomaster"]);
    t.match((await call(node, "CHECK", pod, { prevResult: first })).json, {
      code: 100,
      msg: /master of eth0: want blue, have nothing/,
    });
    t.match((await call(node, "ADD", pod, { prevResult: first, table: 7 })).json, { code: 7, msg: /has table 1/ });
    for (const round of ["once", "twice"]) t.equal((await call(node, "DEL", pod, {})).stdout, "", round);
    t.match(await show("link show blue"), /blue/, "net1 is in it still");
    await pod.runOk(["ip", "link", "del", "net1"]);
    t.equal((await call(node, "DEL", pod, {}, "net1")).stdout, "", "the interface went first");
    t.notMatch(await show("link"), /blue/);
  },
);

t.test(
  "every version of the specification that can chain it, and S15: a foreign VRF stays",
  needs("vrf"),
  async (t) => {
    const node = await startNode(t);
    const pod = await node.pod("pod");
    const first = await joinNetwork(node, pod, "eth0", 22);
    const show = (words: string) => pod.runOk(["sh", "-c", `ip ${words}`]);
    const routing = async () =>
      (await show("-4 route; ip -6 route; ip -br address show eth0"))
        .replace(/.*fe80::.*dev.*\n/g, "")
        .replace(/fe80\S+/g, "");
    const before = await routing();
    for (const cniVersion of VERSIONS.filter((version) => version >= "0.3.1")) {
      const ips = first.ips.map((ip) =>
        cniVersion < "1.0.0" ? { version: ip.address.includes(":") ? "6" : "4", ...ip } : ip,
      );
      const conf = { cniVersion, vrfname: "green", table: 77, prevResult: { interfaces: first.interfaces, ips } };
      const called = await call(node, "ADD", pod, conf);
      t.match(called.json, { cniVersion, ips: [{}, {}] }, called.stdout);
      t.match(await show("-d link show green"), /vrf table 77/);
      t.equal((await call(node, "DEL", pod, conf)).stdout, "");
      t.notMatch(await show("link"), /green/);
      t.equal(await routing(), before, "addresses and routes are back");
    }
    await pod.runOk(["ip", "link", "add", "blue", "type", "vrf", "table", "9"]);
    result(await call(node, "ADD", pod, { prevResult: first }));
    t.equal((await call(node, "DEL", pod, {})).stdout, "");
    t.match(await show("link show blue"), /blue/, "S15: a VRF that somebody else made stays");
  },
);
