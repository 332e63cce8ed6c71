import { attrs, struct, u8, u16be, u32be } from "../netlink/attrs.ts";
import { Reader } from "../netlink/bytes.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../netlink/socket.ts";
import { inNetns, type Netns } from "../netns.ts";

/** NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, <linux/netfilter/nfnetlink.h> and nf_tables.h. */
const GET_GENERATION = (10 << 8) | 16;

/** struct nfgenmsg */
const header = struct({ family: u8, version: u8, resource: u16be });
/** NFTA_GEN_ID */
const generation = attrs({ id: [1, u32be] });

/**
 * The number of the namespace's nft ruleset: another one after every transaction, whoever made it. Asking takes
 * microseconds, where listing a large table takes a tenth of a second.
 * @throws NetlinkError
 */
export function nftGeneration(netns?: Netns | string): number {
  using socket = inNetns(netns, () => new NetlinkSocket(NETLINK_NETFILTER));
  const body = (to: Parameters<typeof header.write>[0]) => header.write(to, { family: 0, version: 0, resource: 0 });
  const from = new Reader(socket.ask({ type: GET_GENERATION, body, label: "NFT_MSG_GETGEN" }).body);
  header.read(from);
  return generation.read(from).id ?? 0;
}
