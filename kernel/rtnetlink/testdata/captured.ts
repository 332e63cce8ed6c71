import { readFileSync } from "node:fs";
import { decodeMessages, encodeMessage, Flag, type Message } from "../../netlink/message.ts";
import type { Request } from "../../netlink/socket.ts";
import type { RouteSocket } from "../socket.ts";

/** The messages of NAME.hex under the command that made them; capture.ts writes these files. */
export function captured(name: string): Map<string, Message> {
  const text = readFileSync(new URL(`${name}.hex`, import.meta.url), "utf8");
  const messages = new Map<string, Message>();
  for (const [, command = "", hex = ""] of text.matchAll(/^# (.*)\n([0-9a-f]+)\n/gm)) {
    const [message] = decodeMessages(Uint8Array.from(Buffer.from(hex, "hex")));
    if (message !== undefined) messages.set(command, message);
  }
  return messages;
}

/** A socket that keeps what it is told to send, and answers every question with the same message. */
export function recorder(answer?: Message): { rt: RouteSocket; sent: Message[] } {
  const sent: Message[] = [];
  const record = (request: Request, way: number) => {
    const flags = Flag.request | way | (request.flags ?? 0);
    const [message] = decodeMessages(encodeMessage({ type: request.type, flags, sequence: 1 }, request.body));
    if (message !== undefined) sent.push(message);
  };
  const rt: RouteSocket = {
    execute(request) {
      record(request, Flag.ack);
      return undefined;
    },
    executeAll(requests) {
      for (const request of requests) record(request, Flag.ack);
      return requests.map(() => undefined);
    },
    ask(request) {
      if (answer === undefined) throw new Error(`${request.label} was not expected`);
      return answer;
    },
    dump: () => [],
    [Symbol.dispose]() {},
  };
  return { rt, sent };
}
