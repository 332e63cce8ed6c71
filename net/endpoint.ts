import { isAddress, isLoopback, parseAddress } from "./address.ts";

/** Where a server listens or is reached. */
export interface Endpoint {
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * Reads "host:port" or "[IPv6 address]:port"; with a default port also "host" and a bare IPv6 address.
 * @throws RangeError naming the text
 */
export function parseEndpoint(text: string, defaultPort?: number): Endpoint {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]/\s]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const bare = defaultPort !== undefined && isAddress(text) ? text : undefined;
  const host = bare ?? bracketed ?? plain;
  const port = digits === undefined ? defaultPort : Number(digits);
  if (host === undefined || port === undefined || port > 65535 || (bracketed !== undefined && !isAddress(bracketed))) {
    throw new RangeError(`"${text}" is not host:port, such as 192.0.2.1:7444 or [2001:db8::1]:7444`);
  }
  return { host, port };
}

/** The text that {@link parseEndpoint} reads. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether packets to that host never leave this machine. */
export function isLoopbackHost(host: string): boolean {
  return host === "localhost" || (isAddress(host) && isLoopback(parseAddress(host)));
}
