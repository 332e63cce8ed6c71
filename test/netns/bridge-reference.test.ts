import { delimiter } from "node:path";
import t from "tap";
import { type Attached, result } from "./bridge-fixture.ts";
import { BIN, type Node, startNode } from "./harness/node.ts";

const REFERENCE = "/usr/lib/cni";
const four = { subnet: "10.22.0.0/16" };
const six = { subnet: "fd00:22::/64" };

/** One ADD by the bridge and the host-local of a folder, with what the pod then has. */
async function attachBy(
  node: Node,
  folder: string,
  conf: object,
): Promise<{ answer: Attached; pod: string; node: string }> {
  const pod = await node.pod("pod");
  const called = await node.run([`${folder}/bridge`], {
    input: JSON.stringify({ cniVersion: "1.0.0", name: "test", type: "bridge", ...conf }),
    env: {
      PATH: process.env.PATH ?? "",
      CNI_COMMAND: "ADD",
      CNI_PATH: [folder].join(delimiter),
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: "eth0",
    },
  });
  const inside = await pod.runOk([
    "sh",
    "-c",
    "ip -4 route; ip -6 route | grep -v fe80; ip -br address show eth0; ip -o link show eth0",
  ]);
  const outside = await node.sh(
    "ip -br address show cni0; bridge -d link show; cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding",
  );
  return {
    answer: result({ ...called, json: JSON.parse(called.stdout) }),
    pod: comparable(inside),
    node: comparable(outside),
  };
}

/** Without what is random or of each implementation's own choice. */
function comparable(text: string): string {
  return text
    .replace(/\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, "MAC")
    .replace(/\bfe80::[0-9a-f:]+(\/64)?/g, "LINK-LOCAL")
    .replace(/\b(veth|pw)[0-9a-f]+/g, "HOST")
    .replace(/@(if\d+|eth0|HOST)|^\d+: |link-netns \S+|link-netnsid \d+| nodad\b| qlen 1000/gm, "")
    .replace(/ ?\\/g, " ")
    .replace(/ (state )?(UP|DOWN|UNKNOWN)\b|,LOWER_UP|NO-CARRIER,/g, "")
    .replace(/ *LINK-LOCAL */g, "")
    .replace(/ state (forwarding|disabled)|\b(learning|listening)\b/g, "")
    .replace(/[ \t]+/g, " ");
}

/** 1.1.1 writes an empty dns, which says nothing. */
function shape({ interfaces, dns, ...answer }: Attached & { dns?: object }): unknown {
  const links = interfaces.map(({ name, sandbox, ...others }) => ({
    name: name.replace(/^(veth|pw)[0-9a-f]+$/, "HOST"),
    keys: Object.keys(others).sort(),
    sandboxed: sandbox !== undefined && sandbox !== "",
  }));
  return { ...answer, interfaces: links, dns: dns ?? {} };
}

for (const [name, conf] of [
  ["plain", { ipam: { ranges: [[four]] } }],
  ["isGateway", { isGateway: true, ipam: { ranges: [[four]] } }],
  ["isDefaultGateway, dual stack", { isDefaultGateway: true, ipam: { ranges: [[four], [six]] } }],
  ["IPv6 alone", { isDefaultGateway: true, ipam: { ranges: [[six]] } }],
  ["a default route of IPAM's", { isGateway: true, ipam: { ranges: [[four]], routes: [{ dst: "0.0.0.0/0" }] } }],
  [
    "routes and gateways of IPAM's",
    {
      isGateway: true,
      ipam: {
        ranges: [[{ ...four, gateway: "10.22.0.9" }]],
        routes: [{ dst: "192.0.2.0/24", gw: "10.22.0.77" }, { dst: "198.51.100.0/24" }],
      },
    },
  ],
  ["mtu and hairpinMode", { isGateway: true, mtu: 1400, hairpinMode: true, ipam: { ranges: [[four]] } }],
  ["mac", { args: { cni: { mac: "02:00:00:00:00:02" } }, ipam: { ranges: [[four]] } }],
  ["dns", { dns: { nameservers: ["10.0.0.53"], search: ["a.example"] }, ipam: { ranges: [[four]] } }],
] as const) {
  t.test(`the reference plugin 1.1.1 answers and sets up the same: ${name}`, async (t) => {
    const full = { ...conf, ipam: { type: "host-local", ...conf.ipam } };
    const [ours, theirs] = await Promise.all(
      [BIN, REFERENCE].map(async (folder) => await attachBy(await startNode(t), folder, full)),
    );
    t.strictSame(shape(ours?.answer as Attached), shape(theirs?.answer as Attached));
    t.equal(ours?.pod, theirs?.pod);
    t.equal(ours?.node, theirs?.node);
  });
}
