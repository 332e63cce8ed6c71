import type { NetConf } from "../../cni/conf.ts";
import { type Decoder, invalid, object, oneOf, optional, string } from "../../cni/decode.ts";
import { SERVING_CHAINS } from "../../firewall/attachment-sets.ts";
import { INGRESS_POLICIES, type IngressPolicy } from "../../firewall/forwarding.ts";

/** The keys of the firewall plugin, as the reference plugin names them. */
export interface FirewallConf {
  readonly ingressPolicy: IngressPolicy;
  /** The chain of ours that users may put rules into. */
  readonly adminChain: string;
  /** Keys that ask for what nftables does not have, as sentences for the log. */
  readonly unused: readonly string[];
}

export const DEFAULT_ADMIN_CHAIN = "CNI-ADMIN";
/** Chains of ours that are not in SERVING_CHAINS begin so. */
const OUR_CHAINS = /^(network_|overlay_|tunnel_|probe_)/;
/** NFT_CHAIN_MAXNAMELEN of <linux/netfilter/nf_tables.h> is longer than what anybody writes. */
const CHAIN_NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,126}$/;

const chainName: Decoder<string> = (value, path) => {
  const name = string(value, path);
  if (!CHAIN_NAME.test(name)) throw invalid(path, value, "cannot be the name of a chain in nftables");
  if (SERVING_CHAINS.includes(name) || OUR_CHAINS.test(name)) throw invalid(path, value, "is a chain of podwire's own");
  return name;
};

const keys = object({
  backend: optional((value, path) =>
    value === "" ? undefined : oneOf("nftables", "iptables", "firewalld")(value, path),
  ),
  iptablesAdminChainName: optional((value, path) => (value === "" ? undefined : chainName(value, path))),
  firewalldZone: optional(string),
  ingressPolicy: optional((value, path) => (value === "" ? undefined : oneOf(...INGRESS_POLICIES)(value, path))),
});

/** @throws CniError 7 that names key and value */
export function decodeFirewallConf({ raw }: Pick<NetConf, "raw">): FirewallConf {
  const { backend, iptablesAdminChainName, firewalldZone, ingressPolicy } = keys(raw, "");
  const unused: string[] = [];
  if (backend === "iptables" || backend === "firewalld") {
    unused.push(`backend: ${backend} is not used; the rules are made by nftables, in the table inet podwire`);
  }
  if (firewalldZone) {
    unused.push(`firewalldZone: no address is put into ${firewalldZone}; put the bridge into the zone`);
  }
  return {
    ingressPolicy: ingressPolicy ?? "open",
    adminChain: iptablesAdminChainName ?? DEFAULT_ADMIN_CHAIN,
    unused,
  };
}
