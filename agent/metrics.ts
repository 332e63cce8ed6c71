import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { createProbeMetrics } from "./probe/metrics.ts";

/** The agent's metrics; names and units as Prometheus recommends. */
export function createMetrics(version: string) {
  const registry = new Registry();
  const registers = [registry];
  // Its usual sampling of the event loop, 100 times a second, is most of what an idle agent would do.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 1000 });
  const build = new Gauge({
    name: "podwire_build_info",
    help: "1, labelled by version.",
    labelNames: ["version"],
    registers,
  });
  build.set({ version }, 1);
  return {
    registry,
    probe: createProbeMetrics(registry),
    connected: new Gauge({
      name: "podwire_agent_controller_connected",
      help: "1 while the stream to a controller is open.",
      registers,
    }),
    appliedRevision: new Gauge({
      name: "podwire_agent_applied_revision",
      help: "Store revision that the kernel was brought to last.",
      registers,
    }),
    knownRevision: new Gauge({
      name: "podwire_agent_known_revision",
      help: "Store revision heard of last.",
      registers,
    }),
    passSeconds: new Histogram({
      name: "podwire_agent_reconcile_duration_seconds",
      help: "Time of one pass over links, routes, neighbours, FDB and rules.",
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
      registers,
    }),
    changes: new Counter({
      name: "podwire_agent_reconcile_changes_total",
      help: "Kernel objects changed.",
      labelNames: ["change"],
      registers,
    }),
    failures: new Counter({
      name: "podwire_agent_reconcile_failures_total",
      help: "Passes that left something undone.",
      registers,
    }),
    refused: new Gauge({
      name: "podwire_agent_refused_objects",
      help: "Networks, leases and peers that were refused as invalid.",
      registers,
    }),
    remembered: new Gauge({
      name: "podwire_agent_remembered_subnets",
      help: "Subnets that are routed although the store has lost them.",
      registers,
    }),
    peers: new Gauge({ name: "podwire_agent_peers", help: "Peer subnets that are routed.", registers }),
    pods: new Gauge({ name: "podwire_agent_pods", help: "Attachments on this node.", registers }),
    leaseExpiry: new Gauge({
      name: "podwire_agent_lease_expiry_timestamp_seconds",
      help: "When the lease ends unless it is renewed.",
      labelNames: ["network"],
      registers,
    }),
  };
}

export type Metrics = ReturnType<typeof createMetrics>;
