import { addToAddress } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";
import { makePrefix, networkOf, parsePrefix, prefixAddress, prefixFamily, prefixLength } from "../net/prefix.ts";

/** What flannel's subnet.env says of a node, for tools that expect that file. */
export interface SubnetEnv {
  readonly cidrs: readonly Prefix[];
  /** The node's, at most one per family. */
  readonly subnets: readonly Prefix[];
  readonly mtu: number;
  readonly masquerade: boolean;
}

/** The keys of each family. FLANNEL_SUBNET is the gateway's address (subnet + 1) with the subnet's length. */
const KEYS = {
  4: { network: "FLANNEL_NETWORK", subnet: "FLANNEL_SUBNET" },
  6: { network: "FLANNEL_IPV6_NETWORK", subnet: "FLANNEL_IPV6_SUBNET" },
} as const;

export function formatSubnetEnv({ cidrs, subnets, mtu, masquerade }: SubnetEnv): string {
  const lines = ([4, 6] as const).flatMap((family) => {
    const cidr = cidrs.find((each) => prefixFamily(each) === family);
    const subnet = subnets.find((each) => prefixFamily(each) === family);
    if (cidr === undefined || subnet === undefined) return [];
    const gateway = makePrefix(addToAddress(prefixAddress(subnet), 1), prefixLength(subnet));
    return [`${KEYS[family].network}=${cidr}`, `${KEYS[family].subnet}=${gateway}`];
  });
  return `${[...lines, `FLANNEL_MTU=${mtu}`, `FLANNEL_IPMASQ=${masquerade}`].join("\n")}\n`;
}

/**
 * The subnets of a node that flannel ran on, to be claimed from the controller, so that its pods keep their addresses.
 * @throws RangeError when a value is no prefix
 */
export function parseSubnetEnv(text: string): Prefix[] {
  const values = new Map(
    text.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1).trim()]),
  );
  return ([4, 6] as const).flatMap((family) => {
    const subnet = values.get(KEYS[family].subnet);
    return subnet === undefined ? [] : [networkOf(parsePrefix(subnet))];
  });
}
