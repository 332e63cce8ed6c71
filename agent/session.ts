import {
  type ChannelCredentials,
  type ClientDuplexStream,
  status as grpcStatus,
  type StatusObject,
} from "@grpc/grpc-js";
import type { ControllerMessage__Output } from "../proto/gen/podwire/v1/ControllerMessage.ts";
import type { Delta__Output } from "../proto/gen/podwire/v1/Delta.ts";
import type { Hello } from "../proto/gen/podwire/v1/Hello.ts";
import type { Lease__Output } from "../proto/gen/podwire/v1/Lease.ts";
import type { NodeMessage } from "../proto/gen/podwire/v1/NodeMessage.ts";
import type { NodesClient } from "../proto/gen/podwire/v1/Nodes.ts";
import type { Snapshot__Output } from "../proto/gen/podwire/v1/Snapshot.ts";
import { loadProto } from "../proto/load.ts";

/** What the session tells its owner. All are called on the main thread, in the order in which things came in. */
export interface SessionListener {
  /** Asked at each connection. Undefined: not ready yet, try again after the next back-off. */
  hello(controller: string): Hello | undefined;
  onConnected(controller: string): void;
  /** The stream ended. `reason` is a sentence; `refused` when the controller answered and said no. */
  onDisconnected(controller: string, reason: string, refused: boolean): void;
  onLease(lease: Lease__Output): void;
  onSnapshot(snapshot: Snapshot__Output): void;
  onDelta(delta: Delta__Output): void;
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
}

type Stream = ClientDuplexStream<NodeMessage, ControllerMessage__Output>;

/** Codes with which a controller says no; with others it was not reached, or broke. */
const REFUSALS: readonly number[] = [
  grpcStatus.INVALID_ARGUMENT,
  grpcStatus.ALREADY_EXISTS,
  grpcStatus.PERMISSION_DENIED,
  grpcStatus.FAILED_PRECONDITION,
  grpcStatus.UNAUTHENTICATED,
  grpcStatus.RESOURCE_EXHAUSTED,
];

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
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #next = 0;
  #stopped = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  start(): void {
    this.#connect();
  }

  /** Sends the message when connected; what cannot be sent is said again after the next hello. */
  send(message: NodeMessage): void {
    this.#stream?.write(message);
  }

  /** Breaks the stream and connects again, with a new hello. */
  reconnect(): void {
    this.#stream?.cancel();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#stream?.cancel();
    this.#client?.close();
  }

  #connect(): void {
    const { controllers, credentials, listener } = this.#options;
    const controller = controllers[this.#next % controllers.length] ?? "";
    const hello = listener.hello(controller);
    if (hello === undefined) {
      this.#later();
      return;
    }
    const { Nodes } = loadProto();
    this.#client = new Nodes(controller, credentials, CHANNEL_OPTIONS);
    const stream: Stream = this.#client.Session();
    this.#stream = stream;
    let heard = false;
    stream.on("data", (message: ControllerMessage__Output) => {
      if (!heard) listener.onConnected(controller);
      heard = true;
      this.#failures = 0;
      this.#dispatch(message);
    });
    stream.on("error", () => {}); // "status" follows and tells more
    stream.on("status", (ended: StatusObject) => {
      if (this.#stream !== stream) return;
      this.#stream = undefined;
      this.#client?.close();
      if (this.#stopped) return;
      listener.onDisconnected(controller, ended.details || grpcStatus[ended.code] || "", REFUSALS.includes(ended.code));
      this.#later();
    });
    stream.write({ hello });
  }

  #dispatch(message: ControllerMessage__Output): void {
    const { listener } = this.#options;
    if (message.lease) listener.onLease(message.lease);
    else if (message.snapshot) listener.onSnapshot(message.snapshot);
    else if (message.delta) listener.onDelta(message.delta);
  }

  #later(): void {
    const { backoff = { first: 200, longest: 10_000 }, random = Math.random } = this.#options;
    const wait = Math.min(backoff.longest, backoff.first * 2 ** this.#failures) * (0.5 + random() / 2);
    this.#failures++;
    this.#next++;
    this.#timer = setTimeout(() => this.#connect(), wait);
  }
}
