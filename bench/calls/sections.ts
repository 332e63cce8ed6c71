import { quantile } from "../measure.ts";
import type { Agent, AgentTimes } from "./agent.ts";
import { bareAdds, prepareBare, summarizeBare } from "./bare.ts";
import { burst } from "./burst.ts";
import type { Launcher } from "./launcher.ts";
import { launchCost, type Sampled, type Samples, sequence, typical, warmUp } from "./sequence.ts";
import { bridgeNetwork, calls, type Network, type Side, type Stand, type Verb } from "./stand.ts";
import { type Row, ratioRow, valueRow } from "./table.ts";
import { fill, TAKEN, takenAddresses, takenName, takenNetwork } from "./taken.ts";

/** What every section works with. */
export interface Bench {
  readonly launcher: Launcher;
  readonly stands: Readonly<Record<Side, Stand>>;
  /** A node of the bench's own, for messages without any plugin. */
  readonly bare: Stand;
  readonly agent: Agent | undefined;
  readonly runs: number;
  /** Rounds of the rows about many at once. */
  readonly rounds: number;
  /** Pods of those rows. */
  readonly atOnce: number;
  /** Pods of the row about the agent's memory. */
  readonly resident: number;
  readonly idleSeconds: number;
}

/** What a section found. */
export interface Section {
  readonly rows: readonly Row[];
  readonly phases?: Readonly<Record<string, AgentTimes>>;
  readonly details: Readonly<Record<string, unknown>>;
}

const PLAIN = bridgeNetwork("plain", ["10.22.0.0/16"]);
const MASQUERADED = bridgeNetwork("masq", ["10.24.0.0/16"], { ipMasq: true });
const DUAL = bridgeNetwork("dual", ["10.25.0.0/16", "fd00:25::/64"]);
/** So that the agent's code is compiled by V8 as it is on a node that has run for a while. */
const WARM_UP = 40;
const WHOLE = "ms a call, whole process, medians";

function bothSides({ stands }: Bench, network: Network) {
  return [
    { label: "ours", stand: stands.ours, network },
    { label: "peer", stand: stands.peer, network },
  ] as const;
}

async function timed<T>(bench: Bench, network: Network, work: () => Promise<T>) {
  if (bench.agent !== undefined) return await bench.agent.timesOf(network.conf.name, work);
  const none: AgentTimes = { call: undefined, calls: 0, phases: {} };
  return { result: await work(), times: { ADD: none, DEL: none } };
}

function spread(sampled: Sampled): object {
  const of = (label: string, verb: Verb) => {
    const values = sampled.get(label)?.[verb] ?? [];
    return `${quantile(values, 0.1)} / ${quantile(values)} / ${quantile(values, 0.9)}`;
  };
  return Object.fromEntries(
    [...sampled.keys()].map((label) => [label, { ADD: of(label, "ADD"), DEL: of(label, "DEL") }]),
  );
}

/** One at a time, and the bare messages of the same ADD between the rounds. */
export async function plain(bench: Bench): Promise<Section> {
  const { launcher, bare, runs } = bench;
  const cases = bothSides(bench, PLAIN);
  await warmUp(launcher, cases, Math.min(WARM_UP, runs));
  await prepareBare(bare);
  await bareAdds(bare, bare.pods.slice(0, Math.min(10, bare.pods.length)));
  const all = new Map<string, Samples>(cases.map(({ label }) => [label, { ADD: [] as number[], DEL: [] as number[] }]));
  const messages: number[] = [];
  const withSocket: number[] = [];
  let what: readonly string[] = [];
  const quarter = Math.ceil(runs / 4);
  const { times } = await timed(bench, PLAIN, async () => {
    for (let i = 0; i < 4; i++) {
      const sampled = await sequence(launcher, cases, quarter);
      for (const [label, { ADD, DEL }] of sampled) {
        all.get(label)?.ADD.push(...ADD);
        all.get(label)?.DEL.push(...DEL);
      }
      const sent = await bareAdds(bare, bare.pods.slice(0, quarter));
      messages.push(...sent.messages);
      withSocket.push(...sent.withSocket);
      what = sent.what;
    }
  });
  const direct = summarizeBare({ messages, withSocket, what });
  const empty = await launchCost(launcher, bench.stands.ours, runs);
  const inside = times.ADD.call;
  return {
    rows: [
      ratioRow("ADD, bridge + host-local", 0.3, typical(all, "ours", "ADD"), typical(all, "peer", "ADD"), WHOLE),
      ratioRow("DEL, one at a time", 0.3, typical(all, "ours", "DEL"), typical(all, "peer", "DEL"), WHOLE),
      ratioRow(
        "ADD inside the agent ÷ its bare netlink messages",
        1.8,
        inside,
        direct.median,
        "median ms; in the peer's place the messages alone",
      ),
    ],
    phases: { ADD: times.ADD, DEL: times.DEL },
    details: {
      "launch of `true` (ms)": empty,
      "one at a time, 10 % / median / 90 % (ms)": spread(all),
      "bare messages (ms)": {
        median: direct.median,
        "median with opening the namespace and a socket in it": direct.medianWithSocket,
        what: direct.what,
      },
    },
  };
}

export async function masqueraded(bench: Bench): Promise<Section> {
  const cases = bothSides(bench, MASQUERADED);
  await warmUp(bench.launcher, cases, Math.min(10, bench.runs));
  const { result, times } = await timed(bench, MASQUERADED, () => sequence(bench.launcher, cases, bench.runs));
  return {
    rows: [
      ratioRow("ADD, ipMasq", 0.12, typical(result, "ours", "ADD"), typical(result, "peer", "ADD"), WHOLE),
      ratioRow(
        "DEL, ipMasq, one at a time",
        0.1,
        typical(result, "ours", "DEL"),
        typical(result, "peer", "DEL"),
        WHOLE,
      ),
    ],
    phases: { "ADD, ipMasq": times.ADD, "DEL, ipMasq": times.DEL },
    details: { "ipMasq, 10 % / median / 90 % (ms)": spread(result) },
  };
}

export async function manyAtOnce(bench: Bench): Promise<Section> {
  const { launcher, stands, atOnce, rounds, agent } = bench;
  const before = agent?.resident;
  const { result, times } = await timed(bench, PLAIN, () =>
    burst(launcher, stands, PLAIN, atOnce, rounds, () => agent?.cpu ?? 0),
  );
  const { ours, peer } = result;
  const last = `ms until the last has ended, medians of ${rounds} rounds`;
  const memory = "MiB, peak of a memory cgroup that holds all processes started for it (memory.max_usage_in_bytes)";
  return {
    rows: [
      ratioRow(`${atOnce} ADDs at once, time to the last`, 0.25, ours.ADD.last, peer.ADD.last, last),
      ratioRow(`${atOnce} ADDs at once, peak memory`, 0.25, ours.ADD.memory, peer.ADD.memory, memory),
      ratioRow(`${atOnce} DELs at once, time to the last`, 0.15, ours.DEL.last, peer.DEL.last, last),
    ],
    phases: { [`ADD, ${atOnce} at once`]: times.ADD, [`DEL, ${atOnce} at once`]: times.DEL },
    details: {
      [`${atOnce} at once`]: { ours, peer },
      "agent's memory, which is not of a process started for it (MB)": `${before} before, ${agent?.resident} after, ${agent?.peak} at most`,
    },
  };
}

export async function dualStack(bench: Bench): Promise<Section> {
  const stand = bench.stands.ours;
  const cases = [
    { label: "v4", stand, network: PLAIN },
    { label: "dual", stand, network: DUAL },
  ];
  await warmUp(bench.launcher, cases, Math.min(10, bench.runs));
  const { result: sampled, times } = await timed(bench, DUAL, () => sequence(bench.launcher, cases, bench.runs));
  const of = "ms a call, whole process, medians; in the peer's place our own IPv4 ADD";
  return {
    rows: [
      ratioRow(
        "ADD, dual stack ÷ our IPv4 ADD",
        1.25,
        typical(sampled, "dual", "ADD"),
        typical(sampled, "v4", "ADD"),
        of,
      ),
    ],
    phases: { "ADD, dual stack": times.ADD },
    details: { "dual stack, 10 % / median / 90 % (ms)": spread(sampled) },
  };
}

/** Networks of a /16 that are more or less full. */
export async function full(bench: Bench): Promise<Section> {
  const { launcher, stands, runs } = bench;
  for (const taken of TAKEN) fill(stands.ours, taken);
  fill(stands.peer, 10_000);
  const ours = TAKEN.map((taken) => ({ label: takenName(taken), stand: stands.ours, network: takenNetwork(taken) }));
  const peer = { label: "peer", stand: stands.peer, network: takenNetwork(10_000) };
  const addresses = [
    { label: "ours alone", stand: stands.ours, network: takenAddresses(10_000) },
    { label: "peer alone", stand: stands.peer, network: takenAddresses(10_000) },
  ];
  await warmUp(launcher, [...ours, peer], Math.min(3, runs));
  const { result, times } = await timed(bench, takenNetwork(60_000), () => sequence(launcher, [...ours, peer], runs));
  const alone = await sequence(launcher, addresses, Math.min(runs, 50));
  const ten = typical(result, takenName(10), "ADD");
  const at = (taken: number) => typical(result, takenName(taken), "ADD");
  const own = "ms a call, whole process, medians; in the peer's place our own at 10 taken";
  return {
    rows: [
      ...TAKEN.slice(1).map((taken) =>
        ratioRow(`ADD, ${taken} of a /16 taken ÷ our ADD at 10`, 1.2, at(taken), ten, own),
      ),
      ratioRow("ADD, 10000 of a /16 taken", 0.05, at(10_000), typical(result, "peer", "ADD"), WHOLE),
      ratioRow(
        "host-local ADD alone, 10000 of a /16 taken",
        0.05,
        typical(alone, "ours alone", "ADD"),
        typical(alone, "peer alone", "ADD"),
        WHOLE,
      ),
    ],
    phases: { "ADD, 60000 of a /16 taken": times.ADD },
    details: { "full networks, 10 % / median / 90 % (ms)": { ...spread(result), ...spread(alone) } },
  };
}

/** The agent with many pods, and nobody asking. */
export async function resident(bench: Bench): Promise<Section> {
  const { agent, launcher, stands, resident, idleSeconds } = bench;
  if (agent === undefined) return { rows: [], details: {} };
  const attachments = stands.ours.pods.slice(0, resident).map((pod) => ({ stand: stands.ours, network: PLAIN, pod }));
  const added = await calls(launcher, attachments, "ADD", []);
  const [memory, cpu] = [agent.resident, await agent.idleCpu(idleSeconds)];
  await calls(launcher, attachments, "DEL", added);
  return {
    rows: [
      valueRow(`agent's resident memory with ${resident} pods`, 110, memory, "MB (VmRSS)"),
      valueRow("agent's CPU when idle", 0.5, cpu, `% of one CPU over ${idleSeconds} s`),
    ],
    details: { "agent's peak memory (MB)": agent.peak },
  };
}
