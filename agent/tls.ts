import { readFileSync } from "node:fs";
import { ChannelCredentials } from "@grpc/grpc-js";
import { isAddress, isLoopback, parseAddress } from "../net/address.ts";

/** Files of a client's TLS; all or none. */
export interface TlsFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/**
 * Credentials for a channel to the controllers: TLS with the files, or plaintext, which leaves the machine only when
 * `insecure` says so.
 * @throws Error naming the flag when files are incomplete, or plaintext would go to another machine
 */
export function channelCredentials(
  files: TlsFiles,
  endpoints: readonly string[],
  insecure: boolean,
): ChannelCredentials {
  const { ca, cert, key } = files;
  if ((cert === undefined) !== (key === undefined)) throw new Error("--tls-cert and --tls-key go together");
  if (ca !== undefined) {
    const read = (path: string | undefined) => (path === undefined ? null : readFileSync(path));
    return ChannelCredentials.createSsl(read(ca), read(key), read(cert));
  }
  if (cert !== undefined) throw new Error("--tls-ca is missing; it says which controllers are trusted");
  const remote = endpoints.find((endpoint) => !isLocal(endpoint));
  if (remote !== undefined && !insecure) {
    throw new Error(
      `refusing plaintext to ${remote}, which is not loopback; give --tls-ca, --tls-cert and --tls-key, or --insecure`,
    );
  }
  return ChannelCredentials.createInsecure();
}

function isLocal(endpoint: string): boolean {
  const host = endpoint.slice(0, endpoint.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  return host === "localhost" || (isAddress(host) && isLoopback(parseAddress(host)));
}
