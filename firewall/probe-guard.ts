import { ADDRESS_BITS, type Address, addressFromBigInt } from "../net/address.ts";
import { type Prefix, prefixFamily } from "../net/prefix.ts";
import type { Ruleset } from "./ruleset.ts";

/** Who may ask this node's agent whether packets arrive. */
export interface ProbeGuard {
  /** UDP. */
  readonly port: number;
  /** Each network's CIDRs with the length of a node's subnet: its lowest address is the node's, all others are pods'. */
  readonly networks: readonly { readonly cidr: Prefix; readonly subnetLength: number }[];
}

/**
 * Drops what comes for the agent's port from pods and from outside of the cluster's networks, before it wakes the agent.
 * Its size does not depend on the number of nodes.
 */
export function probeGuard({ port, networks }: ProbeGuard): Ruleset {
  const strangers = ([4, 6] as const).flatMap((family) => {
    const cidrs = networks.map(({ cidr }) => cidr).filter((cidr) => prefixFamily(cidr) === family);
    return cidrs.length === 0 ? [] : [`${word(family)} saddr != { ${cidrs.join(", ")} } drop`];
  });
  const pods = networks.map(({ cidr, subnetLength }) => {
    const family = prefixFamily(cidr);
    const [mask, none] = [hostMask(family, subnetLength), addressFromBigInt(family, 0n)];
    return `${word(family)} saddr ${cidr} ${word(family)} saddr & ${mask} != ${none} drop`;
  });
  return {
    prefix: "probe_",
    sets: [],
    chains: [
      {
        name: "probe_input",
        hook: { type: "filter", hook: "input", priority: -300 },
        rules: ["meta l4proto != udp return", `udp dport != ${port} return`, ...strangers, ...pods],
      },
    ],
  };
}

function word(family: 4 | 6): string {
  return family === 4 ? "ip" : "ip6";
}

function hostMask(family: 4 | 6, length: number): Address {
  return addressFromBigInt(family, (1n << BigInt(ADDRESS_BITS[family] - length)) - 1n);
}
