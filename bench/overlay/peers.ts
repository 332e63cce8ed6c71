import { type Address, parseAddress } from "../../net/address.ts";
import type { OverlayInput } from "../../overlay/network.ts";
import { parseNetworks, parseUnderlay, type UncheckedNetwork } from "../../overlay/parse-network.ts";
import { parseLeases, parsePeers } from "../../overlay/parse-peers.ts";

export type Backend = UncheckedNetwork["backend"];

/** Node `n`, from 1: its address on the underlay, whose device is eth0 everywhere, and its subnet. */
export const underlayAddress = (n: number): Address => parseAddress(`10.0.${n >> 8}.${n & 255}`);
export const podSubnet = (n: number): string => `100.${64 + (n >> 8)}.${n & 255}.0/24`;
export const podAddress = (n: number, host: number): Address => parseAddress(podSubnet(n).replace("0/24", `${host}`));

/** What node `me` of a cluster of so many nodes is told. @throws Error when something of it is refused */
export function clusterInput(backend: Backend, me: number, nodes: number, masquerade = false): OverlayInput {
  const underlay = parseUnderlay("eth0", 1500, [`${underlayAddress(me)}/16`]);
  const spec = { name: "pods", cidrs: ["100.64.0.0/10"], backend, masquerade };
  const networks = parseNetworks([spec]);
  const checked = { networks: networks.accepted, underlay };
  const leases = parseLeases([{ network: "pods", subnets: [podSubnet(me)] }], checked);
  const context = { nodeId: `node-${me}`, ...checked, leases: leases.accepted };
  const all = Array.from({ length: nodes }, (_, i) => ({
    network: "pods",
    nodeId: `node-${i + 1}`,
    nodeName: `node-${i + 1}`,
    subnet: podSubnet(i + 1),
    addresses: [underlayAddress(i + 1)],
  }));
  const peers = parsePeers(all, context);
  const [refusal] = [...networks.refusals, ...leases.refusals, ...peers.refusals];
  if (refusal !== undefined) throw new Error(refusal);
  return { ...context, peers: peers.accepted };
}
