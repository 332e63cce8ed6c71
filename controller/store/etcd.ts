import { Etcd3, type ICompare, type IKeyValue, type IOptions, type IRequestOp } from "etcd3";
import { EtcdWatch } from "./etcd-watch.ts";
import {
  type Condition,
  type Entry,
  type Listing,
  type Operation,
  type Outcome,
  type Store,
  StoreUnavailableError,
  type Transaction,
  type Watch,
  type WatchHandler,
} from "./store.ts";

export interface EtcdOptions {
  /** http:// or https:// with host and port; all of one kind. */
  readonly endpoints: readonly string[];
  /** Before every key; default /podwire. */
  readonly prefix?: string;
  /** PEM texts. */
  readonly tls?: { readonly ca: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
  readonly user?: { readonly name: string; readonly password: string };
}

/** For an answer to one request. */
const DEADLINE_MS = 5_000;
/** Entries fetched at once; a listing of any size stays under gRPC's message limit. */
const PAGE = 2_000;

/** A policy that only calls: no retry and no breaker, since a repeated transaction would answer for the wrong attempt. */
const CALL_ONCE = { execute: async (call: (context: { signal: AbortSignal }) => unknown) => call({ signal: NEVER }) };
const NEVER = new AbortController().signal;

/** Opens a client without etcd3's retries; see {@link EtcdStore} for what it is used for. */
export function openEtcdClient(options: EtcdOptions): Etcd3 {
  const policy = CALL_ONCE as unknown as NonNullable<NonNullable<IOptions["faultHandling"]>["global"]>;
  const { tls, user } = options;
  const credentials = tls && {
    rootCertificate: tls.ca,
    ...(tls.key && tls.cert ? { privateKey: tls.key, certChain: tls.cert } : {}),
  };
  return new Etcd3({
    hosts: [...options.endpoints],
    ...(credentials ? { credentials } : {}),
    ...(user ? { auth: { username: user.name, password: user.password } } : {}),
    faultHandling: { global: policy, host: () => policy },
    grpcOptions: {
      "grpc.keepalive_time_ms": 10_000,
      "grpc.keepalive_timeout_ms": 5_000,
      "grpc.initial_reconnect_backoff_ms": 200,
      "grpc.max_reconnect_backoff_ms": 5_000,
      "grpc.max_receive_message_length": 64 * 1024 * 1024,
    },
  });
}

/**
 * Keeps everything in etcd (3.4 or newer) under a prefix. Only the raw key-value and watch calls of the etcd3 package are
 * used: its retries would make compare-and-swap inexact, and its own watcher forgets events when it reconnects.
 */
export class EtcdStore implements Store {
  readonly #client: Etcd3;
  readonly #prefix: string;
  readonly #watches = new Set<EtcdWatch>();
  #closed = false;

  constructor(options: EtcdOptions) {
    this.#client = openEtcdClient(options);
    this.#prefix = `${(options.prefix ?? "/podwire").replace(/\/+$/, "")}/`;
  }

  async range(prefix: string): Promise<Listing> {
    const entries: Entry[] = [];
    const end = endOfPrefix(Buffer.from(this.#prefix + prefix));
    let start = Buffer.from(this.#prefix + prefix);
    let revision: string | undefined;
    for (;;) {
      const request = {
        key: start,
        range_end: end,
        limit: PAGE,
        sort_order: "None" as const,
        ...(revision ? { revision } : {}),
      };
      const page = await this.#call(() => this.#client.kv.range(request, deadline()));
      revision ??= page.header.revision; // later pages are read as of the first one
      entries.push(...page.kvs.map((kv) => this.#entry(kv)));
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) return { revision: Number(revision), entries };
      start = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  async transact(transaction: Transaction): Promise<Outcome> {
    const compare = transaction.when.map((condition) => this.#compare(condition));
    const success = transaction.change.map((operation) => this.#operation(operation));
    const { header, succeeded } = await this.#call(() =>
      this.#client.kv.txn({ compare, success, failure: [] }, deadline()),
    );
    return { succeeded, revision: Number(header.revision) };
  }

  watch(prefix: string, fromRevision: number, handler: WatchHandler): Watch {
    const key = Buffer.from(this.#prefix + prefix);
    const watch = new EtcdWatch({
      open: () => this.#client.watchClient.watch(),
      range: { key, range_end: endOfPrefix(key) },
      fromRevision,
      handler,
      event: ({ type, kv }) =>
        type === "Put"
          ? { type: "put", ...this.#entry(kv) }
          : { type: "delete", key: this.#key(kv), modRevision: Number(kv.mod_revision) },
    });
    this.#watches.add(watch);
    return {
      close: () => {
        this.#watches.delete(watch);
        watch.close();
      },
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const watch of this.#watches) watch.close("the store is closed");
    this.#client.close();
  }

  async #call<T>(call: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new StoreUnavailableError("the store is closed");
    try {
      return await call();
    } catch (cause) {
      throw new StoreUnavailableError(cause instanceof Error ? `etcd: ${cause.message}` : "etcd failed", { cause });
    }
  }

  #compare(condition: Condition): ICompare {
    const key = Buffer.from(this.#prefix + condition.key);
    if ("modRevision" in condition) return { key, target: "Mod", result: "Equal", mod_revision: condition.modRevision };
    return { key, target: "Create", result: "Equal", create_revision: condition.createRevision };
  }

  #operation(operation: Operation): IRequestOp {
    if ("delete" in operation) return { request_delete_range: { key: Buffer.from(this.#prefix + operation.delete) } };
    return { request_put: { key: Buffer.from(this.#prefix + operation.put), value: Buffer.from(operation.value) } };
  }

  #entry(kv: IKeyValue): Entry {
    return {
      key: this.#key(kv),
      value: kv.value.toString(),
      createRevision: Number(kv.create_revision),
      modRevision: Number(kv.mod_revision),
    };
  }

  #key(kv: IKeyValue): string {
    return kv.key.toString().slice(this.#prefix.length);
  }
}

/** The first key after all those that begin with the prefix. */
export function endOfPrefix(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    const byte = end[i] ?? 0xff;
    if (byte === 0xff) continue;
    end[i] = byte + 1;
    return end.subarray(0, i + 1);
  }
  return Buffer.of(0);
}

function deadline(): { deadline: Date } {
  return { deadline: new Date(Date.now() + DEADLINE_MS) };
}
