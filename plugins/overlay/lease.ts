import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { array, boolean, integer, network, object, oneOf, optional, string } from "../../cni/decode.ts";
import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { Prefix } from "../../net/prefix.ts";

/** Where the agent writes what this node holds, one file a network: `<network>.json`. */
export const LEASE_FOLDER = "/run/podwire/networks";

/** In bytes; a real one has a few hundred. */
const LARGEST_LEASE = 65_536;

/** What the node holds in a network, as the agent tells it to the plugins. */
export interface NodeLease {
  readonly network: string;
  /** `held`: serve ADD. `fenced`: another node owns the subnet now. `none`: no subnet (yet). */
  readonly state: "held" | "fenced" | "none";
  /** A sentence; present unless held and ready. */
  readonly reason?: string;
  /** Whether tunnels and routes have been programmed, so that a new pod reaches the others at once. */
  readonly ready: boolean;
  /** At most one per family. */
  readonly subnets: readonly Prefix[];
  /** The whole network's. */
  readonly cidrs: readonly Prefix[];
  /** Of the pods, in bytes. */
  readonly mtu: number;
}

const decodeLease = object({
  network: string,
  state: oneOf("held", "fenced", "none"),
  reason: optional(string),
  ready: boolean,
  subnets: array(network),
  cidrs: array(network),
  mtu: integer(68, 65535),
});

/** Path of the network's lease file; the name has been validated, so it is one path component. */
export function leasePath(networkName: string): string {
  return `${LEASE_FOLDER}/${networkName}.json`;
}

export function encodeLease(lease: NodeLease): string {
  return `${JSON.stringify(lease, null, 2)}\n`;
}

/**
 * The node's lease in the network.
 * @throws CniError 11 when the agent has written none, 5 when the file can't be read, 6 when it is broken
 */
export function readLease(networkName: string): NodeLease {
  const path = leasePath(networkName);
  const text = read(path, networkName);
  try {
    const lease = decodeLease(JSON.parse(text), "lease");
    if (lease.network === networkName) return lease;
    throw new Error(`lease.network: ${JSON.stringify(lease.network)} is not "${networkName}"`);
  } catch (cause) {
    const problem = `the node's lease ${path} is broken: ${messageOf(cause)}; podwire-agent writes it anew when it is deleted`;
    throw new CniError(Code.decodingFailure, problem, { cause });
  }
}

function read(path: string, networkName: string): string {
  try {
    return readRegularFile(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") {
      throw new CniError(Code.ioFailure, `the node's lease ${path} cannot be read: ${messageOf(cause)}`, { cause });
    }
    throw new CniError(
      Code.tryAgainLater,
      `this node has no subnet in network "${networkName}" yet: ${path} is not there; is podwire-agent running, and does it reach its controller?`,
      { cause },
    );
  }
}

/** Follows no symbolic link, and does not wait for somebody to write into a FIFO. */
function readRegularFile(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error("it is not a regular file");
    if (stat.size > LARGEST_LEASE) throw new Error(`it has ${stat.size} bytes, more than ${LARGEST_LEASE}`);
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}
