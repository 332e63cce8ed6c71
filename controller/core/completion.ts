import { backendName } from "../../backends/backend.ts";
import { type Store, StoreUnavailableError } from "../store/store.ts";
import { pending, planCompletion } from "./backend-change.ts";
import type { Clock, Timer } from "./clock.ts";
import { Draft } from "./draft.ts";
import type { Log } from "./log.ts";
import type { Mirror } from "./mirror.ts";
import { networkKey } from "./record.ts";

/**
 * For so long every node must have said that it sends with the new backend alone: what a node says is half a second old,
 * and another may have joined meanwhile.
 */
const REST_MS = 3_000;

export interface CompleterOptions {
  readonly store: Store;
  readonly mirror: Mirror;
  readonly clock: Clock;
  readonly log: Log;
}

/** Ends changes of backends: takes the old one away when nobody sends on it any more. */
export class Completer {
  readonly #options: CompleterOptions;
  /** When each network that is ready to be completed became so. */
  readonly #readySince = new Map<string, number>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: CompleterOptions) {
    this.#options = options;
  }

  /** To be called when the state changed. */
  changed(): void {
    const { mirror, clock } = this.#options;
    const { state } = mirror;
    const ready = [...state.networks.values()].filter(
      (network) => network.previous !== undefined && pending(state, network).length === 0,
    );
    for (const name of this.#readySince.keys())
      if (!ready.some((network) => network.name === name)) this.#readySince.delete(name);
    for (const { name } of ready) if (!this.#readySince.has(name)) this.#readySince.set(name, clock.now());
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #schedule(): void {
    if (this.#closed || this.#timer !== undefined || this.#readySince.size === 0) return;
    const { clock } = this.#options;
    const next = Math.min(...this.#readySince.values()) + REST_MS;
    this.#timer = clock.after(Math.max(0, next - clock.now()), () => {
      this.#timer = undefined;
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    const { store, mirror, clock, log } = this.#options;
    for (const [name, since] of this.#readySince) {
      if (clock.now() < since + REST_MS) continue;
      this.#readySince.set(name, clock.now()); // to be tried again when it is not done by then
      const network = mirror.state.networks.get(name);
      const record = mirror.synced && network !== undefined ? planCompletion(mirror.state, network) : undefined;
      if (network === undefined || record === undefined) continue;
      const draft = new Draft();
      draft.put(networkKey(name), network.modRevision, record);
      try {
        const { succeeded } = await store.transact(draft.transaction());
        if (succeeded) log.info({ network: name, backend: backendName(record.backend) }, "the backend was changed");
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
      }
    }
    this.#schedule();
  }
}
