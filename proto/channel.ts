import { readFileSync } from "node:fs";
import { ChannelCredentials } from "@grpc/grpc-js";
import { isLoopbackHost, parseEndpoint } from "../net/endpoint.ts";

/** A client's way to controllers, as its flags say it. */
export interface ChannelOptions {
  /** host:port of each controller. */
  readonly endpoints: readonly string[];
  /** Paths of PEM files. */
  readonly tlsCa?: string | undefined;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  /** Plaintext to other machines. */
  readonly insecure?: boolean | undefined;
}

/**
 * TLS with the files, or plaintext, which leaves the machine only when `insecure` says so.
 * @throws RangeError naming the flags to change; the error of open(2) for a file that can't be read
 */
export function channelCredentials(options: ChannelOptions): ChannelCredentials {
  const { endpoints, tlsCa, tlsCert, tlsKey, insecure = false } = options;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new RangeError("--tls-cert and --tls-key belong together: give both or none");
  }
  if (tlsCa !== undefined || tlsCert !== undefined) {
    if (insecure)
      throw new RangeError("--insecure means plaintext and contradicts --tls-ca and --tls-cert: leave one out");
    const read = (path: string | undefined) => (path === undefined ? null : readFileSync(path));
    return ChannelCredentials.createSsl(read(tlsCa), read(tlsKey), read(tlsCert));
  }
  const remote = endpoints.find((endpoint) => !isLoopbackHost(parseEndpoint(endpoint).host));
  if (remote === undefined || insecure) return ChannelCredentials.createInsecure();
  throw new RangeError(
    `${remote} is not on this machine and plaintext would be readable on the way: ` +
      "give --tls-ca (with --tls-cert and --tls-key), or --insecure to accept that",
  );
}

/** What a person can use of a status: grpc-js appends how the name was resolved, also when there is nothing to say. */
export function plainDetails(details: string): string {
  return details.replace(/\.?\s*Resolution note:.*$/s, "");
}
