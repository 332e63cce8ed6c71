import { availableParallelism } from "node:os";
import { applyOverlay } from "../../dataplane/apply.ts";
import { applyRulesets, nodeRulesets } from "../../dataplane/node-rules.ts";
import { currentNetns, enterNetns, openNetns } from "../../kernel/netns.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { desiredOverlay } from "../../overlay/desired.ts";
import { Daemon, run, runOk } from "../../test/netns/harness/exec.ts";
import { openSandbox, type Sandbox } from "../../test/netns/sandbox.ts";
import type { Stage } from "../measure.ts";
import { clusterInput, podAddress, underlayAddress } from "./peers.ts";
import type { Subject } from "./subjects.ts";

const NODES = [1, 2] as const;
type Node = (typeof NODES)[number];

/** What one second of traffic showed. */
export interface Flow {
  /** Gbit/s that arrived. */
  readonly throughput: number;
  /** Milliseconds of processor time a gigabyte, of both programs and of what the kernel did in their name. */
  readonly cpu: number;
}

/** Two nodes with a cable between them, a pod behind each, and the subject's tunnel. */
export class Stand {
  readonly subject: Subject;
  readonly #sandbox: Sandbox;

  private constructor(subject: Subject, sandbox: Sandbox) {
    this.subject = subject;
    this.#sandbox = sandbox;
  }

  /** Builds it; gone with the stage. @throws Error when the pods can't reach each other with full-size packets */
  static async build(stage: Stage, subject: Subject): Promise<Stand> {
    const stand = new Stand(subject, openSandbox(stage));
    stand.#sandbox.sh(`ip netns add node-1; ip netns add node-2
      ip link add eth0 netns node-1 type veth peer name eth0 netns node-2`);
    let mtu = 0;
    for (const me of NODES) {
      stand.#sandbox.sh(`ip -n node-${me} link set eth0 up; ip -n node-${me} link set lo up
        ip -n node-${me} address add ${underlayAddress(me)}/16 dev eth0`);
      mtu = await stand.#tunnel(me, me === 1 ? 2 : 1);
      stand.#pod(me, mtu);
    }
    const size = mtu - 28; // IPv4 and ICMP headers
    await runOk(stand.enter("pod-1", `ping -q -c 3 -i 0.2 -W 5 -M do -s ${size} ${podAddress(2, 2)}`));
    for (const server of ["iperf3 -s", "qperf"]) {
      const daemon = new Daemon(stand.enter("pod-2", `${pinned(1)} ${server}`));
      stage.teardown(() => daemon.stop("SIGKILL"));
    }
    return stand;
  }

  /** Bytes that the tunnel adds to a packet, as one captured on the wire has them. */
  overhead(): number {
    const inner = 1028;
    const text =
      this.#sandbox.sh(`ip netns exec pod-1 ping -q -i 0.2 -w 20 -s ${inner - 28} ${podAddress(2, 2)} >/dev/null & pings=$!
      timeout 20 ip netns exec node-2 tcpdump -n -e -c 1 -i eth0 'src ${underlayAddress(1)} and greater ${inner}
        or src ${podAddress(1, 2)} and greater ${inner}' 2>/dev/null
      kill $pings`);
    const [, length] = / length (\d+):/.exec(text) ?? [];
    if (length === undefined) throw new Error(`${this.subject.name}: no packet was seen on the wire, but: ${text}`);
    return Number(length) - 14 - inner;
  }

  /** TCP in one stream from pod to pod. */
  async stream(seconds: number): Promise<Flow> {
    const command = `${pinned(0)} iperf3 -c ${podAddress(2, 2)} -t ${seconds} -O 0.2 -J`;
    const { stdout } = await run(this.enter("pod-1", command));
    const { end, error } = JSON.parse(stdout) as IperfReport;
    if (end?.sum_received === undefined) throw new Error(`iperf3 over ${this.subject.name}: ${error ?? stdout}`);
    const { bytes, seconds: measured } = end.sum_received;
    const { host_total, remote_total } = end.cpu_utilization_percent;
    const cpuSeconds = ((host_total + remote_total) / 100) * measured;
    return { throughput: (bytes * 8) / measured / 1e9, cpu: (cpuSeconds * 1000) / (bytes / 1e9) };
  }

  /** One byte there and one byte back, again and again over one connection: microseconds of a round trip. */
  async roundTrip(seconds: number): Promise<number> {
    const command = `${pinned(0)} qperf -t ${seconds} -uu ${podAddress(2, 2)} tcp_lat`;
    const text = await runOk(this.enter("pod-1", command));
    const [, value, unit = ""] = /latency\s*=\s*([\d.,]+) (\w+)/.exec(text) ?? [];
    const scale = { ns: 0.001, us: 1, ms: 1000, sec: 1e6 }[unit];
    if (value === undefined || scale === undefined) throw new Error(`qperf over ${this.subject.name}: ${text}`);
    return Number(value.replaceAll(",", "")) * scale * 2; // it says the half
  }

  /** @returns the MTU of the pods */
  async #tunnel(me: Node, other: Node): Promise<number> {
    if (this.subject.by === "hand") {
      this.#sandbox.sh(
        `ip netns exec node-${me} bash -eu`,
        `sysctl -qw net.ipv4.ip_forward=1\n${this.subject.script(me, other)}`,
      );
      return this.subject.mtu;
    }
    const { backend, nodes = 2, masquerade = false } = this.subject;
    const input = clusterInput(backend, me, nodes, masquerade);
    const desired = desiredOverlay(input);
    using home = currentNetns();
    using there = openNetns(this.#sandbox.netns(`node-${me}`));
    enterNetns(there); // no callback, for the pass lets the event loop run; nothing else does in here
    try {
      using rt = openRoute();
      await applyOverlay(rt, desired);
      applyRulesets(nodeRulesets(input));
    } finally {
      enterNetns(home);
    }
    return desired.podMtu.pods ?? 0;
  }

  #pod(me: Node, mtu: number): void {
    this.#sandbox.sh(`ip netns add pod-${me}
      ip link add pod netns node-${me} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns pod-${me}
      ip -n node-${me} address add ${podAddress(me, 1)}/24 dev pod; ip -n node-${me} link set pod up
      ip -n pod-${me} link set lo up; ip -n pod-${me} link set eth0 up
      ip -n pod-${me} address add ${podAddress(me, 2)}/24 dev eth0; ip -n pod-${me} route add default via ${podAddress(me, 1)}`);
  }

  /** The words that run a command in "pod-1", "node-2", … */
  enter(netns: string, command: string): string[] {
    return ["nsenter", `--net=${this.#sandbox.netns(netns)}`, "sh", "-c", `exec ${command}`];
  }
}

interface IperfReport {
  readonly error?: string;
  readonly end?: {
    readonly sum_received?: { readonly bytes: number; readonly seconds: number };
    readonly cpu_utilization_percent: { readonly host_total: number; readonly remote_total: number };
  };
}

/** Sender and receiver have a processor each, where there are two: left to themselves they wander, and results with them. */
function pinned(processor: number): string {
  return availableParallelism() > 1 ? `taskset -c ${processor}` : "";
}
