import { rmSync } from "node:fs";
import t from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import { Pinging } from "../netns/harness/pinging.ts";
import { startCluster, type WiredPod } from "./harness/cluster.ts";

t.test("the controller's disk is lost: nodes get their subnets back, and no ping is lost", async (t) => {
  const cluster = await startCluster(t, { nodes: 2 });
  const [here, there] = (await Promise.all([0, 1].map((index) => cluster.addPod(index, `pod-${index}`)))) as [
    WiredPod,
    WiredPod,
  ];
  const before = await leases();
  t.equal(before.length, 2);
  await here.pod.pings(there.addresses[0] ?? "");
  const pinging = await Pinging.start(here.pod, there.addresses[0] ?? "", 0.02);

  await cluster.controller?.stop("SIGKILL");
  rmSync(cluster.underlay.hub.path("/var/lib/podwire/controller"), { recursive: true });
  await cluster.startController();
  await eventually(async () => (await leases()).length === 2 || undefined, "both nodes hold leases again");
  t.same(await leases(), before, "the very same subnets");
  await cluster.converged(2);
  t.strictSame(await pinging.lost(), []);
  for (const index of [0, 1]) {
    const status = await cluster.node(index).runtime.status({ ...cluster.conflist(index), cniVersion: "1.1.0" });
    t.equal(status?.code, 0, "the node takes new pods");
    t.notMatch(cluster.agents[index]?.output, /LEASE_STATE_FENCED/);
  }
  const late = await cluster.addPod(1, "late");
  t.ok(await late.pod.pings(here.addresses[0] ?? ""), "a new pod reaches an old one");

  async function leases(): Promise<string[]> {
    const { stdout: text } = await cluster.cnictl("get", "subnets", "-o", "json");
    const { items } = JSON.parse(text) as { items: { metadata: { name: string }; spec: { nodeName?: string } }[] };
    return items.map(({ metadata, spec }) => `${metadata.name} ${spec.nodeName ?? ""}`).sort();
  }
});
