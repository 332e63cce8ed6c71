import {
  type Attrs,
  attrs,
  bytes,
  type Codec,
  ip,
  named,
  s32,
  struct,
  u8,
  u16,
  u16be,
  u32,
  type Value,
} from "../netlink/attrs.ts";

export const NUD_PERMANENT = 0x80;

/** NUD_*, <linux/neighbour.h>. Combinations without a name stay numbers. */
export const neighbourState = named(u16, {
  none: 0,
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: NUD_PERMANENT,
});
export type NeighbourState = Value<typeof neighbourState>;

/** struct ndmsg, <linux/neighbour.h>. */
export const neighbourHeader = struct({
  family: u8,
  padding1: u8,
  padding2: u16,
  index: s32,
  state: neighbourState,
  flags: u8,
  type: u8,
});
export type NeighbourHeader = Value<typeof neighbourHeader>;

/** NTF_*, <linux/neighbour.h>. */
export const NeighbourFlag = { self: 0x02, master: 0x04, proxy: 0x08, externLearned: 0x10 } as const;

/** NDA_*, <linux/neighbour.h>. */
const fields = {
  dst: [1, ip],
  /** Six bytes on Ethernet; other kinds of link have other lengths. */
  mac: [2, bytes],
  vlan: [5, u16],
  /** Network byte order. */
  port: [6, u16be],
  vni: [7, u32],
  /** In a dump request: the link that is meant. */
  ifIndex: [8, u32],
  /** In a dump: the port's bridge. */
  master: [9, u32],
  sourceVni: [11, u32],
  protocol: [12, u8],
} as const;
export type NeighbourAttrs = Attrs<typeof fields>;
export const neighbourAttrs: Codec<NeighbourAttrs> = attrs(fields);
