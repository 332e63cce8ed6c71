import { attachFilter } from "../ffi/libc.ts";
import { LITTLE_ENDIAN } from "./bytes.ts";
import type { NetlinkSocket } from "./socket.ts";

/**
 * What a socket's filter does with a datagram (classic BPF, <linux/filter.h>): it loads a value into the accumulator, or
 * looks at it, and goes on with the next step or with the label's.
 */
export type FilterStep =
  /** Where jumps lead to. */
  | { readonly label: string }
  /** Loads the byte, or the 16 bits, at the offset, most significant byte first. Beyond the end: dropped. */
  | { readonly load: 1 | 2; readonly at: number }
  /** Finds the attribute among those from the offset on, and loads where it is; 0 when it is not there. */
  | { readonly find: number; readonly from: number }
  /** The same, so far behind the beginning of the attribute that was found last. */
  | { readonly loadFound: 1 | 2; readonly at: number }
  /** Jumps when the accumulator is one of the values, or has one of the bits. */
  | { readonly equals: readonly number[]; readonly to: string }
  | { readonly differs: number; readonly to: string }
  | { readonly goTo: string }
  | { readonly hasBit: number; readonly to: string }
  | { readonly lacksBit: number; readonly to: string };

/** Labels that are always there. */
export const ACCEPT = "accept";
export const DROP = "drop";

/** BPF_*, <linux/bpf_common.h>; SKF_AD_*, <linux/filter.h>. */
const Op = {
  loadByte: 0x30,
  loadHalf: 0x28,
  loadWord: 0x20,
  loadImmediate: 0x00,
  loadIndexImmediate: 0x01,
  loadByteIndexed: 0x50,
  loadHalfIndexed: 0x48,
  accumulatorToIndex: 0x07,
  jumpEqual: 0x15,
  jumpSet: 0x45,
  end: 0x06,
} as const;
const FIND_ATTRIBUTE = 0xffff_f000 + 12;
const WHOLE = 0xffff_ffff;

interface Instruction {
  readonly op: number;
  readonly value: number;
  readonly ifTrue?: string;
  readonly ifFalse?: string;
}

/**
 * Lets the kernel drop notifications that nobody wants to read, before they wake anybody. Offsets count from the
 * message's header (struct nlmsghdr); only the first message of a datagram is looked at, and notifications are alone in
 * theirs. What runs to the end is accepted. Does nothing on big-endian machines, which would need other numbers.
 */
export function filterNotifications(socket: NetlinkSocket, steps: readonly FilterStep[]): void {
  if (!LITTLE_ENDIAN) return;
  const program = assemble(steps);
  attachFilter(socket.fd, program, program.length / INSTRUCTION_BYTES);
}

/** A number of 16 bits in the machine's order, as a filter loads it. */
export function native16(value: number): number {
  return ((value & 0xff) << 8) | (value >> 8);
}

const INSTRUCTION_BYTES = 8;

/** struct sock_filter each. @throws RangeError for a label that is not there, or is further than 255 instructions */
export function assemble(steps: readonly FilterStep[]): Uint8Array {
  const instructions: Instruction[] = [];
  const labels = new Map<string, number>();
  for (const step of [...steps, { label: ACCEPT }]) {
    if ("label" in step) labels.set(step.label, instructions.length);
    else instructions.push(...translate(step));
  }
  instructions.push({ op: Op.end, value: WHOLE });
  labels.set(DROP, instructions.length);
  instructions.push({ op: Op.end, value: 0 });

  const bytes = new DataView(new ArrayBuffer(INSTRUCTION_BYTES * instructions.length));
  for (const [i, { op, value, ifTrue, ifFalse }] of instructions.entries()) {
    const distance = (label: string | undefined) => {
      if (label === undefined) return 0;
      const found = (labels.get(label) ?? Number.NaN) - i - 1;
      if (!(found >= 0 && found <= 255)) throw new RangeError(`filter: no label "${label}" within 255 instructions`);
      return found;
    };
    const at = INSTRUCTION_BYTES * i;
    bytes.setUint16(at, op, true);
    bytes.setUint8(at + 2, distance(ifTrue));
    bytes.setUint8(at + 3, distance(ifFalse));
    bytes.setUint32(at + 4, value, true);
  }
  return new Uint8Array(bytes.buffer);
}

function translate(step: Exclude<FilterStep, { label: string }>): readonly Instruction[] {
  if ("load" in step) return [{ op: step.load === 1 ? Op.loadByte : Op.loadHalf, value: step.at }];
  if ("find" in step) {
    return [
      { op: Op.loadIndexImmediate, value: step.find },
      { op: Op.loadImmediate, value: step.from },
      { op: Op.loadWord, value: FIND_ATTRIBUTE },
      { op: Op.accumulatorToIndex, value: 0 },
    ];
  }
  if ("loadFound" in step) {
    return [{ op: step.loadFound === 1 ? Op.loadByteIndexed : Op.loadHalfIndexed, value: step.at }];
  }
  if ("goTo" in step) return [{ op: Op.jumpEqual, value: 0, ifTrue: step.goTo, ifFalse: step.goTo }];
  if ("equals" in step) return step.equals.map((value) => ({ op: Op.jumpEqual, value, ifTrue: step.to }));
  if ("differs" in step) return [{ op: Op.jumpEqual, value: step.differs, ifFalse: step.to }];
  if ("hasBit" in step) return [{ op: Op.jumpSet, value: step.hasBit, ifTrue: step.to }];
  return [{ op: Op.jumpSet, value: step.lacksBit, ifFalse: step.to }];
}
