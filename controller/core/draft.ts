import { type Condition, type Operation, TRANSACTION_LIMIT, type Transaction } from "../store/store.ts";
import { type NodeRecord, nodeKey, type SubnetRecord } from "./record.ts";
import type { Network, Node, Subnet } from "./state.ts";

/** Leaves room for the conditions and writes that one step adds at once. */
const FULL = TRANSACTION_LIMIT - 20;

/** Collects the writes of one transaction, each with the condition that what it was derived from still stands. */
export class Draft {
  readonly #conditions = new Map<string, Condition>();
  readonly #operations = new Map<string, Operation>();

  get isEmpty(): boolean {
    return this.#operations.size === 0;
  }

  /** Whether further writes must go to a later transaction. */
  get isFull(): boolean {
    return Math.max(this.#operations.size, this.#conditions.size) >= FULL;
  }

  transaction(): Transaction {
    return { when: [...this.#conditions.values()], change: [...this.#operations.values()] };
  }

  /** The network is still the one that was looked at. */
  requireNetwork(network: Network): void {
    const key = `networks/${network.name}`;
    this.#conditions.set(key, { key, createRevision: network.createRevision });
  }

  /** Creates or replaces a node's record; two transactions for one node exclude each other through it. */
  putNode(id: string, known: Node | undefined, record: NodeRecord): void {
    this.put(nodeKey(id), known?.modRevision ?? 0, record);
  }

  createSubnet(key: string, record: SubnetRecord): void {
    this.put(key, 0, record);
  }

  /** Changes fields of a subnet; changes of one subnet in one draft add up. */
  updateSubnet(subnet: Subnet, change: Partial<SubnetRecord>): void {
    const before = this.#operations.get(subnet.key);
    const record =
      before !== undefined && "put" in before ? (JSON.parse(before.value) as SubnetRecord) : recordOf(subnet);
    this.put(subnet.key, subnet.modRevision, { ...record, ...change });
  }

  delete(key: string, modRevision: number): void {
    this.#conditions.set(key, { key, modRevision });
    this.#operations.set(key, { delete: key });
  }

  /** Writes a record that must not exist, or must still have that revision. */
  put(key: string, modRevision: number, record: object): void {
    this.#conditions.set(key, { key, modRevision });
    this.#operations.set(key, { put: key, value: JSON.stringify(record) });
  }
}

/** The part of a subnet that is stored. */
export function recordOf(subnet: Subnet): SubnetRecord {
  const { key, network, subnet: prefix, createRevision, modRevision, ...record } = subnet;
  return record;
}
