import { type Store, StoreUnavailableError } from "../store/store.ts";
import type { Clock, Timer } from "./clock.ts";
import { Draft } from "./draft.ts";
import type { Log } from "./log.ts";
import type { Mirror } from "./mirror.ts";
import { SECRETS_KEY, usesWireguard, withNewSecret } from "./pair-keys.ts";

export interface SecretsOptions {
  readonly store: Store;
  readonly mirror: Mirror;
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds between two secrets. */
  readonly rotation: number;
  /** 32 random bytes. */
  readonly randomKey: () => Uint8Array;
}

/** Acknowledgements in one transaction. */
const PORTION = 40;
/** Between tries while the store is away. */
const RETRY_MS = 1_000;

/**
 * Makes the secrets of WireGuard's preshared keys, when a network needs them first and then at the interval, and writes down
 * which epoch each node has. All by compare-and-swap: of several controllers that find it is time, one does it.
 */
export class SecretKeeper {
  readonly #options: SecretsOptions;
  /** Acknowledged and not written yet: node id to epoch. */
  readonly #acknowledged = new Map<string, number>();
  #timer: Timer | undefined;
  #making = false;
  #writing = false;
  #closed = false;

  constructor(options: SecretsOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#closed) return;
    this.look();
    const { clock, rotation } = this.#options;
    this.#timer = clock.after(Math.min(60_000, Math.max(1_000, rotation / 10)), () => this.start());
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  /** Makes a secret when it is time. To be called when the state changed, too: a first network must not wait. */
  look(): void {
    const { mirror, clock, rotation } = this.#options;
    const newest = mirror.state.secrets.at(-1);
    const isDue = newest === undefined || newest.madeAt + rotation <= clock.now();
    if (this.#making || !mirror.synced || !isDue || !usesWireguard(mirror.state)) return;
    this.#making = true;
    void this.#make().finally(() => {
      this.#making = false;
    });
  }

  /** The node has the keys of that epoch on its disk. */
  acknowledge(nodeId: string, epoch: number): void {
    const { nodes, secrets } = this.#options.mirror.state;
    const known = Math.max(nodes.get(nodeId)?.secretsEpoch ?? 0, this.#acknowledged.get(nodeId) ?? 0);
    if (epoch <= known || epoch > (secrets.at(-1)?.epoch ?? 0)) return;
    this.#acknowledged.set(nodeId, epoch);
    if (this.#writing) return;
    this.#writing = true;
    void this.#write().finally(() => {
      this.#writing = false;
    });
  }

  async #make(): Promise<void> {
    const { store, mirror, clock, log, randomKey } = this.#options;
    const { state } = mirror;
    const record = withNewSecret(state, randomKey(), clock.now());
    const draft = new Draft();
    draft.put(SECRETS_KEY, state.secretsRevision, record);
    try {
      const { succeeded, revision } = await store.transact(draft.transaction());
      await mirror.reached(revision);
      if (succeeded) log.info({ epoch: record.epochs.at(-1)?.epoch }, "made a secret for WireGuard's preshared keys");
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      log.warn({ err: error }, "cannot make a secret for WireGuard's preshared keys; trying again later");
    }
  }

  async #write(): Promise<void> {
    const { store, mirror, clock, log } = this.#options;
    while (this.#acknowledged.size > 0 && !this.#closed) {
      const draft = new Draft();
      const portion = [...this.#acknowledged].slice(0, PORTION);
      for (const [nodeId, epoch] of portion) {
        const node = mirror.state.nodes.get(nodeId);
        if (node === undefined || node.secretsEpoch >= epoch) continue;
        const { id, createRevision: _, modRevision: __, ...record } = node;
        draft.putNode(id, node, { ...record, secretsEpoch: epoch });
      }
      try {
        const outcome = draft.isEmpty ? undefined : await store.transact(draft.transaction());
        if (outcome !== undefined) await mirror.reached(outcome.revision);
        if (outcome?.succeeded === false) continue; // some node's record changed meanwhile
        for (const [nodeId, epoch] of portion) {
          if (this.#acknowledged.get(nodeId) === epoch) this.#acknowledged.delete(nodeId);
        }
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
        log.debug({ err: error }, "cannot write which preshared keys the nodes have; trying again");
        await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve));
      }
    }
  }
}
