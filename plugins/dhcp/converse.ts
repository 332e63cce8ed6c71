import { closeSync } from "node:fs";
import type { Conversation, Outcome } from "../../dhcp/conversation.ts";
import { CLIENT_PORT, decodeDatagram, encodeDatagram, SERVER_PORT } from "../../dhcp/datagram.ts";
import { type DhcpMessage, decodeMessage, encodeMessage } from "../../dhcp/message.ts";
import { EVERYBODY, type Outgoing } from "../../dhcp/request.ts";
import type { PacketSocket } from "../../kernel/packet.ts";
import { type Mac, parseMac } from "../../net/mac.ts";
import type { DhcpMachine } from "./machine.ts";
import { openClientSocket, type PodLink } from "./pod-link.ts";

export const BROADCAST = parseMac("ff:ff:ff:ff:ff:ff");

/** How a conversation ended, and who had the last word. */
export interface Ended {
  readonly outcome: Outcome;
  readonly serverMac: Mac;
}

/**
 * Leads a conversation over the interface to its end.
 * @param serverMac where messages to one server go
 * @throws SystemError when the interface goes away or down
 */
export function converse(
  link: PodLink,
  machine: Pick<DhcpMachine, "poller" | "now">,
  conversation: Conversation,
  serverMac: Mac = BROADCAST,
): Promise<Ended> {
  const socket = openClientSocket(link);
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    let heard = serverMac;
    const turn = () => {
      clearTimeout(timer);
      try {
        const outgoing = conversation.tick(machine.now());
        if (outgoing !== undefined) send(socket, outgoing, serverMac);
        const { outcome } = conversation;
        if (outcome === undefined) {
          timer = setTimeout(turn, Math.max(conversation.due - machine.now(), 0) + 1);
          return;
        }
        watch[Symbol.dispose]();
        resolve({ outcome, serverMac: heard });
      } catch (error) {
        watch[Symbol.dispose]();
        reject(error);
      }
    };
    const hear = () => {
      if (conversation.outcome !== undefined) return;
      try {
        for (let received = socket.receive(); received !== undefined; received = socket.receive()) {
          const message = readReply(received.packet);
          if (message === undefined || conversation.outcome !== undefined) continue;
          conversation.hear(message, machine.now());
          if (conversation.outcome !== undefined) heard = received.from;
        }
        turn();
      } catch (error) {
        clearTimeout(timer);
        watch[Symbol.dispose]();
        reject(error);
      }
    };
    const watch = machine.poller.watch(socket.fd, hear);
    turn();
  });
}

/** Sends a message that nobody answers. @throws SystemError when the interface is down or away */
export function say(link: PodLink, outgoing: Outgoing, serverMac: Mac): void {
  const socket = openClientSocket(link);
  try {
    send(socket, outgoing, serverMac);
  } finally {
    closeSync(socket.fd);
  }
}

function send(socket: PacketSocket, { message, from, to }: Outgoing, serverMac: Mac): void {
  const payload = encodeMessage(message);
  const packet = encodeDatagram({ from, fromPort: CLIENT_PORT, to, toPort: SERVER_PORT, payload });
  socket.send(packet, to === EVERYBODY ? BROADCAST : serverMac);
}

/** Undefined for what is not DHCP, or broken: anybody on the link may send that. */
function readReply(packet: Uint8Array): DhcpMessage | undefined {
  const datagram = decodeDatagram(packet);
  if (datagram?.fromPort !== SERVER_PORT || datagram.toPort !== CLIENT_PORT) return undefined;
  try {
    return decodeMessage(datagram.payload);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
