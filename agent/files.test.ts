import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { parsePrefix } from "../net/prefix.ts";
import { parseNetworkSpec } from "../overlay/parse-network.ts";
import type { NodeLease } from "../plugins/overlay/lease.ts";
import { overlayConflist } from "./conflist.ts";
import { lease, network } from "./fixture.ts";
import { NodeFiles } from "./node-files.ts";
import { nodeLease } from "./node-lease.ts";
import { formatSubnetEnv, parseSubnetEnv } from "./subnet-env.ts";

const HELD: NodeLease = {
  network: "default",
  state: "held",
  ready: true,
  subnets: ["10.244.7.0/24", "fd00:7::/64"].map(parsePrefix),
  cidrs: ["10.244.0.0/16", "fd00::/48"].map(parsePrefix),
  mtu: 1464,
};

t.test("the conflist says 1.0.0, and 1.1.0 among its versions, for containerd 1.x and 2.x", async (t) => {
  const list = JSON.parse(overlayConflist({ network: "default" }));
  t.match(JSON.parse(overlayConflist({ network: "cbr0", bridge: "cni0" })), { plugins: [{ bridge: "cni0" }] });
  t.match(list, { cniVersion: "1.0.0", name: "default", plugins: [{ type: "vxlan-overlay" }] });
  t.equal(list.cniVersions.at(-1), "1.1.0");
});

t.test("subnet.env says what flannel's says, and is read back as the subnets to claim", async (t) => {
  const text = formatSubnetEnv({ ...HELD, masquerade: true });
  t.equal(
    text,
    [
      "FLANNEL_NETWORK=10.244.0.0/16",
      "FLANNEL_SUBNET=10.244.7.1/24",
      "FLANNEL_IPV6_NETWORK=fd00::/48",
      "FLANNEL_IPV6_SUBNET=fd00:7::1/64",
      "FLANNEL_MTU=1464",
      "FLANNEL_IPMASQ=true",
      "",
    ].join("\n"),
  );
  t.strictSame(parseSubnetEnv(text), HELD.subnets);
  t.strictSame(parseSubnetEnv("# nothing\n"), []);
  t.throws(() => parseSubnetEnv("FLANNEL_SUBNET=10.244.7.1\n"), RangeError);
});

t.test("lease files and the conflist: written when ready, once, and taken away with the network", async (t) => {
  const root = t.testdir({ leases: { "stale.json": "of an earlier run", "torn.json.new": "" }, out: {} });
  const [folder, out] = [join(root, "leases"), join(root, "out")];
  const conflist = { path: join(out, "cni/10.conflist"), network: "default" };
  const files = new NodeFiles({ conflist, subnetFile: join(out, "subnet.env") }, folder);
  const notReady = { ...HELD, ready: false, reason: "tunnels are not complete" };
  t.strictSame(files.publish([notReady], []), [], "no conflist before ADD can succeed");
  t.strictSame(readdirSync(folder), ["default.json"], "what is no network's is gone");
  t.equal(statSync(join(folder, "default.json")).mode & 0o777, 0o600);

  t.strictSame(files.publish([HELD], []), [conflist.path, join(out, "subnet.env")]);
  t.strictSame(files.publish([HELD], []), [], "written once");
  t.match(JSON.parse(readFileSync(join(folder, "default.json"), "utf8")), { state: "held", ready: true });
  files.publish([], []);
  t.strictSame(readdirSync(folder), []);
});

t.test("a file that cannot be written is said, and the others are written", async (t) => {
  const folder = t.testdir({ "default.json": {} });
  const files = new NodeFiles({ conflist: undefined, subnetFile: undefined }, folder);
  t.throws(() => files.publish([HELD, { ...HELD, network: "other" }], []), { message: /EISDIR/ });
  t.ok(statSync(join(folder, "other.json")).isFile());
  writeFileSync(join(folder, "other.json"), "");
});

t.test("a node's lease as plugins read it: held, fenced with the holder's name, or none with the reason", async (t) => {
  const spec = parseNetworkSpec({ ...network("a"), backend: { type: "vxlan" } });
  const own = { network: "a", subnets: [parsePrefix("10.244.7.0/24")] };
  const view = { name: "a", spec, lease: lease("a"), own, mtu: 1464, problem: undefined };
  t.match(nodeLease(view), { state: "held", ready: true, mtu: 1464, subnets: ["10.244.7.0/24"] });
  t.match(nodeLease({ ...view, problem: "no route" }), { state: "held", ready: false, reason: "no route" });
  const fenced = lease("a", { state: "LEASE_STATE_FENCED", reason: "held by node-3" });
  t.match(nodeLease({ ...view, lease: fenced }), { state: "fenced", ready: false, subnets: [], reason: /node-3/ });
  const full = lease("a", { state: "LEASE_STATE_NONE", reason: "no free subnet" });
  t.match(nodeLease({ ...view, lease: full }), { state: "none", ready: false, reason: "no free subnet" });
  t.match(nodeLease({ ...view, lease: undefined }), { state: "none", reason: /not given this node a subnet yet/ });
  t.match(nodeLease({ ...view, own: undefined }), { state: "none", reason: /refused/ });
});
