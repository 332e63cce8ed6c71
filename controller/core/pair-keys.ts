import { createHmac } from "node:crypto";
import { factsOf } from "../../backends/backend.ts";
import { type WireguardPublicKey, wireguardPublicKeyBytes } from "../../net/wireguard-key.ts";
import type { Secrets } from "../../proto/gen/podwire/v1/Secrets.ts";
import { RequestError } from "./error.ts";
import type { Node, State } from "./state.ts";

/*
 * WireGuard's preshared keys. The store has a few secrets, numbered by epochs; the key of two nodes is an HMAC of their public
 * keys under one of them, so that any controller tells both the same and none keeps a key. Which one: the newest that both
 * nodes have acknowledged. A node that hears no controller acknowledges nothing, and everybody goes on to use with it what it
 * knows. An acknowledgement changes the key at both ends at once; sessions that are up outlive that, for WireGuard looks at the
 * key in handshakes alone.
 */

/** One of secrets/wireguard. */
export interface ClusterSecret {
  /** From 1, without gaps. */
  readonly epoch: number;
  /** 32 bytes in base64. */
  readonly secret: string;
  readonly madeAt: number;
}

/** secrets/wireguard: oldest first. */
export interface SecretsRecord {
  readonly epochs: readonly ClusterSecret[];
}

export const SECRETS_KEY = "secrets/wireguard";

/** A node that was away for longer than so many rotations may find that the others use another key with it. */
const MOST_SECRETS = 64;
/** Pairs in a message that changes some; to make a key takes microseconds. */
const MOST_PAIRS = 500;

/** Reads the record's text. @throws RequestError that does not repeat what it says */
export function decodeSecrets(text: string): readonly ClusterSecret[] {
  const epochs = epochsOf(text);
  if (Array.isArray(epochs) && epochs.every(isClusterSecret)) return epochs;
  throw new RequestError("INVALID_ARGUMENT", "epochs: is not a list of secrets with rising epochs");
}

function epochsOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { epochs?: unknown } | null)?.epochs;
  } catch {
    return undefined; // the error would quote the text
  }
}

function isClusterSecret(value: unknown, index: number, all: readonly unknown[]): value is ClusterSecret {
  const { epoch, secret, madeAt } = (value ?? {}) as Partial<ClusterSecret>;
  const before = index === 0 ? undefined : (all[index - 1] as ClusterSecret).epoch;
  return (
    Number.isSafeInteger(epoch) &&
    Number(epoch) > 0 &&
    (before === undefined || epoch === before + 1) &&
    typeof secret === "string" &&
    /^[A-Za-z0-9+/]{43}=$/.test(secret) &&
    Number.isSafeInteger(madeAt)
  );
}

/** The record with a new secret, without those that no node uses any more. @param fresh 32 random bytes */
export function withNewSecret(state: State, fresh: Uint8Array, now: number): SecretsRecord {
  const { secrets } = state;
  const keyed = [...state.nodes.values()].filter(({ publicKey }) => publicKey !== "");
  const oldest = chosen(secrets, Math.min(...keyed.map(({ secretsEpoch }) => secretsEpoch)))?.epoch ?? 0;
  const next = {
    epoch: (secrets.at(-1)?.epoch ?? 0) + 1,
    secret: Buffer.from(fresh).toString("base64"),
    madeAt: now,
  };
  return { epochs: [...secrets.filter(({ epoch }) => epoch >= oldest), next].slice(-MOST_SECRETS) };
}

/** Whether any network needs such keys. */
export function usesWireguard({ networks }: Pick<State, "networks">): boolean {
  return [...networks.values()].some(({ backend, previous }) =>
    [backend, previous?.backend].some((each) => each !== undefined && factsOf(each.type)?.nodeKeys === true),
  );
}

/** The key of two nodes under a secret, the same whichever comes first. */
export function pairKey({ secret, epoch }: ClusterSecret, a: WireguardPublicKey, b: WireguardPublicKey): Buffer {
  const [low, high] = [wireguardPublicKeyBytes(a), wireguardPublicKeyBytes(b)].sort(Buffer.compare);
  return createHmac("sha256", Buffer.from(secret, "base64"))
    .update(`podwire wireguard preshared key ${epoch}\0`)
    .update(low ?? "")
    .update(high ?? "")
    .digest();
}

/** The newest secret of that epoch or before; when all are newer, the oldest. */
function chosen(secrets: readonly ClusterSecret[], epoch: number): ClusterSecret | undefined {
  return secrets.findLast((secret) => secret.epoch <= epoch) ?? secrets[0];
}

/** What two nodes share at those acknowledged epochs. */
function sharedSecret(state: State, a: number, b: number): ClusterSecret | undefined {
  return chosen(state.secrets, Math.min(a, b));
}

/** Nodes as they were before their keys or epochs changed, by id; undefined: they were not there. */
export type Rekeyed = ReadonlyMap<string, Pick<Node, "publicKey" | "secretsEpoch"> | undefined>;

/** What one node is told of its keys: all of them once, and then those that change. */
export class PairKeyFeed {
  readonly #state: State;
  readonly #nodeId: string;
  /** The newest epoch that the node was told; undefined: nothing yet. */
  #told: number | undefined;
  /** Nodes with which the key may be another now, with the epoch of the one that was told; 0: none was. */
  readonly #changed = new Map<string, number>();

  constructor(state: State, nodeId: string) {
    this.#state = state;
    this.#nodeId = nodeId;
  }

  /** Whether the next message says everything, and so may be large. */
  get isFirst(): boolean {
    return this.#told === undefined && this.#self() !== undefined;
  }

  /** Takes note of nodes that changed; the state has them as they are now. */
  note(rekeyed: Rekeyed): void {
    if (this.#told === undefined || rekeyed.size === 0) return;
    const self = this.#state.nodes.get(this.#nodeId);
    const selfBefore = rekeyed.has(this.#nodeId) ? rekeyed.get(this.#nodeId) : self;
    if (self === undefined || selfBefore?.publicKey !== self.publicKey) {
      this.#told = undefined;
      return;
    }
    const affected = rekeyed.has(this.#nodeId) ? this.#state.nodes.keys() : rekeyed.keys();
    for (const id of affected) {
      if (id === this.#nodeId || this.#changed.has(id)) continue;
      const now = this.#state.nodes.get(id);
      const before = rekeyed.has(id) ? rekeyed.get(id) : now;
      const isSame = before !== undefined && before.publicKey === now?.publicKey;
      const told = isSame ? sharedSecret(this.#state, before.secretsEpoch, selfBefore.secretsEpoch)?.epoch : undefined;
      this.#changed.set(id, told ?? 0);
    }
  }

  /** What to send now; undefined: the node knows everything, or no network needs it. */
  next(): Secrets | undefined {
    const { secrets, nodes } = this.#state;
    const newest = secrets.at(-1)?.epoch;
    const self = this.#self();
    if (newest === undefined || self === undefined) return undefined;
    if (this.#told === undefined) {
      this.#told = newest;
      this.#changed.clear();
      return { epoch: newest, pairs: [...nodes.values()].flatMap((node) => this.#pair(self, node, 0)) };
    }
    const pairs: NonNullable<Secrets["pairs"]> = [];
    for (const [id, told] of this.#changed) {
      if (pairs.length === MOST_PAIRS) break;
      this.#changed.delete(id);
      const node = nodes.get(id);
      if (node !== undefined) pairs.push(...this.#pair(self, node, told));
    }
    if (pairs.length === 0 && this.#told === newest) return undefined;
    this.#told = newest;
    return { epoch: newest, pairs };
  }

  /** The node, when it has a key and some network needs that. */
  #self(): Node | undefined {
    if (this.#state.secrets.length === 0) return undefined;
    const self = this.#state.nodes.get(this.#nodeId);
    return self?.publicKey && usesWireguard(this.#state) ? self : undefined;
  }

  #pair(self: Node, other: Node, told: number): NonNullable<Secrets["pairs"]> {
    const secret = sharedSecret(this.#state, self.secretsEpoch, other.secretsEpoch);
    if (other.id === self.id || other.publicKey === "" || self.publicKey === "") return [];
    if (secret === undefined || secret.epoch === told) return [];
    const presharedKey = pairKey(secret, self.publicKey, other.publicKey);
    return [{ publicKey: Buffer.from(wireguardPublicKeyBytes(other.publicKey)), presharedKey }];
  }
}
