import t, { type Test } from "tap";
import { type Attached, collect, FULL, result, seededRandom } from "./bridge-fixture.ts";
import { type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const LONG = process.env.PODWIRE_TEST_LONG === "1";
const STEPS = LONG ? 2000 : 300;
const PODS = 20;
/** Steps between two comparisons of the node with the model. */
const STRIDE = 25;
/** Another one each time in the long form alone: a change must not fail by chance. */
const seed = Number(process.env.PODWIRE_TEST_SEED ?? (LONG ? Date.now() % 1_000_000 : 20_261_122));

/** What should be: the attached pods and what their ADD answered. */
type Model = Map<Pod, Attached>;

/** One random call on a pod nobody else is busy with; the model follows what was answered. */
async function step(t: Test, node: Node, model: Model, pod: Pod, verb: "ADD" | "DEL" | "CHECK"): Promise<void> {
  const attached = model.get(pod);
  if (verb === "ADD") {
    const called = await node.cni("ADD", pod, FULL);
    if (attached === undefined) model.set(pod, result(called));
    else if (called.code === 0) t.fail(`a second ADD of ${pod.name} succeeded`);
  } else if (verb === "DEL") {
    result(await node.cni("DEL", pod, FULL));
    model.delete(pod);
  } else {
    const prevResult = attached ?? { interfaces: [], ips: [], routes: [] };
    const { code, stdout } = await node.cni("CHECK", pod, { ...FULL, prevResult });
    if ((code === 0) !== (attached !== undefined)) t.fail(`CHECK of ${pod.name} answered ${code} ${stdout}`);
  }
}

/** Kernel, rules and files hold exactly what the model has. */
async function compare(t: Test, node: Node, model: Model, when: string): Promise<void> {
  const answers = [...model.values()];
  const links = await node.sh("ip -br link show type veth");
  const hosts = answers.map(({ interfaces }) => interfaces[1]?.name ?? "");
  t.strictSame((links.match(/^pw[0-9a-f]{12}/gm) ?? []).sort(), hosts.sort(), `${when}: links`);
  const addresses = answers.flatMap(({ ips }) => ips.map(({ address }) => address.split("/")[0] ?? "")).sort();
  t.equal(new Set(addresses).size, addresses.length, `${when}: no address twice`);
  const rules = await node.sh("nft list ruleset");
  t.strictSame((rules.match(/\S+(?= comment "[0-9a-f]{16}" : goto)/g) ?? []).sort(), addresses, `${when}: masquerade`);
  const checked = rules.match(/"pw[0-9a-f]{12}" \. ([0-9a-f]{2}:){5}[0-9a-f]{2}/g) ?? [];
  const macs = answers.map(({ interfaces }) => `"${interfaces[1]?.name}" . ${interfaces[2]?.mac}`);
  t.strictSame(checked.sort(), macs.sort(), `${when}: spoof check`);
  const files = await node.sh("ls /var/lib/cni/networks/test 2>/dev/null || true");
  const held = files.split("\n").filter((file) => /^(10\.22\.|fd00:)/.test(file));
  t.strictSame(held.sort(), addresses, `${when}: addresses on disk`);
}

t.test(`${STEPS} random interleavings of ADD, DEL, CHECK and GC over ${PODS} pods (seed ${seed})`, async (t) => {
  const random = seededRandom(seed);
  const pick = (count: number) => Math.floor(random() * count);
  const node = await startNode(t);
  const pods = await Promise.all(Array.from({ length: PODS }, (_, i) => node.pod(`p${i}`)));
  const model: Model = new Map();
  const made = { ADD: 0, DEL: 0, CHECK: 0, GC: 0 };
  let compared = 0;
  for (let done = 0; done < STEPS; ) {
    if (pick(15) === 0) {
      const valid = pods.filter((pod) => model.has(pod) && pick(4) > 0);
      result(await collect(node, valid, FULL)); // runtimes run GC alone
      for (const pod of model.keys()) if (!valid.includes(pod)) model.delete(pod);
      made.GC++;
      done++;
    } else {
      const busy = new Set(Array.from({ length: 1 + pick(4) }, () => pods[pick(PODS)]));
      const calls = [...busy].flatMap((pod) =>
        pod === undefined ? [] : [{ pod, verb: (["ADD", "ADD", "DEL", "CHECK"] as const)[pick(4)] ?? "ADD" }],
      );
      await Promise.all(calls.map(({ pod, verb }) => step(t, node, model, pod, verb)));
      for (const { verb } of calls) made[verb]++;
      done += calls.length;
    }
    if (Math.floor(done / STRIDE) > compared) {
      compared = Math.floor(done / STRIDE);
      await compare(t, node, model, `after ${done}`);
    }
  }
  t.comment(made);
  for (const pod of [...model.keys()].slice(0, 5)) await step(t, node, model, pod, "CHECK");
  result(await collect(node, [], FULL));
  await compare(t, node, new Map(), "at the end");
  t.notMatch(await node.sh("ip -br link; nft list ruleset"), /cni0|podwire/);
});
