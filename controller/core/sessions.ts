import type { Address } from "../../net/address.ts";
import { RequestError } from "./error.ts";
import type { Claim } from "./leases.ts";

/** The part of a session that its neighbours in the registry need. */
export interface Member {
  readonly claim: Claim;
  /** Milliseconds since the Unix epoch. */
  readonly since: number;
  /** Ends the stream with that error. */
  end(error: RequestError): void;
}

/** Who is connected to this controller: one session a node, one node an address. Replicas do not know of each other's sessions. */
export class Sessions<S extends Member> {
  readonly #byNode = new Map<string, S>();
  readonly #byAddress = new Map<Address, S>();

  get size(): number {
    return this.#byNode.size;
  }

  get(nodeId: string): S | undefined {
    return this.#byNode.get(nodeId);
  }

  values(): Iterable<S> {
    return this.#byNode.values();
  }

  /**
   * Lets the session in, in place of an older one of the same machine.
   * @throws RequestError ALREADY_EXISTS when another machine uses the node id, or another node the address
   */
  admit(session: S): void {
    const { nodeId, addresses } = session.claim;
    const old = this.#byNode.get(nodeId);
    if (old !== undefined && !isSameMachine(old.claim, session.claim)) {
      const message =
        `node_id: "${nodeId}" is in use by another machine (addresses ${old.claim.addresses.join(", ")}, boot id ${old.claim.bootId}, ` +
        `connected since ${timeText(old.since)}); give this machine an id of its own: delete node-id in its --state-dir and restart podwire-agent`;
      throw new RequestError("ALREADY_EXISTS", message);
    }
    for (const address of addresses) {
      const holder = this.#byAddress.get(address);
      if (holder === undefined || holder === old) continue;
      const { nodeName, nodeId: id } = holder.claim;
      const message =
        `addresses: ${address} is held by node "${nodeName}" (id ${id}), connected since ${timeText(holder.since)}; ` +
        "each node needs an address of its own on the underlay: choose another interface or address";
      throw new RequestError("ALREADY_EXISTS", message);
    }
    if (old !== undefined) {
      this.remove(old);
      old.end(new RequestError("ABORTED", `a newer session of node "${nodeId}" took over`));
    }
    this.#byNode.set(nodeId, session);
    for (const address of addresses) this.#byAddress.set(address, session);
  }

  /** Forgets the session, unless a newer one took its place. */
  remove(session: S): boolean {
    if (this.#byNode.get(session.claim.nodeId) !== session) return false;
    this.#byNode.delete(session.claim.nodeId);
    for (const address of session.claim.addresses) {
      if (this.#byAddress.get(address) === session) this.#byAddress.delete(address);
    }
    return true;
  }
}

/** A machine that reconnects has its boot id (and perhaps new addresses); one that rebooted has its addresses. */
function isSameMachine(a: Claim, b: Claim): boolean {
  if (a.bootId !== "" && a.bootId === b.bootId) return true;
  return a.addresses.some((address) => b.addresses.includes(address));
}

function timeText(time: number): string {
  return new Date(time).toISOString();
}
