import {
  changePeers,
  getDevice,
  openWireguard,
  type PeerChange,
  setDevice,
  type WireguardDevice,
  type WireguardPeer,
  type WireguardSocket,
} from "../kernel/wireguard/device.ts";
import { clamped, SecretKey } from "../kernel/wireguard/keys.ts";
import type { Prefix } from "../net/prefix.ts";
import type { WireguardPublicKey } from "../net/wireguard-key.ts";
import type { DesiredWireguard, DesiredWireguardPeer } from "../overlay/state.ts";
import { type Kind, type Put, type Target, target } from "../reconcile/step.ts";
import type { Devices } from "./devices.ts";

/** What the kernel must be told and no state says. */
export interface WireguardSecrets {
  readonly privateKey: SecretKey;
  /** Undefined: none with that peer. */
  presharedKey(peer: WireguardPublicKey): SecretKey | undefined;
}

/** A device as wanted or as the kernel holds it. */
interface DeviceItem {
  readonly name: string;
  readonly held?: WireguardDevice;
  readonly listenPort: number;
}

interface PeerItem {
  readonly device: string;
  readonly publicKey: WireguardPublicKey;
  readonly wanted?: DesiredWireguardPeer;
  readonly held?: WireguardPeer;
}

/**
 * The WireGuard part of one pass. The kernel is asked for each device once; when there are none, it is not spoken to. It
 * announces no change of a peer, so that what is changed by hand is put right by the next pass.
 */
export class WireguardPass implements Disposable {
  readonly #devices: Devices;
  readonly #desired: readonly DesiredWireguard[];
  readonly #secrets: WireguardSecrets | undefined;
  readonly #held = new Map<string, WireguardDevice>();
  #socket: WireguardSocket | undefined;

  constructor(devices: Devices, desired: readonly DesiredWireguard[], secrets: WireguardSecrets | undefined) {
    this.#devices = devices;
    this.#desired = desired;
    this.#secrets = secrets;
  }

  [Symbol.dispose](): void {
    this.#socket?.[Symbol.dispose]();
  }

  /** The devices' own settings; the devices are links, and made as such. */
  devices(): Target {
    const kind: Kind<DeviceItem> = {
      name: "wireguard device",
      key: ({ name }) => name,
      list: () => this.#desired.flatMap(({ device }) => this.#read(device) ?? []).map(deviceItem),
      same: ({ held }, { listenPort }) =>
        held !== undefined &&
        held.listenPort === listenPort &&
        held.firewallMark === 0 &&
        new SecretKey(clamped(this.#key().reveal())).equals(held.privateKey),
      put: ({ name, listenPort }) =>
        setDevice(this.#open(), this.#devices.indexOf(name), { privateKey: this.#key(), listenPort, firewallMark: 0 }),
      remove: () => {}, // the link is what is removed
    };
    return target(
      kind,
      this.#desired.map(({ device, listenPort }) => ({ name: device, listenPort })),
    );
  }

  /** All peers of the wanted devices. */
  peers(): Target {
    const kind: Kind<PeerItem> = {
      name: "wireguard peer",
      key: ({ device, publicKey }) => `${publicKey} dev ${device}`,
      list: () => this.#desired.flatMap(({ device }) => this.#peersOf(device)),
      same: ({ held }, { wanted }) =>
        held !== undefined && wanted !== undefined && isEmpty(this.#difference(wanted, held)),
      put: () => {}, // putAll does it
      putAll: (puts) => this.#putAll(puts),
      remove: ({ device, publicKey }) => {
        const [error] = changePeers(this.#open(), this.#devices.indexOf(device), [{ publicKey, remove: true }]);
        if (error !== undefined) throw error;
      },
    };
    return target(
      kind,
      this.#desired.flatMap(({ device, peers }) =>
        peers.map((wanted) => ({ device, publicKey: wanted.publicKey, wanted })),
      ),
    );
  }

  #putAll(puts: readonly Put<PeerItem>[]): readonly unknown[] {
    const outcomes = new Map<Put<PeerItem>, unknown>();
    for (const device of new Set(puts.map(({ item }) => item.device))) {
      const some = puts.filter(({ item }) => item.device === device);
      try {
        const changes = some.map(({ item, existing }) => this.#change(item, existing?.held));
        const errors = changePeers(this.#open(), this.#devices.indexOf(device), changes);
        for (const [i, put] of some.entries()) outcomes.set(put, errors[i]);
      } catch (error) {
        for (const put of some) outcomes.set(put, error);
      }
    }
    return puts.map((put) => outcomes.get(put));
  }

  #change({ publicKey, wanted }: PeerItem, held: WireguardPeer | undefined): PeerChange {
    if (wanted === undefined) return { publicKey, remove: true };
    if (held !== undefined) return { publicKey, updateOnly: true, ...this.#difference(wanted, held) };
    const { endpoint, allowedIps } = wanted;
    const presharedKey = this.#secrets?.presharedKey(publicKey);
    return { publicKey, presharedKey, endpoint, persistentKeepalive: 0, allowedIps, replaceAllowedIps: true };
  }

  /** Only what differs: to set its allowed IPs anew would cost a peer packets, and a new preshared key need not. */
  #difference(wanted: DesiredWireguardPeer, held: WireguardPeer): Difference {
    const presharedKey = this.#secrets?.presharedKey(wanted.publicKey);
    const sameKey =
      presharedKey === undefined ? held.presharedKey === undefined : presharedKey.equals(held.presharedKey);
    const { address, port } = wanted.endpoint;
    const sameEndpoint = held.endpoint?.address === address && held.endpoint.port === port;
    return {
      ...(sameKey ? {} : { presharedKey: presharedKey ?? "none" }),
      ...(sameEndpoint ? {} : { endpoint: wanted.endpoint }),
      ...(held.persistentKeepalive === 0 ? {} : { persistentKeepalive: 0 }),
      ...allowedIpsChange(wanted.allowedIps, held.allowedIps),
    };
  }

  #peersOf(device: string): PeerItem[] {
    const held = this.#held.get(device);
    if (held === undefined) throw new Error(`device ${device} is not there`); // once, and not for each peer
    return held.peers.map((peer) => ({ device, publicKey: peer.publicKey, held: peer }));
  }

  #read(name: string): WireguardDevice | undefined {
    const device = getDevice(this.#open(), this.#devices.indexOf(name));
    if (device !== undefined) this.#held.set(name, device);
    return device;
  }

  #key(): SecretKey {
    if (this.#secrets !== undefined) return this.#secrets.privateKey;
    throw new Error("there is no private key for WireGuard here; the backend wireguard needs podwire-agent");
  }

  #open(): WireguardSocket {
    this.#socket ??= openWireguard();
    return this.#socket;
  }
}

type Difference = Omit<Extract<PeerChange, { readonly updateOnly?: boolean }>, "publicKey" | "updateOnly">;

function deviceItem(held: WireguardDevice): DeviceItem {
  return { name: held.name, listenPort: held.listenPort, held };
}

function isEmpty(difference: Difference): boolean {
  return Object.keys(difference).length === 0;
}

/** What is missing is added; only what must go makes them all be set anew. */
function allowedIpsChange(wanted: readonly Prefix[], held: readonly Prefix[]): Difference {
  const has = new Set(held);
  const missing = wanted.filter((prefix) => !has.has(prefix));
  const wants = new Set(wanted);
  const extra = held.some((prefix) => !wants.has(prefix));
  if (extra) return { allowedIps: wanted, replaceAllowedIps: true };
  return missing.length === 0 ? {} : { allowedIps: missing };
}
