import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { isCommand } from "../../cni/environment.ts";
import type { EndedCall } from "./host.ts";

const BUCKETS = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10];

/** Latencies of CNI calls, by verb, plugin and phase; names and units as Prometheus recommends. */
export class CallMetrics {
  readonly registry = new Registry();
  readonly #calls: Histogram<"verb" | "plugin">;
  readonly #phases: Histogram<"verb" | "plugin" | "phase">;
  readonly #results: Counter<"verb" | "plugin" | "code">;

  /** @param inFlight how many calls run or wait now */
  constructor(inFlight: () => number) {
    const registers = [this.registry];
    this.#calls = new Histogram({
      name: "podwire_agent_cni_call_duration_seconds",
      help: "Time of a CNI call in the agent, from its arrival to its answer.",
      labelNames: ["verb", "plugin"],
      buckets: BUCKETS,
      registers,
    });
    this.#phases = new Histogram({
      name: "podwire_agent_cni_phase_duration_seconds",
      help: "Time of a CNI call by phase.",
      labelNames: ["verb", "plugin", "phase"],
      buckets: BUCKETS,
      registers,
    });
    this.#results = new Counter({
      name: "podwire_agent_cni_calls_total",
      help: "CNI calls by result: 0, or the code of the CNI error.",
      labelNames: ["verb", "plugin", "code"],
      registers,
    });
    new Gauge({
      name: "podwire_agent_cni_calls_in_flight",
      help: "CNI calls that run or wait for their turn.",
      registers,
      collect() {
        this.set(inFlight());
      },
    });
  }

  observe({ verb: given, plugin, phases, error }: EndedCall): void {
    const verb = isCommand(given) ? given : "other";
    let total = 0;
    for (const [phase, ms] of Object.entries(phases)) {
      total += ms;
      this.#phases.observe({ verb, plugin, phase }, ms / 1000);
    }
    this.#calls.observe({ verb, plugin }, total / 1000);
    this.#results.inc({ verb, plugin, code: error?.code ?? 0 });
  }
}
