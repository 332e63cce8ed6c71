import { type Attrs, attrs, bytes, type Codec, s32, string, struct, u8, u16, u32 } from "../../netlink/attrs.ts";

/** struct ifinfomsg again, at the head of the peer's attributes. */
const peerHeader = struct({ family: u8, padding: u8, type: u16, index: s32, flags: u32, change: u32 });

/** The IFLA_* that the kernel takes for a peer. */
const peerFields = {
  address: [1, bytes],
  name: [3, string],
  mtu: [4, u32],
  txQueueLength: [13, u32],
  group: [27, u32],
  /** The namespace that the peer is made in: it never moves. */
  netnsFd: [28, u32],
  txQueues: [31, u32],
  rxQueues: [32, u32],
} as const;
const peerAttrs = attrs(peerFields);

/** The peer's attributes. It cannot be made up: the kernel ties the ends together only afterwards. */
export type VethPeerAttrs = Attrs<typeof peerFields>;

const peer: Codec<VethPeerAttrs> = {
  nested: true,
  write(to, peer) {
    peerHeader.write(to, { family: 0, padding: 0, type: 0, index: 0, flags: 0, change: 0 });
    peerAttrs.write(to, peer);
  },
  read(from) {
    peerHeader.read(from);
    return peerAttrs.read(from);
  },
};

/** VETH_INFO_*, <linux/veth.h>: sent when a pair is made, never dumped. */
const fields = { peer: [1, peer] } as const;
export type VethData = Attrs<typeof fields>;
export const vethData: Codec<VethData> = attrs(fields);
