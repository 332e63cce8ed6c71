import t from "tap";
import { desiredOverlay } from "../../overlay/desired.ts";
import { parseNetworks, parseUnderlay } from "../../overlay/parse-network.ts";
import { parseLeases, parsePeers } from "../../overlay/parse-peers.ts";
import type { Question, Reply } from "./ask.ts";
import { investigate, largestPassing, type Means, passes } from "./examine.ts";
import { Findings, MOST_FINDINGS } from "./findings.ts";
import { answerTo, encodeQuestion, isAnswer, NONCE_BYTES, smallestPacket } from "./packet.ts";
import { choosePeers, ownEnds, peerEnds, type Target, targetOf } from "./targets.ts";
import { describeFault, type Evidence, judge, type Outcome, sizesBetween } from "./verdict.ts";

const NONCE = Uint8Array.from({ length: NONCE_BYTES }, (_, i) => i + 1);

t.test("S7: an answer is shorter than any question, and belongs to one question alone", async (t) => {
  for (const family of [4, 6] as const) {
    for (const size of [0, smallestPacket(family), 1280, 9000]) {
      const question = encodeQuestion(NONCE, family, size);
      const answer = answerTo(question);
      t.ok(answer !== undefined && answer.length < question.length, `${question.length} bytes`);
      t.ok(answer && isAnswer(answer, NONCE));
      t.notOk(
        answer &&
          isAnswer(
            answer,
            NONCE.map((byte) => byte + 1),
          ),
        "another question's nonce",
      );
    }
    t.equal(encodeQuestion(NONCE, family, 1400).length, 1400 - (family === 4 ? 28 : 48));
  }
  const question = encodeQuestion(NONCE, 4, 100);
  const answer = answerTo(question) ?? new Uint8Array();
  t.equal(answerTo(answer), undefined, "answers are not answered, so two agents never talk for ever");
  t.equal(answerTo(question.subarray(0, 20)), undefined, "too short");
  t.equal(answerTo(new Uint8Array(100)), undefined, "something else");
});

const evidence = (more: Partial<Evidence>): Evidence => ({
  full: "silent",
  small: "silent",
  fullWithoutChecksum: "silent",
  smallWithoutChecksum: "silent",
  echo: false,
  underlayEcho: false,
  ...more,
});

t.test("the verdict is what the evidence proves", async (t) => {
  const rows: readonly [Partial<Evidence>, string][] = [
    [{ full: "answered" }, "passed"],
    [{ small: "answered", smallWithoutChecksum: "answered", echo: true, underlayEcho: true }, "mtu-black-hole"],
    [{ small: "answered", fullWithoutChecksum: "answered" }, "checksum"],
    [{ fullWithoutChecksum: "answered", smallWithoutChecksum: "answered", echo: true }, "checksum"],
    [{ smallWithoutChecksum: "answered" }, "checksum"],
    [{ small: "refused" }, "not-probed"],
    [{ full: "refused", echo: true, underlayEcho: true }, "not-probed"],
    [{ echo: true, underlayEcho: true }, "not-probed"],
    [{ underlayEcho: true }, "blocked"],
    [{}, "unreachable"],
    [{ underlayEcho: undefined }, "unreachable"],
    [{ full: "unsendable", small: "unsendable", sendError: "EPERM", underlayEcho: true }, "unroutable"],
  ];
  for (const [given, expected] of rows) {
    const verdict = judge(evidence(given));
    t.equal(verdict.kind === "failed" ? verdict.fault : verdict.kind, expected, JSON.stringify(given));
  }
});

t.test("every fault has a sentence that says what to do", async (t) => {
  const context = {
    mtu: 1464,
    underlayDevice: "eth0",
    ours: "192.0.2.1",
    theirs: "192.0.2.2",
    wanted: "UDP port 4790",
  };
  for (const fault of ["mtu-black-hole", "checksum", "blocked", "unreachable", "unroutable"] as const) {
    t.match(describeFault(fault, context), /lower|try|let|is that node down|see/);
  }
  t.match(describeFault("mtu-black-hole", { ...context, largest: 1364 }), /over 1364 bytes .* up to 1464.* by 100/);
});

const CIDRS = ["10.244.0.0/16", "fd00:244::/48"];

function programmed(count: number) {
  const underlay = parseUnderlay("eth0", 1500, ["192.0.2.250/24"]);
  const networks = parseNetworks([
    { name: "pods", cidrs: CIDRS, backend: { type: "vxlan", mode: "flow" }, masquerade: true },
  ]).accepted;
  const own = [{ network: "pods", subnets: ["10.244.255.0/24", "fd00:244:0:ffff::/64"] }];
  const leases = parseLeases(own, { networks, underlay }).accepted;
  const context = { nodeId: "self", networks, leases, underlay };
  const told = Array.from({ length: count }, (_, i) => i).flatMap((i) =>
    [`10.244.${i}.0/24`, `fd00:244:0:${i.toString(16)}::/64`].map((subnet) => ({
      network: "pods",
      nodeId: `node-${i}`,
      nodeName: `node-${i}`,
      subnet,
      addresses: [`192.0.2.${i + 1}`],
    })),
  );
  const input = { ...context, peers: parsePeers(told, context).accepted };
  return { input, desired: desiredOverlay(input) };
}

t.test("a round asks the same few peers of each family, however many there are, and each in its turn", async (t) => {
  for (const count of [0, 1, 2, 3, 10, 200]) {
    t.equal(
      choosePeers(programmed(count).input.peers, 3, Math.random).length,
      2 * Math.min(3, count),
      `${count} peers`,
    );
  }
  const { peers } = programmed(20).input;
  const times = new Map<string, number>();
  let seed = 1;
  const random = () => {
    seed = (seed * 48271) % 0x7fffffff;
    return seed / 0x7fffffff;
  };
  for (let round = 0; round < 2000; round++)
    for (const { subnet } of choosePeers(peers, 3, random)) times.set(subnet, (times.get(subnet) ?? 0) + 1);
  t.equal(times.size, 40);
  t.ok(
    [...times.values()].every((count) => count > 200 && count < 400),
    [...times.values()].join(" "),
  );
});

t.test("a peer is asked from this node's end of the same family, with the size of its pods' packets", async (t) => {
  const state = programmed(2);
  const targets = state.input.peers.map((peer) => targetOf(peer, state));
  t.match(targets[1], { local: "10.244.255.0", remote: "10.244.1.0", mtu: 1464, family: 4, nodeName: "node-1" });
  t.match(targets[3], { local: "fd00:244:0:ffff::", remote: "fd00:244:0:1::", mtu: 1464, family: 6 });
  t.strictSame(ownEnds(state.input), ["10.244.255.0", "fd00:244:0:ffff::"]);
  t.ok(peerEnds(state.input).has("10.244.1.0"));
  t.notOk(peerEnds(state.input).has("10.244.1.2"), "a pod is no peer's end");
  const [peer] = state.input.peers;
  t.equal(
    peer && targetOf(peer, { ...state, desired: { ...state.desired, routes: [] } }),
    undefined,
    "no route, no question",
  );
});

/** A way on which packets up to `largest` bytes are answered. */
function way(largest: number, { mtu = 1464 } = {}): { means: Means; target: Target; asked: Question[] } {
  const state = programmed(1);
  const [target] = state.input.peers.flatMap((peer) => targetOf(peer, state) ?? []);
  if (target === undefined) throw new Error("no target");
  const asked: Question[] = [];
  const ask = async (question: Question): Promise<Reply> => {
    asked.push(question);
    return { outcome: question.size <= largest ? "answered" : ("silent" as Outcome) };
  };
  const means = { ask, pathMtu: () => mtu, ping: async () => [true, true] };
  return { means, target, asked };
}

t.test("F7: the largest size that passes is found to the byte, and confirmed with two questions later", async (t) => {
  for (const largest of [smallestPacket(4), 61, 576, 1363, 1364, 1400, 1463]) {
    const { means, target, asked } = way(largest);
    t.equal(await largestPassing(target, means), largest);
    t.ok(asked.length <= 60, `${asked.length} questions`);
    asked.length = 0;
    t.equal(await largestPassing(target, means, largest), largest);
    t.equal(asked.length, 2);
    t.equal(await largestPassing(target, means, largest + 7), largest, "it became smaller");
  }
});

t.test("what this node's kernel knows not to fit is no black hole: it tells pods so", async (t) => {
  const { means, target, asked } = way(1400, { mtu: 1400 });
  t.strictSame(await passes(target, means), { outcome: "answered" });
  t.match(asked, [{ size: 1400 }]);
});

t.test("a peer that passes costs one question; a silent one is asked again before it is examined", async (t) => {
  const good = way(1464);
  await passes(good.target, good.means);
  t.equal(good.asked.length, 1);
  const bad = way(1000);
  t.equal((await passes(bad.target, bad.means)).outcome, "silent");
  t.equal(bad.asked.length, 3);
  const found = await investigate(bad.target, undefined, bad.means);
  t.match(found, { full: "silent", small: "answered", fullWithoutChecksum: "silent", echo: true });
});

t.test("a fault is told when it repeats, keeps its beginning, and goes when the peer passes or leaves", async (t) => {
  const findings = new Findings();
  const { target } = way(0);
  findings.failed(target, "blocked", { message: "a", now: 1 });
  t.strictSame(findings.told(), [], "once may be chance");
  t.ok(findings.hasNews);
  findings.failed(target, "blocked", { message: "b", now: 2 });
  t.match(findings.told(), [{ verdict: "blocked", message: "b", since: 1, nodeId: "node-0" }]);
  findings.failed(target, "mtu-black-hole", { message: "c", largest: 1364, now: 3 });
  t.match(findings.told(), [{ verdict: "mtu-black-hole", since: 3 }]);
  t.equal(findings.largest(target), 1364);
  findings.passed(target);
  t.strictSame(findings.told(), []);
  findings.failed(target, "blocked", { message: "a", now: 4 });
  findings.keep(() => false);
  t.strictSame(findings.keys(), []);
  for (let i = 0; i < 200; i++) findings.failed({ ...target, key: String(i) }, "blocked", { message: "", now: 5 });
  t.equal(findings.keys().length, MOST_FINDINGS, "bounded");
});

t.test("sizes divide what lies between", async (t) => {
  t.strictSame(sizesBetween(0, 4, 3), [1, 2, 3]);
  t.strictSame(sizesBetween(0, 2, 15), [1]);
  t.strictSame(sizesBetween(5, 6, 15), []);
});
