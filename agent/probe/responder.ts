import { createSocket, type Socket } from "node:dgram";
import { closeSync } from "node:fs";
import { openUdp } from "../../kernel/datagram.ts";
import { type Address, familyOf } from "../../net/address.ts";
import { answerTo, PROBE_PORT } from "./packet.ts";

/** Answers in one second, from all of a node's peers: some ten are normal, whatever the number of nodes. */
const MOST_ANSWERS_A_SECOND = 200;

export interface ResponderOptions {
  /** Whether the address is a peer's end: only those are answered. */
  readonly isPeer: (address: string) => boolean;
  /** An address on which questions cannot be heard, and why. */
  readonly onProblem: (address: Address, error: unknown) => void;
}

/**
 * Answers peers' questions on this node's ends of its tunnels. Answers are short, bear no checksum (what is tested is the
 * way of the question) and go to nobody else; a pod's address is never a peer's end.
 */
export class Responder {
  readonly #options: ResponderOptions;
  readonly #sockets = new Map<Address, Socket>();
  #second = 0;
  #answers = 0;

  constructor(options: ResponderOptions) {
    this.#options = options;
  }

  /** Listens on these addresses and no others. Tried again for those that could not be had. */
  listen(addresses: readonly Address[]): void {
    for (const [address, socket] of this.#sockets) {
      if (addresses.includes(address)) continue;
      this.#sockets.delete(address);
      socket.close();
    }
    for (const address of addresses) if (!this.#sockets.has(address)) this.#open(address);
  }

  #open(address: Address): void {
    let fd: number;
    try {
      fd = openUdp(address, PROBE_PORT, { checksum: false });
    } catch (error) {
      this.#options.onProblem(address, error);
      return;
    }
    const socket = createSocket(familyOf(address) === 4 ? "udp4" : "udp6");
    try {
      socket.bind({ fd });
    } catch (error) {
      closeSync(fd);
      this.#options.onProblem(address, error);
      return;
    }
    socket.unref();
    socket.on("error", () => {}); // of one answer, which its asker will miss
    socket.on("message", (question, from) => {
      if (!this.#options.isPeer(from.address) || this.#isTooMuch()) return;
      const answer = answerTo(question);
      if (answer !== undefined) socket.send(answer, from.port, from.address, () => {});
    });
    this.#sockets.set(address, socket);
  }

  #isTooMuch(): boolean {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) this.#answers = 0;
    this.#second = second;
    return ++this.#answers > MOST_ANSWERS_A_SECOND;
  }
}
