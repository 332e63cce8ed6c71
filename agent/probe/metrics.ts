import { Counter, Gauge, type Registry } from "prom-client";

/** Metrics of the self-test of tunnels. Labels are bounded: a peer is named only while its tunnel fails. */
export function createProbeMetrics(registry: Registry) {
  const registers = [registry];
  return {
    probes: new Counter({
      name: "podwire_agent_tunnel_probes_total",
      help: "Peers asked through their tunnel, by result: passed, failed, or not_probed (nobody answers questions there).",
      labelNames: ["result"],
      registers,
    }),
    failing: new Gauge({
      name: "podwire_agent_tunnel_probe_failing",
      help: "1 for each pair of nodes whose tunnel fails from here, by why.",
      labelNames: ["network", "peer", "family", "verdict"],
      registers,
    }),
    remedies: new Gauge({
      name: "podwire_agent_tunnel_checksum_offload_disabled",
      help: "1 for each tunnel device whose tx checksum offload was switched off because packets got lost.",
      labelNames: ["device"],
      registers,
    }),
  };
}

export type ProbeMetrics = ReturnType<typeof createProbeMetrics>;
