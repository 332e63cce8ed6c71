import type { IEvent, IWatchRequest, IWatchResponse } from "etcd3";
import type { StoreEvent, WatchHandler } from "./store.ts";

/** What etcd3's raw watch call answers. */
interface WatchStream {
  write(request: IWatchRequest): unknown;
  on(event: "data", listener: (response: IWatchResponse) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  cancel(): void;
}

export interface EtcdWatchOptions {
  readonly open: () => Promise<WatchStream>;
  readonly range: { readonly key: Buffer; readonly range_end: Buffer };
  readonly fromRevision: number;
  readonly handler: WatchHandler;
  readonly event: (event: IEvent) => StoreEvent;
}

const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;

/**
 * One watch on etcd that survives reconnects. It resumes after the last event delivered, not after the newest revision the
 * server mentioned: a reconnected watch is created at the newest revision long before the events in between arrive.
 */
export class EtcdWatch {
  readonly #options: EtcdWatchOptions;
  #next: number;
  /** Events of a revision that the server split over several responses. */
  #fragments: StoreEvent[] = [];
  #stream: WatchStream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #backoff = FIRST_BACKOFF_MS;
  #closed = false;

  constructor(options: EtcdWatchOptions) {
    this.#options = options;
    this.#next = options.fromRevision;
    void this.#connect();
  }

  /** Ends the watch; with a reason, the handler hears of it. */
  close(reason?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#drop();
    if (reason !== undefined) this.#options.handler.onLost(reason);
  }

  async #connect(): Promise<void> {
    let stream: WatchStream;
    try {
      stream = await this.#options.open();
    } catch {
      this.#retry();
      return;
    }
    if (this.#closed) {
      stream.cancel();
      return;
    }
    this.#stream = stream;
    const ended = () => {
      if (this.#stream === stream) this.#retry();
    };
    stream.on("data", (response) => {
      if (this.#stream === stream) this.#receive(response);
    });
    stream.on("error", ended);
    stream.on("end", ended);
    const create = { ...this.#options.range, start_revision: this.#next, fragment: true };
    stream.write({ create_request: create } as unknown as IWatchRequest);
  }

  #receive(response: IWatchResponse): void {
    this.#backoff = FIRST_BACKOFF_MS;
    if (Number(response.compact_revision) > 0) {
      this.close(`revision ${this.#next} is compacted; the oldest kept is ${response.compact_revision}`);
      return;
    }
    if (response.canceled) {
      this.#retry();
      return;
    }
    this.#fragments.push(...response.events.map((event) => this.#options.event(event)));
    if (response.fragment) return;
    const events = this.#fragments.filter((event) => event.modRevision >= this.#next);
    this.#fragments = [];
    const last = events.at(-1);
    if (last === undefined) return;
    this.#next = last.modRevision + 1;
    this.#options.handler.onEvents(events, last.modRevision);
  }

  #retry(): void {
    this.#drop();
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#connect(), this.#backoff * (0.5 + Math.random() / 2));
    this.#backoff = Math.min(this.#backoff * 2, LONGEST_BACKOFF_MS);
  }

  #drop(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#fragments = [];
    stream?.cancel();
  }
}
