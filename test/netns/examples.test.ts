import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import t, { type Test } from "tap";
import { lackingFeatures } from "./harness/full-kernel.ts";
import { BIN, type Node } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";
import type { ConfList } from "./harness/runtime.ts";
import { startUnderlay, type Underlay } from "./harness/underlay.ts";

const FOLDER = new URL("../../examples/", import.meta.url);
const STANDALONE = "/etc/podwire-standalone.json";

/** The example with the harness's underlay addresses in place of the documentation's. */
function example(name: string): string {
  const text = readFileSync(new URL(name, FOLDER), "utf8");
  return text.replaceAll("192.0.2.", "192.168.77.").replaceAll("2001:db8::", "fd77::");
}

async function startAgents(nodes: readonly Node[], standalone: string): Promise<void> {
  for (const node of nodes) {
    writeFileSync(node.path(STANDALONE), example(standalone));
    const agent = node.spawn([`${BIN}/podwire-agent`, "--standalone", `--standalone-config=${STANDALONE}`]);
    await agent.prints(/"msg":"conflist written"/);
  }
}

interface Attached {
  readonly pod: Pod;
  readonly addresses: readonly string[];
}

async function attach(list: ConfList, node: Node, name: string): Promise<Attached> {
  const pod = await node.pod(name);
  await node.runtime.loopback(pod);
  const added = await node.runtime.add(list, pod);
  if (added.code !== 0) throw new Error(`ADD of ${name} on ${node.name}: ${added.stdout}${added.stderr}`);
  const ips = added.json?.ips as readonly { readonly address: string }[];
  return { pod, addresses: ips.map(({ address }) => address.slice(0, address.indexOf("/"))) };
}

/** Two pods on each node: all verbs, all pairs, and the world where the list masquerades. */
async function works(t: Test, list: ConfList, underlay: Underlay, nodes: readonly Node[]): Promise<void> {
  const attached: Attached[] = [];
  for (const node of nodes) for (const name of ["red", "blue"]) attached.push(await attach(list, node, name));
  for (const from of attached) {
    const others = attached.flatMap(({ addresses }) => addresses);
    for (const to of others) t.ok(await from.pod.pings(to), `${from.pod.name} on ${from.pod.node.name} pings ${to}`);
    if (!masquerades(list)) continue;
    for (const to of underlay.hubAddresses) {
      const hasFamily = from.addresses.some((address) => address.includes(":") === to.includes(":"));
      if (hasFamily)
        t.ok(await from.pod.pings(to), `${from.pod.name} on ${from.pod.node.name} reaches the world at ${to}`);
    }
  }
  for (const node of nodes) {
    t.match(await node.runtime.status({ ...list, cniVersion: "1.1.0" }), { code: 0 }, `STATUS on ${node.name}`);
  }
  for (const { pod } of attached) {
    t.match(await pod.node.runtime.check(list, pod), { code: 0 }, "CHECK");
    t.match(await pod.node.runtime.del(list, pod), { code: 0 }, "DEL");
  }
  for (const node of nodes) {
    t.match(await node.runtime.gc({ ...list, cniVersion: "1.1.0" }, []), { code: 0 }, "GC");
    t.notMatch(
      await node.runOk(["ip", "-br", "link", "show", "type", "veth"]),
      /^pw/m,
      `no veth is left on ${node.name}`,
    );
  }
}

function masquerades({ plugins }: ConfList): boolean {
  return plugins.some(({ type, ipMasq }) => ipMasq === true || isOverlay(type));
}

function isOverlay(type: unknown): boolean {
  return type === "vxlan-overlay" || type === "gre-overlay";
}

/** Says whether the node's kernel has GRE over IPv6; where it has none, that the mesh is refused with a sentence. */
async function lacksGre(t: Test, list: ConfList, node: Node): Promise<boolean> {
  if (!lackingFeatures().includes("ip6gre")) return false;
  const { json } = await node.runtime.add(list, await node.pod("pod"));
  t.match(json, { code: 999, msg: /use one that is built with CONFIG_IPV6_GRE/ });
  return true;
}

const files = readdirSync(FOLDER).filter((name) => name !== "README.md");

for (const name of files.filter((name) => name.endsWith(".conflist"))) {
  t.test(`examples/${name}: pods reach each other, and DEL leaves nothing`, async (t) => {
    const list = JSON.parse(example(name)) as ConfList;
    const overlays = list.plugins.some(({ type }) => isOverlay(type));
    const needsAgent = list.plugins.some(({ type, mesh }) => isOverlay(type) && mesh === undefined);
    const underlay = await startUnderlay(t, overlays ? 2 : 1);
    const [first] = underlay.nodes as [Node];
    if (list.plugins.some(({ type }) => type === "gre-overlay") && (await lacksGre(t, list, first))) return;
    if (needsAgent) await startAgents(underlay.nodes, "standalone-mesh.json");
    await works(t, list, underlay, underlay.nodes);
  });
}

for (const name of files.filter((name) => name.startsWith("standalone-"))) {
  t.test(`examples/${name}: agents without a controller join their nodes`, async (t) => {
    const underlay = await startUnderlay(t, example(name).includes("publicIP") ? 2 : 1);
    await startAgents(underlay.nodes, name);
    const [first] = underlay.nodes;
    const written = readFileSync(first?.path("/etc/cni/net.d/10-podwire.conflist") ?? "", "utf8");
    await works(t, JSON.parse(written), underlay, underlay.nodes);
  });
}

t.test("every file in examples/ is run, and stands in its README.md", async (t) => {
  const readme = readFileSync(new URL("README.md", FOLDER), "utf8");
  for (const name of files) {
    t.match(name, /\.conflist$|^standalone-.*\.json$/);
    t.match(readme, `\`${name}\``);
  }
});

t.test("CONTRIBUTING.md shows a test that runs", async (t) => {
  const [guide, first] = ["../../CONTRIBUTING.md", "first.test.ts"].map((path) =>
    readFileSync(new URL(path, import.meta.url), "utf8"),
  );
  t.ok(guide?.includes(`\`\`\`ts\n${first}\`\`\``), "test/netns/first.test.ts stands in it, word for word");
});
