import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import { affords, lackingFeatures } from "../netns/harness/full-kernel.ts";
import { BIN, type Node } from "../netns/harness/node.ts";
import { Pinging } from "../netns/harness/pinging.ts";
import { type Cluster, startCluster } from "./harness/cluster.ts";

// Controller and agents with WireGuard: keys, preshared keys and their rotation. It needs a kernel with WireGuard; on others
// it shows that the agents say so.

const DEVICE = "pwwg51820";
const STATE = "/var/lib/podwire/agent";
const FLAGS = ["--network-backend=wireguard", "--network-cidr=10.244.0.0/16,fd00:244::/48"];

/** What wg(8) says of the device, a line a peer. */
async function wg(node: Node, what: string): Promise<Map<string, string>> {
  const text = await node.sh(`wg show ${DEVICE} ${what}`);
  return new Map(
    text
      .trim()
      .split("\n")
      .map((line) => line.split("\t") as [string, string]),
  );
}

/** Every file under a folder of this machine's file system, with its content. */
function files(folder: string): { path: string; text: string }[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path, text: readFileSync(path, "latin1") }));
}

/** The preshared key of two nodes, which must be the same in both kernels. */
async function pairKey(cluster: Cluster, a: number, b: number): Promise<string | undefined> {
  const [own, other] = await Promise.all([a, b].map((i) => cluster.node(i).sh(`wg show ${DEVICE} public-key`)));
  const [here, there] = await Promise.all([a, b].map((i) => wg(cluster.node(i), "preshared-keys")));
  const key = here?.get(other?.trim() ?? "");
  return key !== undefined && key !== "(none)" && key === there?.get(own?.trim() ?? "") ? key : undefined;
}

t.test("an agent whose kernel has no WireGuard says so, and writes no conflist", async (t) => {
  if (!lackingFeatures().includes("wireguard")) return;
  const cluster = await startCluster(t, { nodes: 1, agents: 0, controllerFlags: FLAGS });
  const agent = await cluster.startAgent(0);
  await agent.prints(/this kernel has no devices of kind wireguard; use one that is built with CONFIG_WIREGUARD/);
  t.notOk(cluster.hasConflist(0));
});

const NAME = "wireguard in a cluster: pods of three nodes, rotation, restarts, secrets that stay secret";
if (affords("wireguard"))
  t.test(NAME, async (t) => {
    const cluster = await startCluster(t, {
      nodes: 3,
      controllerFlags: [...FLAGS, "--wireguard-psk-rotation=10s", "--log-level=debug"],
      agentFlags: ["--log-level=debug", "--resync-interval=5"],
    });
    const [a, b, c] = await Promise.all([0, 1, 2].map((i) => cluster.addPod(i, `pod-${i + 1}`)));
    if (a === undefined || b === undefined || c === undefined) throw new Error("three pods");
    for (const from of [a, b, c]) {
      for (const to of [a, b, c]) {
        for (const address of to.addresses)
          await eventually(() => from.pod.pings(address), `${from.pod.name} to ${address}`);
      }
    }
    const keys = new Set<string>();
    const rotated = async (times: number) => {
      const before = keys.size;
      await eventually(async () => {
        const key = await pairKey(cluster, 0, 1);
        if (key !== undefined) keys.add(key);
        return keys.size >= before + times;
      }, `the pair's key changed ${times} times, at both ends`);
    };
    await rotated(1);

    const [address = ""] = b.addresses;
    const ping = await Pinging.start(a.pod, address, 0.01);
    await rotated(2);
    t.strictSame(await ping.lost(), [], "no ping is lost while the keys rotate");

    // The agent comes back without a controller: keys and peers are as they were, and nothing is written to the kernel.
    await cluster.controller?.stop("SIGKILL");
    const held = await wg(cluster.node(0), "preshared-keys");
    const created = await cluster.node(0).sh(`ip -o link show ${DEVICE} | cut -d: -f1`);
    const again = await Pinging.start(a.pod, address, 0.01);
    await cluster.agents[0]?.stop("SIGKILL");
    const agent = await cluster.startAgent(0);
    await agent.prints(/"msg":"started"/);
    await eventually(async () => {
      const { stdout } = await cluster.node(0).run(["curl", "-s", "http://127.0.0.1:7446/metrics"]);
      return /podwire_agent_reconcile_duration_seconds_count [1-9]/.test(stdout);
    }, "a pass of the new agent");
    t.strictSame(await again.lost(), [], "no ping is lost while the agent restarts");
    t.strictSame(await wg(cluster.node(0), "preshared-keys"), held, "the keys are on the disk");
    t.equal(await cluster.node(0).sh(`ip -o link show ${DEVICE} | cut -d: -f1`), created, "the device is the same");

    // A controller that comes back goes on.
    await cluster.startController();
    await rotated(2);

    // S16: what is secret stands in the two files alone, and in the controller's store.
    const secrets = [...keys];
    for (const i of [0, 1, 2]) {
      const state = cluster.node(i).path(STATE);
      secrets.push(readFileSync(join(state, "wireguard-key"), "utf8").trim());
      for (const name of ["wireguard-key", "wireguard-psk"]) {
        t.equal(statSync(join(state, name)).mode & 0o777, 0o600, `${name} is root's alone`);
      }
    }
    const { stdout: dump } = await cluster.node(0).run([`${BIN}/cnictl`, "dump"]);
    t.match(dump, /# wg show\npwwg51820 listen-port 51820 public-key \S+\npwwg51820 peer .* preshared-key \(hidden\)/);
    const { stdout: json } = await cluster.node(0).run([`${BIN}/cnictl`, "dump", "-o", "json"]);
    const listed = await cluster.cnictl("get", "nodes", "-o", "yaml");
    const texts = [
      { path: "cnictl dump", text: dump },
      { path: "cnictl dump -o json", text: json },
      { path: "cnictl get nodes", text: listed.stdout },
      { path: "the controller's log", text: cluster.controller?.output ?? "" },
      ...cluster.agents.map(({ output }, i) => ({ path: `the log of agent ${i}`, text: output })),
      ...[0, 1, 2].flatMap((i) =>
        ["/run/podwire", "/var/lib", "/etc/cni"].flatMap((each) => files(cluster.node(i).path(each))),
      ),
    ].filter(({ path }) => !/wireguard-(key|psk)$/.test(path));
    t.ok(texts.some(({ path }) => path.endsWith("/state.json")));
    for (const secret of secrets) {
      const hex = Buffer.from(secret, "base64").toString("hex");
      const found = texts.filter(({ text }) => text.includes(secret) || text.toLowerCase().includes(hex));
      t.strictSame(
        found.map(({ path }) => path),
        [],
        "no secret elsewhere",
      );
    }
  });
