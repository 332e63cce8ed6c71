import t from "tap";
import { createNamedNetns, deleteNamedNetns, type Netns } from "../../kernel/netns.ts";
import { addLink, getLink, type Link, listLinks, setLink } from "../../kernel/rtnetlink/link.ts";
import { deleteLinks, openLinkRemover } from "../../kernel/rtnetlink/removal.ts";
import { listRoutes } from "../../kernel/rtnetlink/route.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { type KernelNode, makeNode } from "./kernel-node.ts";

/** A veth between the node's bridge and a pod of its own, both ends up. */
interface Pair {
  readonly link: Link;
  readonly pod: Netns;
}

function makePairs(t: Parameters<typeof makeNode>[0], node: KernelNode, count: number): Pair[] {
  const bridge = getLink(node.rt, "br0") ?? addLink(node.rt, { name: "br0", kind: "bridge", up: true });
  return Array.from({ length: count }, (_, i) => {
    const name = `${node.name}-${listLinks(node.rt).length}-${i}`;
    const pod = createNamedNetns(name);
    t.teardown(() => {
      pod[Symbol.dispose]();
      deleteNamedNetns(name, "/run/netns", { missingOk: true });
    });
    const peer = { name: "eth0", netns: pod, up: true };
    const link = addLink(node.rt, { name: `v${i}`, kind: "veth", master: bridge.index, up: true, peer });
    return { link, pod };
  });
}

/** What anybody can still list of the pair. */
function traces(node: KernelNode, { link, pod }: Pair): unknown[] {
  using inside = openRoute(pod);
  return [
    ...listRoutes(inside, { table: 255 }).filter(({ dev }) => dev !== 1), // read under RCU, while the others wait for the lock
    ...[getLink(inside, "eth0"), getLink(node.rt, link.index)].filter((found) => found !== undefined),
  ];
}

const names = (node: KernelNode) => listLinks(node.rt, { kind: "veth" }).map(({ name }) => name);

t.test("a link that is reported removed is listed nowhere, nor is its other end", async (t) => {
  const node = makeNode(t);
  using remover = openLinkRemover({ netns: node.netns });
  const pairs = makePairs(t, node, 20);
  for (const pair of pairs.slice(0, 5)) {
    t.not(traces(node, pair).length, 0);
    await remover.remove([pair.link.index]);
    t.strictSame(traces(node, pair), []);
  }
  await Promise.all(
    pairs.slice(5).map(async (pair) => {
      await remover.remove([pair.link.index]);
      t.strictSame(traces(node, pair), []);
    }),
  );
  t.strictSame(names(node), []);
});

t.test("110 removals at once leave nothing of theirs, and everything of others'", async (t) => {
  const node = makeNode(t);
  using remover = openLinkRemover({ netns: node.netns });
  const pairs = makePairs(t, node, 112);
  const [red, blue, ...others] = pairs;
  setLink(node.rt, red?.link.index ?? 0, { group: 0x7fffffff, alias: "somebody's" });
  await Promise.all(others.map(({ link }) => remover.remove([link.index])));
  t.strictSame(names(node).sort(), [red?.link.name, blue?.link.name].sort());
  t.equal(getLink(node.rt, "v0")?.group, 0x7fffffff);
  t.equal(getLink(node.rt, "v1")?.group, 0);
});

t.test("links that vanish meanwhile, and the same link asked for many times, are no error", async (t) => {
  const node = makeNode(t);
  using remover = openLinkRemover({ netns: node.netns });
  const pairs = makePairs(t, node, 12);
  const gone = pairs.slice(0, 4);
  deleteLinks(
    node.rt,
    gone.map(({ link }) => link.index),
  );
  await Promise.all([...pairs, ...pairs, ...gone].map(({ link }) => remover.remove([link.index])));
  await remover.remove(gone.map(({ link }) => link.index));
  await remover.remove([]);
  t.strictSame(names(node), []);
});

t.test("one link that the kernel does not remove fails alone, and the rest of its batch goes", async (t) => {
  const node = makeNode(t);
  using remover = openLinkRemover({ netns: node.netns });
  const pairs = makePairs(t, node, 6);
  const loopback = 1;
  const all = [loopback, ...pairs.map(({ link }) => link.index)];
  const outcomes = await Promise.allSettled(all.map((index) => remover.remove([index])));
  t.match(outcomes[0], { status: "rejected", reason: { code: "EOPNOTSUPP" } });
  t.ok(outcomes.slice(1).every(({ status }) => status === "fulfilled"));
  t.strictSame(names(node), []);
  await t.rejects(remover.remove([loopback]), { code: "EOPNOTSUPP" });
  await t.rejects(remover.remove([0]), RangeError);
});

t.test("in one call, too, one that stays does not keep the others", async (t) => {
  const node = makeNode(t);
  const pairs = makePairs(t, node, 70);
  t.throws(() => deleteLinks(node.rt, [1, ...pairs.map(({ link }) => link.index), 999_999]), { code: "EOPNOTSUPP" });
  t.strictSame(names(node), []);
  t.equal(getLink(node.rt, "lo")?.index, 1);
  deleteLinks(node.rt, []);
});

t.test("notifications that are lost do not keep anybody waiting", async (t) => {
  const node = makeNode(t);
  const [pair, ...others] = makePairs(t, node, 8);
  using remover = openLinkRemover({ netns: node.netns });
  // The thread that reads the notifications is held up while far more come than the socket has room for.
  const removal = remover.remove([pair?.link.index ?? 0]);
  const rest = Promise.all(others.map(({ link }) => remover.remove([link.index])));
  await new Promise((resolve) => setImmediate(resolve));
  for (let mtu = 1000; mtu < 9000; mtu++) setLink(node.rt, "br0", { mtu });
  await removal;
  await rest;
  t.strictSame(names(node), []);
});

t.test("a remover that is closed refuses, and what was begun comes to its end", async (t) => {
  const node = makeNode(t);
  const pairs = makePairs(t, node, 3);
  const remover = openLinkRemover({ netns: node.netns });
  const begun = remover.remove([pairs[0]?.link.index ?? 0]);
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  const waiting = remover.remove([pairs[1]?.link.index ?? 0]);
  remover[Symbol.dispose]();
  await t.rejects(waiting, /closed/);
  await begun;
  await t.rejects(remover.remove([pairs[2]?.link.index ?? 0]), /closed/);
  t.strictSame(names(node).sort(), ["v1", "v2"]);
});
