import type { NftSetName } from "../kernel/nftables/element-message.ts";
import { FORWARDING_CHAINS, FORWARDING_SETS, NETWORK_SETS } from "./forwarding.ts";
import { MAC_CHECK_CHAIN, MAC_CHECK_SETS } from "./mac-check.ts";
import { EGRESS_CHAIN, MASQUERADE_SETS } from "./masquerade.ts";
import { PORT_MAP_CHAINS, PORT_MAP_SETS } from "./port-map.ts";

/** All sets and maps whose elements are attachments' own, each with the attachment's key as (or first in) its comment; and networks', with the network's. */
export const ATTACHMENT_SETS: readonly NftSetName[] = [
  ...MASQUERADE_SETS,
  ...MAC_CHECK_SETS,
  ...PORT_MAP_SETS,
  ...FORWARDING_SETS,
  ...NETWORK_SETS,
];

/** The chains that look into these and do nothing while they are empty. */
export const SERVING_CHAINS: readonly string[] = [
  EGRESS_CHAIN,
  MAC_CHECK_CHAIN,
  ...PORT_MAP_CHAINS,
  ...FORWARDING_CHAINS,
];
