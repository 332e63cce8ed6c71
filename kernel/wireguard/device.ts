import type { Prefix } from "../../net/prefix.ts";
import { type WireguardPublicKey, wireguardPublicKey, wireguardPublicKeyBytes } from "../../net/wireguard-key.ts";
import { Reader } from "../netlink/bytes.ts";
import { isNetlinkError, NetlinkError } from "../netlink/error.ts";
import { familyId, type GenericSocket, openGeneric } from "../netlink/generic.ts";
import type { Message } from "../netlink/message.ts";
import type { Request } from "../netlink/socket.ts";
import { type DeviceAttrs, deviceMessage, type Endpoint, type PeerAttrs, PeerFlag } from "./device-message.ts";
import { SecretKey } from "./keys.ts";

/** WG_GENL_NAME, WG_GENL_VERSION and WG_CMD_*, <linux/wireguard.h>. */
const FAMILY = "wireguard";
const VERSION = 1;
const WG_CMD_GET_DEVICE = 0;
const WG_CMD_SET_DEVICE = 1;

/** A message holds its peers in one attribute, which ends at 64 KiB. */
const MESSAGE_BYTES = 32 * 1024;
/** What an allowed IP takes in a message at most, and what a peer takes beside them. */
const ALLOWED_IP_BYTES = 44;
const PEER_BYTES = 128;

/** A peer that the kernel holds. */
export interface WireguardPeer {
  readonly publicKey: WireguardPublicKey;
  readonly presharedKey?: SecretKey;
  /** Where its packets go, until it is heard from elsewhere. */
  readonly endpoint?: Endpoint;
  /** The only sources that are taken from it, and what is sent to it; an address is one peer's alone. */
  readonly allowedIps: readonly Prefix[];
  /** Seconds; 0: off. */
  readonly persistentKeepalive: number;
  /** Seconds since the Unix epoch; absent: never. */
  readonly lastHandshake?: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export interface DeviceSettings {
  readonly privateKey?: SecretKey | undefined;
  /** UDP; 0: the kernel chooses. */
  readonly listenPort?: number | undefined;
  /** SO_MARK of the encrypted packets; 0: none. */
  readonly firewallMark?: number | undefined;
}

/** A WireGuard device that the kernel holds: `wg show`. */
export interface WireguardDevice extends DeviceSettings {
  readonly index: number;
  readonly name: string;
  readonly publicKey?: WireguardPublicKey;
  readonly listenPort: number;
  readonly firewallMark: number;
  readonly peers: readonly WireguardPeer[];
}

/** What is set of a peer; what is absent stays as it is. */
export interface PeerSettings {
  readonly publicKey: WireguardPublicKey;
  /** It must be there; it is not made anew. */
  readonly updateOnly?: boolean;
  /** "none" takes it away. */
  readonly presharedKey?: SecretKey | "none" | undefined;
  readonly endpoint?: Endpoint | undefined;
  /** Seconds; 0: off. */
  readonly persistentKeepalive?: number | undefined;
  /** Added to those it has, and taken from any other peer that has one of them. */
  readonly allowedIps?: readonly Prefix[] | undefined;
  /** Those it has are taken away first. For a moment it has none, and packets may be lost. */
  readonly replaceAllowedIps?: boolean;
}

/** A change of one peer. */
export type PeerChange = PeerSettings | { readonly publicKey: WireguardPublicKey; readonly remove: true };

/** The way to the kernel's WireGuard, in the namespace in which it was opened. */
export interface WireguardSocket extends Disposable {
  readonly socket: GenericSocket;
  readonly family: number;
}

/** Opens it in the thread's namespace. @throws Error that says what the kernel lacks when it has no WireGuard */
export function openWireguard(): WireguardSocket {
  const socket = openGeneric({ secret: true });
  try {
    const family = familyId(socket, FAMILY);
    return { socket, family, [Symbol.dispose]: () => socket[Symbol.dispose]() };
  } catch (cause) {
    socket[Symbol.dispose]();
    if (!isNetlinkError(cause, "ENOENT")) throw cause;
    throw new Error("this kernel has no WireGuard; use one that is built with CONFIG_WIREGUARD", { cause });
  }
}

/** The device of that index with its peers, undefined when there is none. @throws NetlinkError EOPNOTSUPP when it is of another kind */
export function getDevice({ socket, family }: WireguardSocket, index: number): WireguardDevice | undefined {
  const label = `WG_CMD_GET_DEVICE ${index}`;
  try {
    const messages = socket.dump(request(family, WG_CMD_GET_DEVICE, { index }, label), decodeMessage);
    return messages.length === 0 ? undefined : decodeDevice(messages);
  } catch (error) {
    if (isNetlinkError(error, "ENODEV")) return undefined;
    throw error;
  }
}

/** Sets what is given of the device itself; its peers stay: `wg set wg0 private-key … listen-port …`. @throws NetlinkError EADDRINUSE */
export function setDevice({ socket, family }: WireguardSocket, index: number, settings: DeviceSettings): void {
  const { privateKey, listenPort, firewallMark } = settings;
  const attrs = { index, privateKey: privateKey?.reveal(), listenPort, firewallMark };
  socket.execute(request(family, WG_CMD_SET_DEVICE, attrs, `WG_CMD_SET_DEVICE ${index}`));
}

/**
 * Makes, changes and removes peers, many in a message: `wg set wg0 peer … preshared-key … endpoint … allowed-ips …`.
 * Every change is tried, also after one that fails; each is idempotent.
 * @returns for each change undefined, or why the kernel refused it
 */
export function changePeers(wg: WireguardSocket, index: number, changes: readonly PeerChange[]): (Error | undefined)[] {
  const outcomes: (Error | undefined)[] = changes.map(() => undefined);
  for (const portion of portions(changes.map((change, i) => ({ i, parts: partsOf(change) })))) {
    if (
      trySet(
        wg,
        index,
        portion.flatMap(({ parts }) => parts),
      ) === undefined
    )
      continue;
    // The kernel stops at the first that it refuses, and does not say which. One by one it does.
    for (const { i, parts } of portion) {
      for (const part of parts) outcomes[i] ??= trySet(wg, index, [part]);
    }
  }
  return outcomes;
}

/** A peer's change, in parts that a message takes. */
interface Parts {
  readonly i: number;
  readonly parts: readonly PeerAttrs[];
}

/** As many changes a message as fit; one that does not fit is split between several. */
function portions(all: readonly Parts[]): Parts[][] {
  const found: Parts[][] = [];
  let room = 0;
  for (const { i, parts } of all) {
    for (const part of parts) {
      const size = PEER_BYTES + (part.allowedIps?.length ?? 0) * ALLOWED_IP_BYTES;
      const last = found.at(-1);
      if (last === undefined || size > room) {
        found.push([{ i, parts: [part] }]);
        room = MESSAGE_BYTES - size;
      } else {
        last.push({ i, parts: [part] });
        room -= size;
      }
    }
  }
  return found;
}

const NO_KEY = new Uint8Array(32);
const MOST_ALLOWED_IPS = Math.floor((MESSAGE_BYTES - PEER_BYTES) / ALLOWED_IP_BYTES);

/** The first part says everything; further ones add the allowed IPs that did not fit. */
function partsOf(change: PeerChange): PeerAttrs[] {
  const publicKey = wireguardPublicKeyBytes(change.publicKey);
  if ("remove" in change) return [{ publicKey, flags: PeerFlag.remove }];
  const { presharedKey, endpoint, persistentKeepalive, allowedIps } = change;
  const flags =
    (change.updateOnly ? PeerFlag.updateOnly : 0) | (change.replaceAllowedIps ? PeerFlag.replaceAllowedIps : 0);
  const first: PeerAttrs = {
    publicKey,
    presharedKey: presharedKey === "none" ? NO_KEY : presharedKey?.reveal(),
    endpoint,
    persistentKeepalive,
    flags: flags || undefined,
    allowedIps: allowedIps?.slice(0, MOST_ALLOWED_IPS),
  };
  const rest: PeerAttrs[] = [];
  for (let at = MOST_ALLOWED_IPS; at < (allowedIps?.length ?? 0); at += MOST_ALLOWED_IPS) {
    const more = allowedIps?.slice(at, at + MOST_ALLOWED_IPS);
    rest.push({ publicKey, flags: PeerFlag.updateOnly, allowedIps: more });
  }
  return [first, ...rest];
}

function trySet({ socket, family }: WireguardSocket, index: number, peers: readonly PeerAttrs[]): Error | undefined {
  try {
    socket.execute(request(family, WG_CMD_SET_DEVICE, { index, peers }, `WG_CMD_SET_DEVICE ${index}`));
    return undefined;
  } catch (error) {
    if (error instanceof NetlinkError) return error;
    throw error;
  }
}

function request(family: number, command: number, attrs: DeviceAttrs, label: string): Request {
  return {
    type: family,
    body: (to) => deviceMessage.write(to, { header: { command, version: VERSION, reserved: 0 }, attrs }),
    label,
  };
}

function decodeMessage(message: Message): DeviceAttrs {
  return deviceMessage.read(new Reader(message.body)).attrs;
}

/** A device whose peers do not fit into one message has several; a peer may go on in the next one with more allowed IPs. */
export function decodeDevice(messages: readonly DeviceAttrs[]): WireguardDevice {
  const [{ index = 0, name = "", listenPort = 0, firewallMark = 0, privateKey, publicKey } = {}] = messages;
  const peers: WireguardPeer[] = [];
  for (const attrs of messages.flatMap(({ peers: some = [] }) => some)) {
    const key = wireguardPublicKey(attrs.publicKey ?? new Uint8Array());
    const last = peers.at(-1);
    if (last?.publicKey === key) {
      peers[peers.length - 1] = { ...last, allowedIps: [...last.allowedIps, ...(attrs.allowedIps ?? [])] };
    } else peers.push(decodePeer(key, attrs));
  }
  const secret = secretOf(privateKey);
  return {
    index,
    name,
    listenPort,
    firewallMark,
    ...(secret && { privateKey: secret }),
    ...(publicKey && { publicKey: wireguardPublicKey(publicKey) }),
    peers,
  };
}

function decodePeer(publicKey: WireguardPublicKey, attrs: PeerAttrs): WireguardPeer {
  const { endpoint, persistentKeepalive = 0, receivedBytes = 0, sentBytes = 0, allowedIps = [] } = attrs;
  const secret = secretOf(attrs.presharedKey);
  const lastHandshake = attrs.lastHandshake?.seconds;
  return {
    publicKey,
    persistentKeepalive,
    receivedBytes,
    sentBytes,
    allowedIps,
    ...(secret && { presharedKey: secret }),
    ...(endpoint && { endpoint }),
    ...(lastHandshake && { lastHandshake }),
  };
}

/** Zeros stand for no key. */
function secretOf(bytes: Uint8Array | undefined): SecretKey | undefined {
  return bytes === undefined || bytes.every((byte) => byte === 0) ? undefined : new SecretKey(bytes);
}
