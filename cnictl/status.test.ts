import t from "tap";
import { CommandError, ExitCode } from "./exit.ts";
import { status } from "./status.ts";
import { fakeAdmin, fakeContext, nodes } from "./testdata/cluster.ts";

const OPTIONS = { output: "table", headers: true, nodes: 0 };
const good = nodes.filter(({ name }) => name === "node-1");
const PROBE = { network: "default", nodeName: "x", family: 4, message: "lost", since: 0 };
const converged = fakeAdmin({ listNodes: async () => ({ nodes: [...good], revision: 42 }) });

t.test("exit 0 when every node has applied the newest revision without failures, 2 when one has not", async (t) => {
  const failing = { ...PROBE, nodeId: "id-1", verdict: "blocked" };
  t.equal(await status(fakeContext(converged), [], OPTIONS), ExitCode.ok);
  t.equal(await status(fakeContext(), [], OPTIONS), ExitCode.notConverged);
  const ways = [
    { appliedRevision: 41 },
    { connected: false },
    { failures: ["RTM_NEWROUTE: EINVAL"] },
    { probes: [failing] },
    { conditions: [{ type: "Ready", status: false, reason: "", message: "" }] },
  ];
  for (const way of ways) {
    const one = fakeAdmin({
      listNodes: async () => ({ nodes: good.map((node) => ({ ...node, ...way })), revision: 42 }),
    });
    const context = fakeContext(one);
    t.equal(await status(context, [], OPTIONS), ExitCode.notConverged, JSON.stringify(way));
    t.match(context.noted, /^node-1 /);
  }
});

t.test("a way to a node that is not connected, or that passes again, is no trouble of this node's", async (t) => {
  for (const probe of [
    { ...PROBE, nodeId: "id-10", verdict: "unreachable" },
    { ...PROBE, nodeId: "gone", verdict: "unreachable" },
    { ...PROBE, nodeId: "id-2", verdict: "remedied" },
  ]) {
    const listed = nodes.map((node) => (node.name === "node-1" ? { ...node, probes: [probe] } : node));
    const admin = fakeAdmin({ listNodes: async () => ({ nodes: listed, revision: 42 }) });
    t.equal(await status(fakeContext(admin), ["node-1"], OPTIONS), ExitCode.ok, JSON.stringify(probe));
  }
});

t.test("only the nodes that are named count; a name that none has is NotFound", async (t) => {
  t.equal(await status(fakeContext(), ["node-1"], OPTIONS), ExitCode.ok);
  t.equal(await status(fakeContext(), ["node-1", "id-2"], OPTIONS), ExitCode.notConverged);
  await t.rejects(status(fakeContext(), ["nope"], OPTIONS), /NotFound.*"nope"/);
});

t.test("--nodes asks for a number of nodes", async (t) => {
  t.equal(await status(fakeContext(converged), [], { ...OPTIONS, nodes: 1 }), ExitCode.ok);
  const context = fakeContext(converged);
  t.equal(await status(context, [], { ...OPTIONS, nodes: 3 }), ExitCode.notConverged);
  t.match(context.noted, /2 more nodes are expected: 1 of 3 have joined/);
});

t.test("as JSON it is the List of nodes and whether all have converged", async (t) => {
  const context = fakeContext();
  t.equal(await status(context, [], { ...OPTIONS, output: "json" }), ExitCode.notConverged);
  t.match(JSON.parse(context.printed), { kind: "List", converged: false, items: [{}, { status: { behind: 3 } }, {}] });
});

t.test("--wait ends with the change that makes all converge, also over a controller that goes away", async (t) => {
  let lists = 0;
  let streams = 0;
  const admin = fakeAdmin({
    listNodes: async () => ({ nodes: good.map((node) => ({ ...node, appliedRevision: 40 + lists++ })), revision: 42 }),
    async *watch() {
      streams++;
      yield;
      if (streams === 1) throw new CommandError("gone", ExitCode.unreachable);
      yield;
    },
  });
  const context = { ...fakeContext(admin), now: Date.now };
  t.equal(await status(context, [], { ...OPTIONS, wait: 300_000 }), ExitCode.ok);
  t.equal(streams, 2);
  t.equal(lists, 3);
});

t.test("--wait gives up in time, with the exit code for why", async (t) => {
  const refused = new CommandError("cannot reach", ExitCode.unreachable);
  const away = fakeAdmin({
    // biome-ignore lint/correctness/useYield: nothing ever comes
    async *watch() {
      throw refused;
    },
  });
  await t.rejects(status({ ...fakeContext(away), now: Date.now }, [], { ...OPTIONS, wait: 300 }), refused);
  const behind = fakeAdmin({
    async *watch() {
      yield;
      throw refused;
    },
  });
  t.equal(
    await status({ ...fakeContext(behind), now: Date.now }, [], { ...OPTIONS, wait: 1000 }),
    ExitCode.notConverged,
  );
});
