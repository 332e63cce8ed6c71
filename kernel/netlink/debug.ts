import type { Message } from "./message.ts";

/** Says a message in words; undefined when it does not know the type. */
export type Describe = (message: Message) => string | undefined;

let write: ((line: string) => void) | undefined;
let describe: Describe | undefined;

/**
 * Prints every message that is sent and received from now on, one line each; without a function to print with, stops.
 * @param words what puts a family's messages into words, `describeRouteMessage`; without it they are printed as bytes
 */
export function setNetlinkDebug(print: ((line: string) => void) | undefined, words?: Describe): void {
  write = print;
  describe = words;
}

/** Prints the messages when somebody wants to see them. */
export function debugMessages(direction: "->" | "<-", messages: () => Iterable<Message>): void {
  if (write === undefined) return;
  for (const message of messages()) {
    const { type, flags, sequence, body } = message;
    const text = describe?.(message) ?? `type ${type} ${Buffer.from(body).toString("hex")}`;
    write(`netlink ${direction} #${sequence} flags=0x${flags.toString(16)} ${text}`);
  }
}
