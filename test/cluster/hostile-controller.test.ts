import t, { type Test } from "tap";
import { lease, delta as noChange, subnet } from "../../agent/fixture.ts";
import { contains, type Prefix, parseNetwork } from "../../net/prefix.ts";
import type { Network__Output } from "../../proto/gen/podwire/v1/Network.ts";
import type { Subnet__Output } from "../../proto/gen/podwire/v1/Subnet.ts";
import { eventually } from "../netns/harness/eventually.ts";
import type { Daemon } from "../netns/harness/exec.ts";
import { BIN, type Node } from "../netns/harness/node.ts";
import { startUnderlay } from "../netns/harness/underlay.ts";
import { type ScriptedController, startScriptedController } from "./harness/scripted-controller.ts";

const PORT = 7444;
const CIDRS = ["10.244.0.0/16", "fd00:244::/48"];
const OWN = ["10.244.1.0/24", "fd00:244:0:1::/64"];

const NETWORK: Network__Output = {
  name: "default",
  cidrs: CIDRS,
  ipv4SubnetLength: 24,
  ipv6SubnetLength: 64,
  backend: { type: "vxlan", mode: "flow", vni: 0, port: 0, directRouting: false, mtu: 0, tunnel: "" },
  masquerade: true,
  createdAt: 1,
  generation: 0,
  previous: null,
  required: 0,
};

function peer(prefix: string, change: Partial<Subnet__Output> = {}): Subnet__Output {
  return subnet(prefix, "peer", { network: "default", addresses: ["192.168.77.50", "fd77::50"], epoch: 50, ...change });
}

const SANE = [peer("10.244.2.0/24"), peer("fd00:244:0:2::/64")];
const OWN_LEASE = lease("default", { subnets: OWN.map((each) => ({ subnet: each, epoch: 3 })), ttlSeconds: 3600 });

class Victim {
  readonly controller: ScriptedController;
  readonly node: Node;
  readonly agent: Daemon;
  revision = 10;

  constructor(controller: ScriptedController, node: Node, agent: Daemon) {
    this.controller = controller;
    this.node = node;
    this.agent = agent;
  }

  /** Sends a snapshot and waits until the agent has dealt with it. */
  async told(subnets: readonly Subnet__Output[], networks: readonly Network__Output[] = [NETWORK]): Promise<void> {
    this.revision++;
    this.controller.say({ snapshot: { revision: this.revision, networks: [...networks], subnets: [...subnets] } });
    await this.controller.acked(this.revision);
  }

  /** Destinations of all routes that are ours, in every table. */
  async routes(): Promise<Prefix[]> {
    const texts = await Promise.all(
      ["-4", "-6"].map((family) => this.node.runOk(["ip", family, "route", "show", "table", "all", "proto", "112"])),
    );
    // Not as JSON: there an encapsulation's "dst" hides the route's.
    const lines = texts.flatMap((text) => text.split("\n").filter((line) => line !== ""));
    return lines.map((line) => {
      const [dst = ""] = line.replace(/^(unreachable|blackhole|prohibit|unicast|multicast) /, "").split(" ");
      if (dst === "default") return parseNetwork(line.includes(":") ? "::/0" : "0.0.0.0/0");
      return parseNetwork(dst.includes("/") ? dst : `${dst}/${dst.includes(":") ? 128 : 32}`);
    });
  }

  /** Files that came after the agent's start, by their paths in the node. */
  async files(): Promise<string[]> {
    const found = await this.node.sh(
      "find /run /var/lib /etc -newer /run/marker -type f -not -path '/run/etc/*' -not -path '/run/etc-work/*' 2>/dev/null | sort",
    );
    return found.trim().split("\n");
  }

  async metric(name: string): Promise<number> {
    const text = await this.node.runOk(["curl", "-s", "http://127.0.0.1:7446/metrics"]);
    return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
  }
}

async function startVictim(t: Test): Promise<Victim> {
  const { hub, nodes } = await startUnderlay(t, 1);
  const [node] = nodes;
  if (node === undefined) throw new Error("no node");
  const controller = await startScriptedController(t, hub, PORT);
  controller.greeting = [{ lease: OWN_LEASE }, { snapshot: { revision: 10, networks: [NETWORK], subnets: [...SANE] } }];
  await node.sh("touch /run/marker");
  const agent = node.spawn([`${BIN}/podwire-agent`, `--controller=192.168.77.1:${PORT}`, "--insecure"]);
  await agent.prints(/"msg":"conflist written"/);
  await controller.acked(10);
  return new Victim(controller, node, agent);
}

const BELONGS =
  /^(\/run\/podwire\/(networks\/[A-Za-z0-9][A-Za-z0-9_.-]*\.json|nft\.lock|dhcp\.keeper|rehearsal\/.*)|\/var\/lib\/podwire\/calls|\/var\/lib\/podwire\/agent\/(state\.(json|behind)|node-id|lock|wireguard-(key|psk))|\/etc\/cni\/net\.d\/10-podwire\.conflist)$/;

async function staysSane(t: Test, victim: Victim, what: string): Promise<void> {
  const outside = (await victim.routes()).filter((dst) => !CIDRS.some((cidr) => contains(parseNetwork(cidr), dst)));
  t.strictSame(outside, [], `${what}: routes of ours lie in the cluster's CIDRs`);
  // What is being written has another name for a moment; what does not belong there stays.
  const elsewhere = async () => (await victim.files()).filter((path) => path !== "" && !BELONGS.test(path));
  const first = await elsewhere();
  const second = first.length === 0 ? [] : await elsewhere();
  t.strictSame(
    first.filter((path) => second.includes(path)),
    [],
    `${what}: no file elsewhere`,
  );
  t.ok(victim.agent.running, `${what}: the agent lives`);
}

const RECOVERED = ["10.244.1.0/24", "10.244.2.0/24", "fd00:244:0:1::/64", "fd00:244:0:2::/64"];

async function recovers(t: Test, victim: Victim, what: string): Promise<void> {
  await victim.told(SANE);
  t.strictSame((await victim.routes()).toSorted(), RECOVERED, `${what}: sane again`);
  t.equal(await victim.metric("podwire_agent_refused_objects"), 0, `${what}: nothing is refused any more`);
}

const HOSTILE_SUBNETS: Record<string, readonly Subnet__Output[]> = {
  "everything, 0.0.0.0/0": [peer("0.0.0.0/0")],
  "everything, ::/0": [peer("::/0")],
  "half of the Internet": [peer("128.0.0.0/1"), peer("8000::/1")],
  "the cluster's own CIDR": [peer("10.244.0.0/16")],
  "a subnet that overlaps ours": [peer("10.244.1.128/25")],
  "our own subnet for another node": [peer("10.244.1.0/24"), peer("fd00:244:0:1::/64")],
  "overlapping subnets of two nodes": [
    peer("10.244.4.0/23", { nodeId: "x", addresses: ["192.168.77.60"], epoch: 9 }),
    peer("10.244.5.0/24", { nodeId: "y", addresses: ["192.168.77.61"] }),
  ],
  "multicast and loopback": [peer("224.0.0.0/24"), peer("127.0.0.0/24"), peer("ff02::/64"), peer("fe80::/64")],
  "the underlay": [peer("192.168.77.0/24")],
  "our underlay address as a peer's": [peer("10.244.3.0/24", { addresses: ["192.168.77.11"] })],
  "peers at addresses of nobody": [
    peer("10.244.3.0/24", { addresses: ["127.0.0.1"] }),
    peer("10.244.4.0/24", { addresses: ["224.0.0.1"], nodeId: "b" }),
    peer("10.244.5.0/24", { addresses: ["0.0.0.0"], nodeId: "c" }),
    peer("10.244.6.0/24", { addresses: ["255.255.255.255"], nodeId: "d" }),
    peer("10.244.7.0/24", { addresses: ["$(reboot)"], nodeId: "e" }),
    peer("10.244.8.0/24", { addresses: [], nodeId: "f" }),
  ],
  "a peer inside its own subnet": [peer("10.244.9.0/24", { addresses: ["10.244.9.1"] })],
  "text that is no prefix": [
    "",
    "x",
    "10.244.3.0",
    "10.244.3.1/24",
    "10.244.3.0/-1",
    "10.244.3.0/33",
    "10.244.3.0/24\n",
  ].map((text, i) => peer(text, { nodeId: `n${i}`, addresses: [`192.168.77.${60 + i}`] })),
  "names for a shell, a path and a terminal": [
    peer("0.0.0.0/0", { nodeName: "../../../etc/passwd" }),
    peer("1.0.0.0/8", { nodeName: 'a\nlevel="info"\u001b[2J', nodeId: "q" }),
    peer("2.0.0.0/8", { nodeName: "x".repeat(100_000), nodeId: "r" }),
  ],
};

t.test("S11: no peer's subnet or address makes the agent route what is not the cluster's", async (t) => {
  const victim = await startVictim(t);
  for (const [what, subnets] of Object.entries(HOSTILE_SUBNETS)) {
    const before = victim.agent.output.length;
    await victim.told([...SANE, ...subnets]);
    await staysSane(t, victim, what);
    t.ok((await victim.metric("podwire_agent_refused_objects")) > 0, `${what}: counted`);
    const said = await eventually(() => {
      const text = victim.agent.output.slice(before);
      return text.endsWith("\n") && /"level":"warn".*"msg":"refused"/.test(text) ? text : undefined;
    }, `${what}: said`);
    for (const line of said.trim().split("\n"))
      t.doesNotThrow(() => JSON.parse(line), `${what}: one JSON object a line`);
    t.ok(said.length < 20_000, `${what}: ${said.length} characters of log`);
    await recovers(t, victim, what);
  }
});

const network = (change: Partial<Network__Output>): Network__Output => ({
  ...NETWORK,
  name: "evil",
  createdAt: 2,
  ...change,
});
const backend = (change: object): Network__Output =>
  network({ cidrs: ["10.99.0.0/16"], backend: { ...NETWORK.backend, ...change } as Network__Output["backend"] });

const HOSTILE_NETWORKS: Record<string, readonly Network__Output[]> = {
  "CIDRs of everything": [network({ cidrs: ["0.0.0.0/0", "::/0"] })],
  "CIDRs of half, multicast, loopback": ["0.0.0.0/1", "224.0.0.0/8", "127.0.0.0/8"].map((cidr, i) =>
    network({ name: `n${i}`, cidrs: [cidr] }),
  ),
  "a CIDR that overlaps another network's": [network({ cidrs: ["10.244.128.0/17"] })],
  "MTU 1, 65536 and 2^32-1": [1, 65_536, 4_294_967_295].map((mtu) => backend({ mtu })),
  "ports and VNIs out of range": [
    backend({ port: 65_536 }),
    backend({ vni: 16_777_216 }),
    backend({ vni: 4_294_967_295 }),
  ],
  "a backend that nobody knows": [backend({ type: "$(id)" }), backend({ mode: "../x" })],
  "subnet lengths of 2^32-1": [network({ cidrs: ["10.99.0.0/16"], ipv4SubnetLength: 4_294_967_295 })],
  "names that are paths, lines and objects": [
    "../../../../etc/cron.d/podwire",
    "..",
    ".",
    "",
    "a/b",
    "a\nb",
    "x".repeat(300),
    "\u0000",
  ].map((name) => network({ name, cidrs: ["10.99.0.0/16"] })),
};

t.test("S11: no network makes the agent route or write what is not the cluster's", async (t) => {
  const victim = await startVictim(t);
  for (const [what, networks] of Object.entries(HOSTILE_NETWORKS)) {
    await victim.told(SANE, [NETWORK, ...networks]);
    await staysSane(t, victim, what);
    t.ok((await victim.metric("podwire_agent_refused_objects")) > 0, `${what}: counted`);
    await recovers(t, victim, what);
  }
  await victim.told(SANE, [
    NETWORK,
    network({ name: "__proto__", cidrs: ["10.99.0.0/16"] }),
    network({ name: "constructor", cidrs: ["10.98.0.0/16"] }),
  ]);
  await staysSane(t, victim, "names of JavaScript's own");
  await recovers(t, victim, "names of JavaScript's own");
});

t.test("S11: leases with paths for names, and epochs of no store, are neither written nor named again", async (t) => {
  const victim = await startVictim(t);
  const { controller } = victim;
  const names = ["../../../etc/cron.d/x", "../../var/lib/x", "a\nb", "", "x".repeat(250)];
  const messages = [
    ...names.map((name) => ({ lease: lease(name, { subnets: OWN_LEASE.subnets }) })),
    { lease: lease("default", { subnets: [{ subnet: "10.244.1.0/24", epoch: 2 ** 63 }] }) },
    { lease: lease("default", { subnets: [{ subnet: "zzz", epoch: 1 }] }) },
  ];
  controller.say(...messages);
  await victim.told(SANE);
  await staysSane(t, victim, "leases");
  t.equal(await victim.metric("podwire_agent_refused_objects"), messages.length);
  t.strictSame((await victim.routes()).toSorted(), RECOVERED, "the sane lease stands");

  for (const evil of ["0.0.0.0/0", "192.168.77.0/24", "224.0.0.0/24", "10.245.0.0/24"]) {
    controller.say({ lease: lease("default", { subnets: [{ subnet: evil, epoch: 4 }] }) });
    await victim.told(SANE);
    await staysSane(t, victim, `our own lease ${evil}`);
  }
  controller.hangUp();
  await eventually(() => controller.hellos.length >= 2 || undefined, "the agent comes back");
  for (const { network, subnet: held } of controller.hellos.at(-1)?.held ?? []) {
    t.match(network, /^[A-Za-z0-9]/);
    t.match(held, /^10\.245\.0\.0\/24$/, "only the last lease, which the controller may judge");
  }
  victim.revision = 20;
  controller.say({ lease: OWN_LEASE });
  await recovers(t, victim, "leases");
});

t.test("S11: floods: 10,000 junk records, snapshot after snapshot, revisions back and forth", async (t) => {
  const victim = await startVictim(t);
  const { controller } = victim;
  const junk = Array.from({ length: 10_000 }, (_, i) =>
    peer(["0.0.0.0/0", `${i}.1.2.3/8`, "10.244.1.0/24", "\u0000"][i % 4] ?? "", {
      subnet: `junk ${i}`,
      nodeId: `j${i}`,
    }),
  );
  await victim.told([...SANE, ...junk]);
  await staysSane(t, victim, "10,000 junk records");
  t.equal(await victim.metric("podwire_agent_refused_objects"), 10_000);
  await recovers(t, victim, "10,000 junk records");

  for (let i = 0; i < 300; i++) {
    victim.revision++;
    const subnets = i % 2 === 0 ? [peer("0.0.0.0/0"), peer("10.244.1.0/25")] : [...SANE];
    controller.say({ snapshot: { revision: victim.revision, networks: [NETWORK], subnets } });
  }
  await controller.acked(victim.revision);
  await staysSane(t, victim, "300 snapshots");
  controller.say({ delta: { ...noChange(2 ** 53), deletedSubnets: [{ network: "default", subnet: "nothing" }] } });
  controller.say({ delta: { ...noChange(1), subnets: [peer("0.0.0.0/0")] } });
  await staysSane(t, victim, "revisions back and forth");
  const health = await victim.node.run(["curl", "-s", "http://127.0.0.1:7446/healthz"]);
  t.equal(health.stdout, "ok\n");
  victim.revision = 2 ** 52;
  await recovers(t, victim, "floods");
});

t.test("a controller that lost its store is said, and nothing is torn down", async (t) => {
  const victim = await startVictim(t);
  victim.controller.say({ snapshot: { revision: 1, networks: [], subnets: [] } });
  await victim.controller.acked(1);
  t.strictSame((await victim.routes()).toSorted(), RECOVERED);
  await victim.agent.prints(/"level":"error".*store does not know what this node was told before/);
  t.match(JSON.parse(await victim.node.sh("cat /run/podwire/networks/default.json")), { state: "held", ready: true });
  t.equal(await victim.metric("podwire_agent_remembered_subnets"), 2);

  await victim.agent.stop("SIGKILL");
  const again = victim.node.spawn([`${BIN}/podwire-agent`, "--controller=192.168.77.1:1", "--insecure"]);
  await again.prints(/disconnected/);
  t.strictSame((await victim.routes()).toSorted(), RECOVERED, "after a restart too");
});

t.test("a second agent on the node says so and ends", async (t) => {
  const victim = await startVictim(t);
  const second = await victim.node.run([`${BIN}/podwire-agent`, `--controller=192.168.77.1:${PORT}`, "--insecure"]);
  t.equal(second.code, 1);
  t.match(second.stdout, /another podwire-agent runs with --state-dir/);
  t.ok(victim.agent.running);
  await victim.agent.stop("SIGKILL");
  const third = victim.node.spawn([`${BIN}/podwire-agent`, `--controller=192.168.77.1:${PORT}`, "--insecure"]);
  await third.prints(/"msg":"connected"/);
});
