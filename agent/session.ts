import { lookup } from "node:dns/promises";
import {
  type ChannelCredentials,
  type ClientDuplexStream,
  status as grpcStatus,
  type StatusObject,
} from "@grpc/grpc-js";
import { isAddress } from "../net/address.ts";
import { parseEndpoint } from "../net/endpoint.ts";
import { plainDetails } from "../proto/channel.ts";
import type { ControllerMessage__Output } from "../proto/gen/podwire/v1/ControllerMessage.ts";
import type { Delta__Output } from "../proto/gen/podwire/v1/Delta.ts";
import type { Hello } from "../proto/gen/podwire/v1/Hello.ts";
import type { Lease__Output } from "../proto/gen/podwire/v1/Lease.ts";
import type { NodeMessage } from "../proto/gen/podwire/v1/NodeMessage.ts";
import type { NodesClient } from "../proto/gen/podwire/v1/Nodes.ts";
import type { Secrets__Output } from "../proto/gen/podwire/v1/Secrets.ts";
import type { Snapshot__Output } from "../proto/gen/podwire/v1/Snapshot.ts";
import { loadProto } from "../proto/load.ts";

/** A controller to try. */
export interface Endpoint {
  /** host:port as it was given. */
  readonly name: string;
  /** The host's address; undefined when the name is not resolved now. */
  readonly address: string | undefined;
}

/** What the session tells its owner. All are called on the main thread, in the order in which things came in. */
export interface SessionListener {
  /** Asked at each connection. Undefined: not ready yet, try again after the next back-off. */
  hello(controller: Endpoint): Hello | undefined;
  onConnected(controller: Endpoint): void;
  /** The stream ended. `reason` is a sentence; `refused` when the controller answered and said no. */
  onDisconnected(controller: Endpoint, reason: string, refused: boolean): void;
  onLease(lease: Lease__Output): void;
  onSnapshot(snapshot: Snapshot__Output): void;
  onDelta(delta: Delta__Output): void;
  onSecrets(secrets: Secrets__Output): void;
}

export interface SessionOptions {
  /** host:port of each controller; tried in turn. */
  readonly controllers: readonly string[];
  readonly credentials: ChannelCredentials;
  readonly listener: SessionListener;
  /** A number in 0..1 for the jitter. */
  readonly random?: () => number;
  /** Milliseconds of the first and the longest wait between two tries. */
  readonly backoff?: { readonly first: number; readonly longest: number };
  /** Milliseconds that a controller has to say its first word. */
  readonly patience?: number;
}

type Stream = ClientDuplexStream<NodeMessage, ControllerMessage__Output>;
type MessageKind = "hello" | "ack" | "renew" | "status";

/** Codes with which a controller says no; with others it was not reached, or broke. */
const REFUSALS: readonly number[] = [
  grpcStatus.INVALID_ARGUMENT,
  grpcStatus.ALREADY_EXISTS,
  grpcStatus.PERMISSION_DENIED,
  grpcStatus.FAILED_PRECONDITION,
  grpcStatus.UNAUTHENTICATED,
  grpcStatus.RESOURCE_EXHAUSTED,
];

const BACKOFF = { first: 200, longest: 10_000 } as const;
/** A controller whose store is slow takes ten seconds before it gives up by itself. */
const PATIENCE_MS = 15_000;

const CHANNEL_OPTIONS = {
  "grpc.keepalive_time_ms": 15_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.max_receive_message_length": 64 * 1024 * 1024, // a snapshot of 5,000 nodes is about 1 MiB
} as const;

/** Keeps one stream to one of the controllers open, for ever, until {@link stop}. */
export class Session {
  readonly #options: SessionOptions;
  #client: NodesClient | undefined;
  #stream: Stream | undefined;
  /** What waits until the controller reads again; of each kind the newest alone, for it says all that the older did. */
  readonly #waiting = new Map<MessageKind, NodeMessage>();
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #next = 0;
  #stopped = false;
  /** The next try needs no wait: this end broke the stream, because it has news. */
  #atOnce = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#connect();
  }

  /** Sends the message when connected; what cannot be sent is said again after the next hello. */
  send(message: NodeMessage): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    if (!stream.writableNeedDrain) stream.write(message);
    else for (const kind of ["hello", "ack", "renew", "status"] as const) if (message[kind]) this.#wait(kind, message);
  }

  /** Breaks the stream and connects again at once, with a new hello; so it does when it waits for its next try. */
  reconnect(): void {
    if (this.#stream !== undefined) {
      this.#atOnce = true;
      this.#stream.cancel();
    } else if (this.#timer !== undefined) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      void this.#connect();
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#stream?.cancel();
    this.#client?.close();
  }

  async #connect(): Promise<void> {
    const { controllers } = this.#options;
    const name = controllers[this.#next % controllers.length] ?? "";
    const controller = { name, address: await addressOf(parseEndpoint(name).host) };
    if (this.#stopped) return;
    const hello = this.#options.listener.hello(controller);
    if (hello === undefined) this.#later();
    else this.#open(controller, hello);
  }

  #open(controller: Endpoint, hello: Hello): void {
    const { credentials, listener, patience = PATIENCE_MS } = this.#options;
    const { Nodes } = loadProto();
    const client = new Nodes(controller.name, credentials, CHANNEL_OPTIONS);
    const stream: Stream = client.Session();
    this.#client = client;
    this.#stream = stream;
    this.#waiting.clear();
    let heard = false;
    let snapshotSeen = false;
    const silence = setTimeout(() => stream.cancel(), patience);
    stream.on("data", (message: ControllerMessage__Output) => {
      if (this.#stream !== stream) return;
      clearTimeout(silence);
      if (!heard) listener.onConnected(controller);
      heard = true;
      if (message.snapshot) {
        snapshotSeen = true;
        this.#failures = 0; // a controller that breaks before it has said anything is one to wait for
      }
      // What changed since a state that was never told would be taken for the whole state.
      if (message.delta && !snapshotSeen) stream.cancel();
      else this.#dispatch(message);
    });
    stream.on("drain", () => this.#flush(stream));
    stream.on("error", () => {}); // "status" follows and tells more
    stream.on("status", (ended: StatusObject) => {
      clearTimeout(silence);
      client.close();
      if (this.#stream !== stream) return;
      this.#stream = undefined;
      if (this.#stopped) return;
      listener.onDisconnected(controller, endReason(ended), REFUSALS.includes(ended.code));
      this.#later();
    });
    stream.write({ hello });
  }

  #dispatch(message: ControllerMessage__Output): void {
    const { listener } = this.#options;
    if (message.lease) listener.onLease(message.lease);
    else if (message.snapshot) listener.onSnapshot(message.snapshot);
    else if (message.delta) listener.onDelta(message.delta);
    else if (message.secrets) listener.onSecrets(message.secrets);
  }

  #wait(kind: MessageKind, message: NodeMessage): void {
    this.#waiting.set(kind, message);
  }

  #flush(stream: Stream): void {
    if (this.#stream !== stream) return;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const message of waiting) this.send(message);
  }

  #later(): void {
    if (this.#atOnce) {
      this.#atOnce = false;
      void this.#connect();
      return;
    }
    const { backoff = BACKOFF, random = Math.random } = this.#options;
    const wait = Math.min(backoff.longest, backoff.first * 2 ** this.#failures) * (0.5 + random() / 2);
    this.#failures++;
    this.#next++;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#connect();
    }, wait);
  }
}

/** The host's first address, undefined while its name is not known. */
async function addressOf(host: string): Promise<string | undefined> {
  if (isAddress(host)) return host;
  try {
    return (await lookup(host)).address;
  } catch {
    return undefined; // the channel says why when it fails as well
  }
}

function endReason({ code, details }: StatusObject): string {
  if (code === grpcStatus.OK) return "it ended the stream";
  return plainDetails(details) || grpcStatus[code] || "";
}
