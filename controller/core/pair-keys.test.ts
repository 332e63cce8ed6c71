import { createHash, randomBytes } from "node:crypto";
import t from "tap";
import { wireguardPublicKey } from "../../net/wireguard-key.ts";
import type { Controller } from "./controller.ts";
import { pairKey, SECRETS_KEY } from "./pair-keys.ts";
import { nodeKey } from "./record.ts";
import { type FakeNode, Testbed } from "./testbed.ts";

const HOUR = 3_600_000;
const NETWORKS = { pods: { cidrs: ["10.244.0.0/16"], backend: { type: "wireguard" } } };

const keyOf = (id: string) => wireguardPublicKey(createHash("sha256").update(id).digest());

function join(bed: Testbed, id: string, controller?: Controller): FakeNode {
  const i = Number(id.slice(1));
  return bed.join(id, { addresses: [`198.51.100.${i}`], publicKey: keyOf(id) }, controller);
}

/** The preshared keys that a node has after all that it was told, by the other's id. */
function pairs(node: FakeNode, ids: readonly string[]): Map<string, string> {
  const known = new Map<string, string>();
  for (const { secrets } of node.messages()) {
    for (const { publicKey, presharedKey } of secrets?.pairs ?? []) {
      const id = ids.find((each) => keyOf(each) === wireguardPublicKey(publicKey)) ?? "?";
      known.set(id, presharedKey.toString("hex"));
    }
  }
  return known;
}

const epoch = (node: FakeNode) => node.messages().findLast(({ secrets }) => secrets)?.secrets?.epoch ?? 0;

/** The node has all that it was told on its disk. */
function acknowledge(node: FakeNode): void {
  node.say({ ack: { revision: 0, failures: [], secretsEpoch: epoch(node) } });
}

function start(options: { controllers?: number; networks?: Record<string, object> } = {}): Promise<Testbed> {
  const { networks = NETWORKS, controllers = 1 } = options;
  return Testbed.start(networks, { controllers, secretRotation: HOUR });
}

const IDS = ["n1", "n2", "n3"] as const;

t.test("a pair's key is the same at both ends, and no other pair's", async (t) => {
  const bed = await start();
  const nodes = IDS.map((id) => join(bed, id));
  await bed.clock.advance(2_000);
  const [one, two, three] = nodes.map((node) => pairs(node, IDS));
  t.equal(one?.size, 2);
  t.equal(one?.get("n2"), two?.get("n1"));
  t.equal(one?.get("n3"), three?.get("n1"));
  t.equal(two?.get("n3"), three?.get("n2"));
  t.equal(new Set([one?.get("n2"), one?.get("n3"), two?.get("n3")]).size, 3);
  t.match(one?.get("n2"), /^[0-9a-f]{64}$/);
});

t.test("S9: a node is told the keys of its own pairs alone", async (t) => {
  const bed = await start();
  const nodes = IDS.map((id) => join(bed, id));
  await bed.clock.advance(2_000);
  const [one, two, three] = nodes.map((node) => pairs(node, IDS));
  t.notOk([...(one?.values() ?? [])].includes(two?.get("n3") ?? ""));
  t.notOk(one?.has("n1"));
  t.ok(three?.has("n1"));
});

t.test("the keys come before the state that needs them, and the public keys with that", async (t) => {
  const bed = await start();
  const first = join(bed, "n1");
  await bed.clock.advance(2_000);
  const second = join(bed, "n2");
  await bed.clock.advance(2_000);
  for (const node of [first, second]) {
    const kinds = node.messages().map((message) => Object.keys(message)[0]);
    const of = (other: string) => (subnet: { publicKey: string }) => subnet.publicKey === keyOf(other);
    const other = node === first ? "n2" : "n1";
    const told = node
      .messages()
      .findIndex(({ snapshot, delta }) => [...(snapshot?.subnets ?? []), ...(delta?.subnets ?? [])].some(of(other)));
    const keyed = node
      .messages()
      .findIndex(({ secrets }) =>
        secrets?.pairs.some(({ publicKey }) => wireguardPublicKey(publicKey) === keyOf(other)),
      );
    t.ok(keyed >= 0 && keyed < told, `${kinds.join()}: keys at ${keyed}, state at ${told}`);
  }
});

t.test("two controllers on one store agree, and make one secret", async (t) => {
  const bed = await start({ controllers: 2 });
  const [a, b] = bed.controllers;
  const one = join(bed, "n1", a);
  const two = join(bed, "n2", b);
  for (let round = 1; round <= 3; round++) {
    await bed.clock.advance(5_000);
    t.equal(pairs(one, IDS).get("n2"), pairs(two, IDS).get("n1"), `epoch ${round}`);
    t.equal(epoch(one), round);
    t.equal(epoch(two), round);
    for (const node of [one, two]) acknowledge(node);
    await bed.clock.advance(HOUR + 60_000);
  }
});

t.test("rotation: a pair's key changes when both nodes have acknowledged, at both ends", async (t) => {
  const bed = await start();
  const [one, two, three] = IDS.map((id) => join(bed, id)) as [FakeNode, FakeNode, FakeNode];
  await bed.clock.advance(2_000);
  for (const node of [one, two, three]) acknowledge(node);
  await bed.clock.advance(2_000);
  const before = pairs(one, IDS);
  await bed.clock.advance(HOUR);
  t.equal(epoch(one), 2, "all hear of the new one");
  acknowledge(one);
  await bed.clock.advance(2_000);
  t.strictSame(pairs(one, IDS), before, "one alone changes nothing");
  acknowledge(two);
  await bed.clock.advance(2_000);
  t.not(pairs(one, IDS).get("n2"), before.get("n2"));
  t.equal(pairs(one, IDS).get("n2"), pairs(two, IDS).get("n1"));
  t.equal(pairs(one, IDS).get("n3"), before.get("n3"), "the third has said nothing");
  t.equal(pairs(three, IDS).get("n1"), before.get("n3"));
});

t.test(
  "a node that is away keeps its keys with the others through rotations, and follows when it is back",
  async (t) => {
    const bed = await start();
    const [one, two] = ["n1", "n2"].map((id) => join(bed, id)) as [FakeNode, FakeNode];
    await bed.clock.advance(2_000);
    for (const node of [one, two]) acknowledge(node);
    const before = pairs(one, IDS).get("n2");
    two.drop();
    for (let round = 0; round < 5; round++) {
      await bed.clock.advance(HOUR + 60_000);
      acknowledge(one);
    }
    t.equal(epoch(one), 6);
    t.equal(pairs(one, IDS).get("n2"), before);
    const back = join(bed, "n2");
    await bed.clock.advance(2_000);
    t.equal(pairs(back, IDS).get("n1"), before, "it is told the one that holds");
    acknowledge(back);
    await bed.clock.advance(2_000);
    t.not(pairs(one, IDS).get("n2"), before);
    t.equal(pairs(one, IDS).get("n2"), pairs(back, IDS).get("n1"));
    await bed.clock.advance(HOUR + 60_000);
    const { epochs } = JSON.parse((await bed.store.range(SECRETS_KEY)).entries[0]?.value ?? "") as {
      epochs: unknown[];
    };
    t.equal(epochs.length, 2, "what no node uses any more is forgotten");
  },
);

t.test("a node that comes anew begins with the newest secret, and a new key with it", async (t) => {
  const bed = await start();
  const one = join(bed, "n1");
  await bed.clock.advance(2_000);
  acknowledge(one);
  await bed.clock.advance(HOUR + 60_000);
  acknowledge(one);
  await bed.clock.advance(2_000);
  const two = join(bed, "n2");
  await bed.clock.advance(2_000);
  t.equal(pairs(one, IDS).get("n2"), pairs(two, IDS).get("n1"));
  const record = (await bed.store.range(nodeKey("n2"))).entries[0]?.value ?? "{}";
  t.match(JSON.parse(record), { publicKey: keyOf("n2"), secretsEpoch: 2 });
});

t.test("without a network of wireguard there are no secrets; the first one brings them to all", async (t) => {
  const bed = await start({ networks: { plain: { cidrs: ["10.1.0.0/16"] } } });
  const [one, two] = ["n1", "n2"].map((id) => join(bed, id)) as [FakeNode, FakeNode];
  await bed.clock.advance(HOUR);
  t.equal((await bed.store.range("secrets/")).entries.length, 0);
  t.equal(epoch(one), 0);
  await bed.putNetwork("pods", NETWORKS.pods);
  await bed.clock.advance(2_000);
  t.equal(pairs(one, IDS).get("n2"), pairs(two, IDS).get("n1"));
  t.equal(pairs(one, IDS).size, 1);
});

t.test("a node that says another key gets other preshared keys, and so do the others with it", async (t) => {
  const bed = await start();
  const [one, two] = ["n1", "n2"].map((id) => join(bed, id)) as [FakeNode, FakeNode];
  await bed.clock.advance(2_000);
  const before = pairs(one, IDS).get("n2");
  two.drop();
  const anew = bed.join("n2", { addresses: ["198.51.100.2"], publicKey: keyOf("n9") });
  await bed.clock.advance(2_000);
  const ids = [...IDS, "n9"];
  t.equal(pairs(one, ids).get("n9"), pairs(anew, ids).get("n1"));
  t.not(pairs(one, ids).get("n9"), before);
});

t.test("S9: a node that says another's key is refused, and told what to do", async (t) => {
  const bed = await start();
  join(bed, "n1");
  await bed.clock.advance(2_000);
  const thief = bed.join("n2", { addresses: ["198.51.100.2"], publicKey: keyOf("n1") });
  await bed.clock.advance(2_000);
  t.match(thief.ended?.error, { status: "ALREADY_EXISTS", message: /is that of node "n1".*delete wireguard-key/ });
  const nonsense = bed.join("n3", { addresses: ["198.51.100.3"], publicKey: "nonsense" });
  await bed.clock.advance(2_000);
  t.match(nonsense.ended?.error, { status: "INVALID_ARGUMENT", message: /public_key/ });
});

t.test("S16: no secret and no preshared key is in a log, not even when the record is broken", async (t) => {
  const bed = await start();
  const [one] = ["n1", "n2"].map((id) => join(bed, id));
  await bed.clock.advance(2_000);
  if (one === undefined) throw new Error("no node");
  acknowledge(one);
  const value = (await bed.store.range(SECRETS_KEY)).entries[0]?.value ?? "";
  const { epochs } = JSON.parse(value) as { epochs: { secret: string }[] };
  for (const broken of [
    JSON.stringify(epochs),
    `${value}x`,
    JSON.stringify({ epochs: [{ ...epochs[0], epoch: -1 }] }),
  ]) {
    await bed.put(SECRETS_KEY, broken);
    await bed.clock.advance(2_000);
  }
  const log = JSON.stringify(bed.log, (_, each) => (each instanceof Error ? `${each.stack} ${each.cause}` : each));
  t.match(log, /ignoring a broken record/);
  const secret = epochs[0]?.secret ?? "none";
  t.notOk(log.includes(secret) || log.includes(secret.slice(0, 20)));
  for (const key of pairs(one, IDS).values()) {
    t.notOk(log.includes(key) || log.includes(Buffer.from(key, "hex").toString("base64")));
  }
});

t.test("a pair's key depends on the secret, its epoch and both nodes, in whatever order", async (t) => {
  const secret = (epoch: number) => ({ epoch, secret: randomBytes(32).toString("base64"), madeAt: 0 });
  const [first, second] = [secret(1), secret(2)];
  const [a, b, c] = ["a", "b", "c"].map(keyOf) as [ReturnType<typeof keyOf>, ReturnType<typeof keyOf>, never];
  t.strictSame(pairKey(first, a, b), pairKey(first, b, a));
  t.equal(pairKey(first, a, b).length, 32);
  const keys = [
    pairKey(first, a, b),
    pairKey(second, a, b),
    pairKey({ ...first, epoch: 2 }, a, b),
    pairKey(first, a, c),
  ];
  t.equal(new Set(keys.map((key) => key.toString("hex"))).size, keys.length);
});
