import type { DesiredSwitch, DesiredTunnelPort } from "../overlay/state.ts";

/**
 * The bridge as ovs-vswitchd's own datapath can have it. That takes GRE of both families by ports of type `gre`, and where
 * there are `ip6gre` ones too it gives every packet to either kind, whatever its family. Ports that are the same but for
 * that become one, and flows that name them follow.
 */
export function inOwnProcess(wanted: DesiredSwitch): DesiredSwitch {
  if (!wanted.ports.some(({ type }) => type === "ip6gre")) return wanted;
  const ports = new Map<string, DesiredTunnelPort>();
  const nameOf = new Map<string, string>();
  for (const port of wanted.ports) {
    const type = port.type === "ip6gre" ? "gre" : port.type;
    const what = JSON.stringify({ type, ...port.options });
    const first = ports.get(what) ?? { ...port, type };
    ports.set(what, first);
    nameOf.set(port.name, first.name);
  }
  const flows = wanted.flows.map((flow) => ({
    ...flow,
    from: nameOf.get(flow.from) ?? flow.from,
    to: nameOf.get(flow.to) ?? flow.to,
  }));
  return { ...wanted, ports: [...ports.values()], flows };
}
