import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import t, { type Test } from "tap";
import { generatePrivateKey, publicKeyOf, type SecretKey } from "../kernel/wireguard/keys.ts";
import { type WireguardPublicKey, wireguardPublicKeyBytes } from "../net/wireguard-key.ts";
import { WireguardKeys } from "./wireguard-keys.ts";

const CLUSTER = { fresh: false, alone: false };

function folder(t: Test): { path: string; open(options?: typeof CLUSTER): WireguardKeys; log(): string } {
  const path = mkdtempSync(join(tmpdir(), "podwire-keys-"));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  const said: string[] = [];
  const log = pino({ level: "trace" }, { write: (line: string) => void said.push(line) });
  return { path, open: (options = CLUSTER) => new WireguardKeys(path, log, options), log: () => said.join() };
}

interface Pair {
  readonly peer: WireguardPublicKey;
  readonly key: SecretKey;
}

const newPair = (): Pair => ({ peer: publicKeyOf(generatePrivateKey()), key: generatePrivateKey() });
const told = (epoch: number, ...pairs: readonly Pair[]) => ({
  epoch,
  pairs: pairs.map(({ peer, key }) => ({
    publicKey: Buffer.from(wireguardPublicKeyBytes(peer)),
    presharedKey: Buffer.from(key.reveal()),
  })),
});

t.test("the private key is made once, and root's alone", async (t) => {
  const { path, open } = folder(t);
  const first = open();
  t.equal(statSync(join(path, "wireguard-key")).mode & 0o777, 0o600);
  t.equal(open().publicKey, first.publicKey);
  t.ok(open().privateKey.equals(first.privateKey));
});

t.test(
  "a node with a new identity gets a new key: the old one came with a copy of another machine's disk",
  async (t) => {
    const { open } = folder(t);
    const first = open();
    first.accept(told(1, newPair()));
    first.save();
    const copy = open({ fresh: true, alone: false });
    t.not(copy.publicKey, first.publicKey);
    t.equal(copy.paired?.size, 0);
    t.equal(open().publicKey, copy.publicKey);
  },
);

t.test("preshared keys outlive a restart, and are acknowledged only when they are on the disk", async (t) => {
  const { path, open } = folder(t);
  const [a, b] = [newPair(), newPair()];
  const keys = open();
  t.equal(keys.paired?.size, 0, "at first there are none, and so no peers");
  t.equal(keys.accept(told(3, a, b)), undefined);
  t.equal(keys.savedEpoch, 0);
  keys.save();
  t.equal(keys.savedEpoch, 3);
  t.equal(statSync(join(path, "wireguard-psk")).mode & 0o777, 0o600);
  const again = open();
  t.equal(again.savedEpoch, 3);
  t.ok(again.presharedKey(a.peer)?.equals(a.key));
  t.strictSame(again.paired, new Set([a.peer, b.peer]));
});

t.test("what is told adds to what is known, and nothing is written when nothing is new", async (t) => {
  const { path, open } = folder(t);
  const [a, b] = [newPair(), newPair()];
  const keys = open();
  keys.accept(told(1, a));
  keys.save();
  const { paired } = keys;
  const changed = { ...a, key: generatePrivateKey() };
  keys.accept(told(2, changed));
  t.equal(keys.paired, paired, "the same nodes are the same object: the plan stands");
  t.ok(keys.presharedKey(a.peer)?.equals(changed.key));
  keys.accept(told(2, b));
  t.strictSame(keys.paired, new Set([a.peer, b.peer]));
  keys.save();
  rmSync(join(path, "wireguard-psk"));
  keys.save();
  t.notOk(existsSync(join(path, "wireguard-psk")));
});

t.test("S11: of a message with anything wrong in it nothing counts", async (t) => {
  const { open } = folder(t);
  const [good, bad] = [newPair(), newPair()];
  const keys = open();
  const message = told(9, good, bad);
  for (const pair of [
    { publicKey: Buffer.alloc(31, 1), presharedKey: Buffer.alloc(32, 1) },
    { publicKey: Buffer.alloc(32), presharedKey: Buffer.alloc(32, 1) },
    { publicKey: Buffer.alloc(32, 1), presharedKey: Buffer.alloc(33, 1) },
  ]) {
    t.match(keys.accept({ ...message, pairs: [...message.pairs, pair] }), /^preshared keys are refused: /);
  }
  keys.save();
  t.equal(keys.paired?.size, 0);
  t.equal(keys.savedEpoch, 0);
});

t.test(
  "files that were damaged: the private key is asked for, preshared ones are told anew; S16: neither is quoted",
  async (t) => {
    const { path, open, log } = folder(t);
    const keys = open();
    const pair = newPair();
    keys.accept(told(1, pair));
    keys.save();
    const saved = readFileSync(join(path, "wireguard-psk"), "utf8");
    writeFileSync(join(path, "wireguard-psk"), `${saved}x`);
    t.equal(open().paired?.size, 0);
    t.match(log(), /the saved preshared keys cannot be used/);
    t.notOk(log().includes(pair.key.revealText()));
    const text = `${keys.privateKey.revealText().slice(1)}`;
    chmodSync(join(path, "wireguard-key"), 0o600);
    writeFileSync(join(path, "wireguard-key"), text);
    t.throws(open, { message: /wireguard-key holds no WireGuard key; delete the file/ });
    try {
      open();
    } catch (error) {
      t.notOk(`${(error as Error).message} ${(error as Error).cause}`.includes(text.slice(0, 20)));
    }
  },
);

t.test("without a controller no preshared keys are used", async (t) => {
  const { open } = folder(t);
  const alone = open({ fresh: false, alone: true });
  t.equal(alone.paired, undefined);
  t.equal(alone.presharedKey(newPair().peer), undefined);
});
