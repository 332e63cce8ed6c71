import { type Address, familyOf, isUnspecified } from "../../net/address.ts";
import { attrs, ip, u8, u16be, u64be } from "../netlink/attrs.ts";
import { Reader, Writer } from "../netlink/bytes.ts";

/** LWTUNNEL_ENCAP_*, <linux/lwtunnel.h>. */
const EncapType = { ip: 2, ip6: 4 } as const;

/** A lightweight tunnel's key, LWTUNNEL_IP_* or LWTUNNEL_IP6_* by dst's family: `encap ip id 7 dst 192.0.2.1`. */
export interface IpEncap {
  readonly type: "ip";
  /** The tunnel id (VNI); the wire has 64 bits, a number 53. */
  readonly id: number;
  readonly dst: Address;
  readonly src?: Address | undefined;
  readonly ttl?: number | undefined;
  readonly tos?: number | undefined;
  readonly flags?: readonly ("csum" | "key" | "seq")[] | undefined;
}

/** LWTUNNEL_IP_* and LWTUNNEL_IP6_*, which have the same numbers. */
const tunnelKey = attrs({ id: [1, u64be], dst: [2, ip], src: [3, ip], ttl: [4, u8], tos: [5, u8], flags: [6, u16be] });

/** TUNNEL_*, <linux/if_tunnel.h>, in network byte order. */
const FLAGS = { csum: 0x0001, key: 0x0004, seq: 0x0008 } as const;

/** The two attributes of a route that stand for its tunnel key: RTA_ENCAP_TYPE and RTA_ENCAP. */
export interface EncapAttrs {
  readonly encapType?: number | undefined;
  readonly encap?: Uint8Array | undefined;
}

const NO_ENCAP: EncapAttrs = { encapType: undefined, encap: undefined };

export function encodeEncap(encap: IpEncap | undefined): EncapAttrs {
  if (encap === undefined) return NO_ENCAP;
  const { id, dst, src, ttl, tos, flags } = encap;
  scratch ??= new Writer();
  scratch.clear();
  const flagBits = flags?.reduce((bits, name) => bits | FLAGS[name], 0);
  tunnelKey.write(scratch, { id, dst, src, ttl, tos, flags: flagBits });
  return { encapType: familyOf(dst) === 4 ? EncapType.ip : EncapType.ip6, encap: scratch.finish().slice() };
}

/** For all encodings: a buffer of its own for each of thousands of routes costs more than the rest of the route. */
let scratch: Writer | undefined;

/** undefined when there is none, or one of another kind (MPLS, segment routing). */
export function decodeEncap({ encapType, encap }: EncapAttrs): IpEncap | undefined {
  if (encap === undefined || (encapType !== EncapType.ip && encapType !== EncapType.ip6)) return undefined;
  const { id = 0, dst, src, ttl, tos, flags } = tunnelKey.read(new Reader(encap));
  if (dst === undefined) return undefined;
  const names = (Object.keys(FLAGS) as (keyof typeof FLAGS)[]).filter((name) => (flags ?? 0) & FLAGS[name]);
  return {
    type: "ip",
    id,
    dst,
    // The kernel dumps an absent source as zeros.
    ...(src === undefined || isUnspecified(src) ? {} : { src }),
    ...(ttl ? { ttl } : {}),
    ...(tos ? { tos } : {}),
    ...(names.length > 0 ? { flags: names } : {}),
  };
}
