import { join } from "node:path";
import type { Logger } from "pino";
import type { WireguardSecrets } from "../dataplane/wireguard.ts";
import { generatePrivateKey, publicKeyOf, SecretKey } from "../kernel/wireguard/keys.ts";
import { parseWireguardPublicKey, type WireguardPublicKey, wireguardPublicKey } from "../net/wireguard-key.ts";
import type { Secrets__Output } from "../proto/gen/podwire/v1/Secrets.ts";
import { readFileIfThere, writeFileAtomic } from "./state-file.ts";

/** More than any cluster has; a controller that tells more is not believed. */
const MOST_PAIRS = 65_536;
/** Keys of nodes that are gone are kept up to so many beside those of nodes that are there. */
const MOST_STRANGERS = 1_000;

const PRIVATE_KEY_FILE = "wireguard-key";
const PAIR_KEYS_FILE = "wireguard-psk";

type PairKeys = ReadonlyMap<WireguardPublicKey, SecretKey>;

/**
 * This node's WireGuard keys, in two files that root alone reads: its private key, made here and told to nobody, and the
 * preshared keys with other nodes, as a controller told them, so that a restart needs none.
 */
export class WireguardKeys implements WireguardSecrets {
  readonly privateKey: SecretKey;
  readonly publicKey: WireguardPublicKey;
  readonly #path: string;
  /** No preshared keys are used: there is no controller that tells them. */
  readonly #alone: boolean;
  #pairs: PairKeys;
  #paired: ReadonlySet<WireguardPublicKey>;
  /** Of the secret that the controller told last, and of the one that is on the disk. */
  #epoch: number;
  #savedEpoch: number;
  #unsaved = false;

  /**
   * Reads the keys, and makes the private one where there is none.
   * @param options fresh: the node has a new identity, so a key that lies there is another node's. alone: without a controller
   * @throws Error naming the file when it holds something else than a private key
   */
  constructor(stateDir: string, log: Logger, options: { readonly fresh: boolean; readonly alone: boolean }) {
    const path = join(stateDir, PRIVATE_KEY_FILE);
    const text = options.fresh ? undefined : readFileIfThere(path);
    this.privateKey = text === undefined ? generatePrivateKey() : parsePrivateKey(text.trim(), path);
    if (text === undefined) writeFileAtomic(path, `${this.privateKey.revealText()}\n`);
    this.publicKey = publicKeyOf(this.privateKey);
    this.#alone = options.alone;
    this.#path = join(stateDir, PAIR_KEYS_FILE);
    const saved = options.alone || options.fresh ? NO_PAIRS : loadPairs(this.#path, log);
    this.#pairs = saved.pairs;
    this.#paired = new Set(saved.pairs.keys());
    this.#epoch = saved.epoch;
    this.#savedEpoch = saved.epoch;
  }

  /** The nodes with which this one has a preshared key; undefined: none are used. The same object while they are the same nodes. */
  get paired(): ReadonlySet<WireguardPublicKey> | undefined {
    return this.#alone ? undefined : this.#paired;
  }

  /** The newest epoch of which all keys are on the disk. */
  get savedEpoch(): number {
    return this.#savedEpoch;
  }

  presharedKey(peer: WireguardPublicKey): SecretKey | undefined {
    return this.#alone ? undefined : this.#pairs.get(peer);
  }

  /**
   * Takes what a controller said. Nothing of it counts when anything is wrong with it.
   * @returns why it is refused
   */
  accept({ epoch, pairs }: Secrets__Output): string | undefined {
    const merged = new Map(this.#pairs);
    try {
      for (const { publicKey, presharedKey } of pairs) {
        const peer = parseWireguardPublicKey(wireguardPublicKey(publicKey));
        if (peer !== this.publicKey) merged.set(peer, new SecretKey(presharedKey));
      }
    } catch (error) {
      return `preshared keys are refused: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (merged.size > MOST_PAIRS) return `preshared keys are refused: they are more than ${MOST_PAIRS}`;
    this.#epoch = epoch;
    this.#unsaved = true;
    this.#replace(merged);
    return undefined;
  }

  /** Drops keys of nodes that are not known, when there are many. */
  forgetStrangers(known: ReadonlySet<string>): void {
    if (this.#pairs.size <= known.size + MOST_STRANGERS) return;
    this.#unsaved = true;
    this.#replace(new Map([...this.#pairs].filter(([peer]) => known.has(peer))));
  }

  /** Writes what is not on the disk yet. To be called before the kernel gets to use it. @throws the error of the system call */
  save(): void {
    if (!this.#unsaved) return;
    const keys = Object.fromEntries(Array.from(this.#pairs, ([peer, key]) => [peer, key.revealText()]));
    writeFileAtomic(this.#path, JSON.stringify({ epoch: this.#epoch, keys }));
    this.#unsaved = false;
    this.#savedEpoch = this.#epoch;
  }

  #replace(pairs: PairKeys): void {
    const same = pairs.size === this.#paired.size && [...pairs.keys()].every((peer) => this.#paired.has(peer));
    this.#pairs = pairs;
    if (!same) this.#paired = new Set(pairs.keys());
  }
}

function parsePrivateKey(text: string, path: string): SecretKey {
  try {
    return SecretKey.fromText(text);
  } catch (cause) {
    throw new Error(`${path} holds no WireGuard key; delete the file to get a new one, which peers are told`, {
      cause,
    });
  }
}

const NO_PAIRS: { readonly epoch: number; readonly pairs: PairKeys } = { epoch: 0, pairs: new Map() };

function loadPairs(path: string, log: Logger): typeof NO_PAIRS {
  const text = readFileIfThere(path);
  if (text === undefined) return NO_PAIRS;
  const saved = decodePairs(text);
  if (saved === undefined)
    log.error({ path }, "the saved preshared keys cannot be used; a controller must tell them anew");
  return saved ?? NO_PAIRS;
}

/** Undefined when it is not what we write; the reason would quote keys. */
function decodePairs(text: string): typeof NO_PAIRS | undefined {
  try {
    const { epoch, keys } = JSON.parse(text) as { epoch?: unknown; keys?: unknown };
    if (typeof epoch !== "number" || typeof keys !== "object" || keys === null) return undefined;
    const pairs = Object.entries(keys).map(
      ([peer, key]) => [parseWireguardPublicKey(peer), SecretKey.fromText(String(key))] as const,
    );
    return { epoch, pairs: new Map(pairs) };
  } catch {
    return undefined;
  }
}
