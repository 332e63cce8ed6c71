import {
  type Attrs,
  attrs,
  bytes,
  type Codec,
  s32,
  string,
  struct,
  u8,
  u16,
  u32,
  u32be,
  u64,
  type Value,
} from "../netlink/attrs.ts";
import { Reader, Writer } from "../netlink/bytes.ts";

/** struct tcmsg, <linux/rtnetlink.h>. */
export const tcHeader = struct({ family: u8, pad1: u8, pad2: u16, index: s32, handle: u32, parent: u32, info: u32 });
export type TcHeader = Value<typeof tcHeader>;

/** TCA_*, <linux/rtnetlink.h>. What the options hold depends on the kind. */
const fields = { kind: [1, string], options: [2, bytes] } as const;
export const tcAttrs: Codec<Attrs<typeof fields>> = attrs(fields);

/** struct tc_ratespec, <linux/pkt_sched.h>. */
const rateSpec = struct({ cellLog: u8, linkLayer: u8, overhead: u16, cellAlign: u16, mpu: u16, rate: u32 });
/** TC_LINKLAYER_ETHERNET: the kernel counts bytes, and needs no table of times. */
const ETHERNET = 1;
const NO_RATE = { cellLog: 0, linkLayer: 0, overhead: 0, cellAlign: 0, mpu: 0, rate: 0 } as const;

/** What the 32 bits of struct tc_ratespec hold, and the attribute for what they cannot. */
function splitRate(rate: number): { readonly spec: Value<typeof rateSpec>; readonly rate64: number | undefined } {
  const spec = { ...NO_RATE, linkLayer: ETHERNET, rate: Math.min(rate, U32_MAX) };
  return { spec, rate64: rate > U32_MAX ? rate : undefined };
}

const U32_MAX = 0xffffffff;
/** A tick of PSCHED_SHIFT 6 (<net/pkt_sched.h>), as /proc/net/psched has told since Linux 2.6.31. */
const TICK_NANOSECONDS = 64;

/** How long the bytes take at the rate, in the kernel's ticks; 275 seconds at most. */
function burstTicks(burst: number, rate: number): number {
  return Math.min(Math.ceil((burst * 1e9) / rate / TICK_NANOSECONDS), U32_MAX);
}

function ticksBurst(ticks: number, rate: number): number {
  return Math.round((ticks * TICK_NANOSECONDS * rate) / 1e9);
}

/** A token bucket filter, tc-tbf(8): one rate for all packets. */
export interface Tbf {
  /** Bytes a second, of whole frames. */
  readonly rate: number;
  /** Bytes that go at once after a pause; a frame that is larger is cut (GSO) or dropped. */
  readonly burst: number;
  /** Bytes that may wait. */
  readonly limit: number;
}

/** struct tc_tbf_qopt and TCA_TBF_*, <linux/pkt_sched.h>. */
const tbfOptions = attrs({
  parms: [1, struct({ rate: rateSpec, peakRate: rateSpec, limit: u32, buffer: u32, mtu: u32 })],
  rate64: [4, u64],
  burst: [6, u32],
});

export function writeTbf({ rate, burst, limit }: Tbf): Uint8Array {
  const { spec, rate64 } = splitRate(rate);
  const parms = { rate: spec, peakRate: NO_RATE, limit, buffer: burstTicks(burst, rate), mtu: 0 };
  return encode(tbfOptions, { parms, rate64, burst });
}

export function readTbf(options: Uint8Array): Tbf | undefined {
  const { parms, rate64, burst } = tbfOptions.read(new Reader(options));
  if (parms === undefined) return undefined;
  const rate = rate64 ?? parms.rate.rate;
  return { rate, burst: burst ?? ticksBurst(parms.buffer, rate), limit: parms.limit };
}

/** struct tc_htb_glob and TCA_HTB_INIT, <linux/pkt_sched.h>. */
const htbOptions = attrs({
  init: [2, struct({ version: u32, rateToQuantum: u32, defaultClass: u32, debug: u32, directPackets: u32 })],
});
/** TC_HTB_PROTOVER >> 16 */
const HTB_VERSION = 3;
/** As tc-htb(8) has it. */
const RATE_TO_QUANTUM = 10;

/** A hierarchical token bucket, tc-htb(8): its classes have the rates. */
export interface Htb {
  /** Minor number of the class for what no filter puts into another. */
  readonly defaultClass: number;
}

export function writeHtb({ defaultClass }: Htb): Uint8Array {
  const init = { version: HTB_VERSION, rateToQuantum: RATE_TO_QUANTUM, defaultClass, debug: 0, directPackets: 0 };
  return encode(htbOptions, { init });
}

export function readHtb(options: Uint8Array): Htb | undefined {
  const { init } = htbOptions.read(new Reader(options));
  return init === undefined ? undefined : { defaultClass: init.defaultClass };
}

/** A class of an {@link Htb}; it does not borrow. */
export interface HtbClass {
  /** Bytes a second, of whole frames. */
  readonly rate: number;
  /** Bytes that go at once after a pause; the kernel holds no more than 275 seconds of the rate. */
  readonly burst: number;
  /** Bytes of one turn among classes; the kernel's choice when absent. */
  readonly quantum?: number | undefined;
}

/** struct tc_htb_opt and TCA_HTB_*, <linux/pkt_sched.h>. */
const htbClassOptions = attrs({
  parms: [
    1,
    struct({ rate: rateSpec, ceil: rateSpec, buffer: u32, ceilBuffer: u32, quantum: u32, level: u32, priority: u32 }),
  ],
  rate64: [6, u64],
  ceil64: [7, u64],
});

export function writeHtbClass({ rate, burst, quantum = 0 }: HtbClass): Uint8Array {
  const { spec, rate64 } = splitRate(rate);
  const buffer = burstTicks(burst, rate);
  const parms = { rate: spec, ceil: spec, buffer, ceilBuffer: buffer, quantum, level: 0, priority: 0 };
  return encode(htbClassOptions, { parms, rate64, ceil64: rate64 });
}

export function readHtbClass(options: Uint8Array): HtbClass | undefined {
  const { parms, rate64 } = htbClassOptions.read(new Reader(options));
  if (parms === undefined) return undefined;
  const rate = rate64 ?? parms.rate.rate;
  return { rate, burst: ticksBurst(parms.buffer, rate), quantum: parms.quantum };
}

/** Four bytes of a packet, counted from its network header, that must be as `value` where `mask` has bits. */
export interface U32Key {
  readonly value: number;
  readonly mask: number;
  readonly offset: number;
}

/** A filter of tc-u32(8): what matches all keys goes into a class, or leaves by another link. */
export interface U32 {
  readonly keys: readonly U32Key[];
  readonly classId?: number | undefined;
  /** Index of the link (tc-mirred(8), "egress redirect"). */
  readonly redirect?: number | undefined;
}

/** struct tc_u32_sel and struct tc_u32_key, <linux/pkt_cls.h>. */
const selectorHead = struct({
  flags: u8,
  offsetShift: u8,
  keyCount: u8,
  pad: u8,
  offsetMask: u16,
  offset: u16,
  offsetOffset: u16,
  hashOffset: u16,
  hashMask: u32be,
});
const selectorKey = struct({ mask: u32be, value: u32be, offset: s32, offsetMask: u32 });
/** TC_U32_TERMINAL */
const TERMINAL = 1;

const selector: Codec<readonly U32Key[]> = {
  write(to, keys) {
    const zero = { offsetShift: 0, pad: 0, offsetMask: 0, offset: 0, offsetOffset: 0, hashOffset: 0, hashMask: 0 };
    selectorHead.write(to, { flags: TERMINAL, keyCount: keys.length, ...zero });
    for (const key of keys) selectorKey.write(to, { ...key, offsetMask: 0 });
  },
  read(from) {
    const { keyCount } = selectorHead.read(from);
    return Array.from({ length: keyCount }, () => {
      const { mask, value, offset } = selectorKey.read(from);
      return { value, mask, offset };
    });
  },
};

/** struct tc_mirred, <linux/tc_act/tc_mirred.h>, and the TCA_ACT_* around it; the first action stands at 1. */
const mirred = struct({
  index: u32,
  capabilities: u32,
  action: s32,
  references: s32,
  bindings: s32,
  way: s32,
  link: u32,
});
const action = attrs({ kind: [1, string], options: [2, attrs({ parms: [2, mirred] })] });
/** TCA_EGRESS_REDIR; TC_ACT_STOLEN: the packet is the action's from now on. */
const EGRESS_REDIRECT = 1;
const STOLEN = 4;

/** TCA_U32_*, <linux/pkt_cls.h>. */
const u32Options = attrs({ classId: [1, u32], selector: [5, selector], actions: [7, attrs({ first: [1, action] })] });

export function writeU32({ keys, classId, redirect }: U32): Uint8Array {
  const parms = { index: 0, capabilities: 0, action: STOLEN, references: 0, bindings: 0, way: EGRESS_REDIRECT };
  const first = { kind: "mirred", options: { parms: { ...parms, link: redirect ?? 0 } } };
  // A filter without a key would match too, but only the kernel's own dump can say so.
  const selected = keys.length === 0 ? [{ value: 0, mask: 0, offset: 0 }] : keys;
  return encode(u32Options, { classId, selector: selected, actions: redirect === undefined ? undefined : { first } });
}

export function readU32(options: Uint8Array): U32 | undefined {
  const { classId, selector: keys, actions } = u32Options.read(new Reader(options));
  if (keys === undefined) return undefined; // a hash table, not a filter
  const parms = actions?.first?.kind === "mirred" ? actions.first.options?.parms : undefined;
  return {
    keys: keys.filter(({ mask }) => mask !== 0),
    ...(classId === undefined ? {} : { classId }),
    ...(parms?.way === EGRESS_REDIRECT ? { redirect: parms.link } : {}),
  };
}

function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const to = new Writer();
  codec.write(to, value);
  return to.finish();
}
