import { type ChannelOptions, Server, ServerCredentials } from "@grpc/grpc-js";
import { formatEndpoint, isLoopbackHost } from "../../net/endpoint.ts";
import { loadProto } from "../../proto/load.ts";
import type { Controller } from "../core/controller.ts";
import type { Encode } from "../core/distribution.ts";
import type { Log } from "../core/log.ts";
import { adminHandlers } from "./admin.ts";
import { encodedOnce, nodesHandlers } from "./nodes.ts";

/** PEM texts. With `ca`, callers must show a certificate that it signed. */
export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
}

export interface ServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly tls?: TlsMaterial;
  /** Allows plaintext beyond loopback. */
  readonly insecure?: boolean;
}

/** Plaintext on an address that others reach. */
export class PlaintextRefusedError extends Error {
  readonly code = "PLAINTEXT_REFUSED";
}

const CHANNEL_OPTIONS: ChannelOptions = {
  "grpc.max_receive_message_length": 1024 * 1024,
  "grpc.max_send_message_length": 64 * 1024 * 1024,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.max_connection_idle_ms": 300_000,
  "grpc.max_concurrent_streams": 100,
};

/** A listening gRPC server. */
export interface Listening {
  /** host:port as bound. */
  readonly address: string;
  /** Lets calls under way end for a moment, then cuts them. */
  close(): Promise<void>;
}

/** The encoder of messages to nodes, for the controller's core. */
export function nodeEncoder(): Encode {
  return encodedOnce(loadProto().Nodes.service).encode;
}

/**
 * Serves podwire.v1.Nodes and podwire.v1.Admin.
 * @throws PlaintextRefusedError
 */
export async function listen(controller: Controller, options: ServerOptions, log: Log): Promise<Listening> {
  refusePlaintext(options);
  const { Nodes, Admin } = loadProto();
  const server = new Server(CHANNEL_OPTIONS);
  server.addService(encodedOnce(Nodes.service).definition, nodesHandlers(controller, log));
  server.addService(Admin.service, adminHandlers(controller, log));
  const { host } = options;
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(formatEndpoint(options), credentials(options.tls), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    address: formatEndpoint({ host, port }),
    close: async () => {
      const cut = setTimeout(() => server.forceShutdown(), 1_000);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(cut);
    },
  };
}

/** @throws PlaintextRefusedError for plaintext beyond loopback */
export function refusePlaintext({ host, tls, insecure }: ServerOptions): void {
  if (tls !== undefined || insecure === true || isLoopbackHost(host)) return;
  throw new PlaintextRefusedError(
    `--listen: plaintext on ${host} would let anybody on the network take subnets; give --tls-cert, --tls-key and --tls-ca, ` +
      "listen on 127.0.0.1, or say --insecure",
  );
}

function credentials(tls: TlsMaterial | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  return ServerCredentials.createSsl(
    tls.ca ?? null,
    [{ private_key: tls.key, cert_chain: tls.cert }],
    tls.ca !== undefined,
  );
}
