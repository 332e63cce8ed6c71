import {
  type CallOptions,
  type ChannelCredentials,
  connectivityState,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { formatEndpoint, parseEndpoint } from "../net/endpoint.ts";
import { channelCredentials, plainDetails } from "../proto/channel.ts";
import type { CreateNetworkRequest } from "../proto/gen/podwire/v1/CreateNetworkRequest.ts";
import type { InspectAddressResponse__Output as Inspection } from "../proto/gen/podwire/v1/InspectAddressResponse.ts";
import type { ListNodesResponse__Output as NodeList } from "../proto/gen/podwire/v1/ListNodesResponse.ts";
import type { Network__Output as Network } from "../proto/gen/podwire/v1/Network.ts";
import type { Pod__Output as Pod } from "../proto/gen/podwire/v1/Pod.ts";
import type { ReleaseSubnetRequest } from "../proto/gen/podwire/v1/ReleaseSubnetRequest.ts";
import type { ReserveSubnetRequest } from "../proto/gen/podwire/v1/ReserveSubnetRequest.ts";
import type { SetNetworkRequest } from "../proto/gen/podwire/v1/SetNetworkRequest.ts";
import type { Subnet__Output as Subnet } from "../proto/gen/podwire/v1/Subnet.ts";
import type { WatchResponse__Output as Change } from "../proto/gen/podwire/v1/WatchResponse.ts";
import { loadProto } from "../proto/load.ts";
import { formatDuration } from "./age.ts";
import { CommandError, ExitCode, usageError } from "./exit.ts";

/** Where the controller is and how to talk to it, as given on the command line. */
export interface ConnectionOptions {
  /** host:port. */
  readonly server: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** Plaintext, also beyond this machine. */
  readonly insecure?: boolean;
  /** Milliseconds that an answer may take. */
  readonly timeout: number;
}

/** What a Watch names; see WatchRequest. */
export type WatchKind = "nodes" | "networks" | "subnets" | "pods";

/** The controller's Admin service. Every call throws {@link CommandError} with a sentence for the user. */
export interface Admin extends Disposable {
  listNodes(): Promise<NodeList>;
  listNetworks(): Promise<readonly Network[]>;
  listSubnets(filter: { network?: string }): Promise<readonly Subnet[]>;
  listPods(filter: { network?: string; nodeName?: string }): Promise<readonly Pod[]>;
  inspectAddress(address: string): Promise<Inspection>;
  createNetwork(request: CreateNetworkRequest): Promise<Network>;
  setNetwork(request: SetNetworkRequest): Promise<Network>;
  deleteNetwork(name: string): Promise<void>;
  reserveSubnet(request: ReserveSubnetRequest): Promise<Subnet>;
  releaseSubnet(request: ReleaseSubnetRequest): Promise<void>;
  /**
   * Yields once at the start and then after changes; changes that come while the caller is busy are one. Ends by throwing when the
   * stream does. `waitForServer` waits for a controller that cannot be reached (yet), until the deadline (milliseconds since the epoch).
   */
  watch(kinds: readonly WatchKind[], options?: { waitForServer?: boolean; deadline?: number }): AsyncGenerator<void>;
}

/** What a list of pods of 5,000 nodes needs; grpc's own limit is 4 MiB. */
const LONGEST_MESSAGE = 256 * 1024 * 1024;

const DEFAULT_PORT = 7444;

/**
 * Opens a channel to the controller; the connection itself is made by the first call.
 * @throws CommandError for an address that is none, half a key pair, an unreadable file, or plaintext that would leave the machine.
 */
export function openAdmin(options: ConnectionOptions): Admin {
  const address = serverAddress(options.server);
  const { Admin: AdminClient } = loadProto();
  const client = new AdminClient(address, credentialsFor(options, address), {
    "grpc.max_receive_message_length": LONGEST_MESSAGE,
    "grpc.enable_http_proxy": 0,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
  });

  const explain = (error: ServiceError, timeout: number): CommandError => {
    const connected = client.getChannel().getConnectivityState(false) === connectivityState.READY;
    return commandError(error, { address, connected, timeout });
  };
  const ask = <T>(call: (options: CallOptions, done: (error: ServiceError | null, answer?: T) => void) => void) =>
    new Promise<T>((resolve, reject) => {
      call({ deadline: Date.now() + options.timeout }, (error, answer) => {
        if (error !== null) reject(explain(error, options.timeout));
        else resolve(answer as T);
      });
    });

  return {
    listNodes: () => ask<NodeList>((how, done) => client.listNodes({}, how, done)),
    listNetworks: async () =>
      (await ask<{ networks: Network[] }>((how, done) => client.listNetworks({}, how, done))).networks,
    listSubnets: async (filter) =>
      (await ask<{ subnets: Subnet[] }>((how, done) => client.listSubnets(filter, how, done))).subnets,
    listPods: async (filter) => (await ask<{ pods: Pod[] }>((how, done) => client.listPods(filter, how, done))).pods,
    inspectAddress: (text) => ask<Inspection>((how, done) => client.inspectAddress({ address: text }, how, done)),
    createNetwork: (request) => ask<Network>((how, done) => client.createNetwork(request, how, done)),
    setNetwork: (request) => ask<Network>((how, done) => client.setNetwork(request, how, done)),
    deleteNetwork: (name) => ask<unknown>((how, done) => client.deleteNetwork({ name }, how, done)).then(() => {}),
    reserveSubnet: (request) => ask<Subnet>((how, done) => client.reserveSubnet(request, how, done)),
    releaseSubnet: (request) => ask<unknown>((how, done) => client.releaseSubnet(request, how, done)).then(() => {}),
    async *watch(kinds, { waitForServer = false, deadline } = {}) {
      const started = Date.now();
      const metadata = new Metadata({ waitForReady: waitForServer });
      const stream = client.watch({ kinds: [...kinds] }, metadata, deadline === undefined ? {} : { deadline });
      try {
        yield* latest<Change>(stream);
      } catch (error) {
        throw explain(error as ServiceError, (deadline ?? started) - started);
      } finally {
        stream.cancel();
      }
      throw new CommandError(`error: the controller at ${address} ended the watch`, ExitCode.unreachable);
    },
    [Symbol.dispose]: () => client.close(),
  };
}

/** host:port of "host", "host:port", "[::1]:port" or "::1". @throws CommandError for anything else */
function serverAddress(text: string): string {
  try {
    return formatEndpoint(parseEndpoint(text, DEFAULT_PORT));
  } catch (error) {
    throw usageError(`--server ${(error as Error).message}`);
  }
}

function credentialsFor(options: ConnectionOptions, address: string): ChannelCredentials {
  try {
    return channelCredentials({ ...options, endpoints: [address] });
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof RangeError) throw usageError(message);
    throw new CommandError(`error: cannot read a TLS file: ${message}`, ExitCode.failure, { cause: error });
  }
}

/** kubectl's sentences: ours for a controller that cannot be reached, its own for what it refused. */
function commandError(
  error: ServiceError,
  { address, connected, timeout }: { address: string; connected: boolean; timeout: number },
): CommandError {
  const options = { cause: error };
  if (error.code === status.DEADLINE_EXCEEDED) {
    const message = `error: the controller at ${address} did not answer within ${formatTimeout(timeout)}; see its log, or allow more with --timeout`;
    return new CommandError(message, ExitCode.unreachable, options);
  }
  if (error.code === status.UNAVAILABLE && !connected) {
    const message =
      `error: cannot reach the controller at ${address} (${plainDetails(error.details)}); ` +
      "is podwire-controller running there, and does it speak TLS just when --tls-ca is given? " +
      "Name another with --server HOST:PORT or CNICTL_SERVER";
    return new CommandError(message, ExitCode.unreachable, options);
  }
  const exitCode = error.code === status.UNAVAILABLE ? ExitCode.unreachable : ExitCode.failure;
  return new CommandError(`Error from server (${reason(error.code)}): ${error.details}`, exitCode, options);
}

/** NOT_FOUND → NotFound. */
function reason(code: status): string {
  const words = (status[code] ?? "UNKNOWN").split("_");
  return words.map((word) => word.slice(0, 1) + word.slice(1).toLowerCase()).join("");
}

function formatTimeout(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds}ms` : formatDuration(milliseconds);
}

/** One yield for all that arrived since the last one was taken. Throws the stream's error; returns at its end. */
async function* latest<T>(stream: NodeJS.ReadableStream & AsyncIterable<T>): AsyncGenerator<void> {
  let arrived = false;
  let ended = false;
  let failure: unknown;
  let wake = () => {};
  stream.on("data", () => {
    arrived = true;
    wake();
  });
  stream.on("end", () => {
    ended = true;
    wake();
  });
  stream.on("error", (error) => {
    failure ??= error;
    wake();
  });
  while (true) {
    if (arrived) {
      arrived = false;
      yield;
    } else if (failure !== undefined) {
      throw failure;
    } else if (ended) {
      return;
    } else {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
}
