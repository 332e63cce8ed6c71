import t from "tap";
import type { ListNodesResponse__Output as NodeList } from "../proto/gen/podwire/v1/ListNodesResponse.ts";
import { ExitCode } from "./exit.ts";
import { get } from "./get.ts";
import { fakeAdmin, fakeContext, nodes, pods, subnets } from "./testdata/cluster.ts";

const TABLE = { output: "table", headers: true };
const nothing = fakeAdmin({ listNodes: async () => ({ nodes: [], revision: 1 }), listSubnets: async () => [] });

t.test("no resources: said on stderr, exit 0, and an empty List as JSON", async (t) => {
  const context = fakeContext(nothing);
  t.equal(await get(context, "nodes", [], TABLE), ExitCode.ok);
  t.equal(context.noted, "No resources found.\n");
  t.equal(context.printed, "");
  const json = fakeContext(nothing);
  await get(json, "nodes", [], { ...TABLE, output: "json" });
  t.strictSame(JSON.parse(json.printed), { apiVersion: "podwire.io/v1", kind: "List", items: [] });
  t.equal(json.noted, "");
});

t.test("a name that nothing has is kubectl's NotFound", async (t) => {
  await t.rejects(get(fakeContext(), "nodes", ["node-1", "nope"], TABLE), {
    message: 'Error from server (NotFound): node "nope" not found',
    exitCode: ExitCode.failure,
  });
});

t.test("an unknown type lists those that there are", async (t) => {
  await t.rejects(get(fakeContext(), "services", [], TABLE), {
    message:
      'error: there is no resource type "services"; the types are nodes (no), subnets (sn), networks (net), pods (po), routes (rt)',
  });
});

t.test("TYPE/NAME, ids and all aliases name the same object", async (t) => {
  for (const [type, ...names] of [["node/node-1"], ["no", "id-1"], ["Nodes", "node-1"]] as const) {
    const context = fakeContext();
    await get(context, type, names, { ...TABLE, output: "name" });
    t.equal(context.printed, "node/node-1\n", `${type} ${names}`);
  }
  await t.rejects(get(fakeContext(), "node/a", ["b"], TABLE), /either TYPE\/NAME or TYPE NAME/);
});

t.test("a route is found by an address that it leads to", async (t) => {
  const context = fakeContext();
  await get(context, "routes", ["10.244.10.77"], { ...TABLE, headers: false, node: "node-1" });
  t.equal(context.printed, "node-1   10.244.10.0/24   default   node-2   192.168.0.12   vxlan/flow\n");
});

t.test("rows are ordered by a column or by a path", async (t) => {
  const order = async (sortBy: string) => {
    const context = fakeContext();
    await get(context, "nodes", [], { ...TABLE, output: "name", sortBy });
    return context.printed.match(/node-\d+/g);
  };
  t.strictSame(await order("pods"), ["node-10", "node-2", "node-1"]);
  t.strictSame(await order(".status.appliedRevision"), ["node-10", "node-2", "node-1"]);
  t.strictSame(await order("{.metadata.name}"), ["node-1", "node-2", "node-10"]);
  await t.rejects(
    order("AGE"),
    /^error: --sort-by AGE: give a path such as \.metadata\.creationTimestamp, or one of NAME, /,
  );
});

/** A cluster that is one of the states after the other, whenever the watch says so; then the stream breaks. */
function changing(states: readonly NodeList[]) {
  let step = -1;
  return fakeAdmin({
    listNodes: async () => states[step] ?? { nodes: [], revision: 0 },
    async *watch() {
      for (step = 0; step < states.length; step++) yield;
      throw new Error("over");
    },
  });
}
const [gone, late, first] = nodes;
if (gone === undefined || late === undefined || first === undefined) throw new Error("the cluster has three nodes");

t.test("a watch prints the list, then what changed, added or went away, and nothing else", async (t) => {
  const states: NodeList[] = [
    { nodes: [late, first], revision: 42 },
    {
      nodes: [
        { ...late, lastSeen: late.lastSeen + 1 },
        { ...first, connectedSince: 5, createdAt: first.createdAt - 86_400_000 },
      ],
      revision: 42,
    },
    { nodes: [{ ...late, appliedRevision: 42 }, first], revision: 42 },
    { nodes: [first, gone], revision: 42 },
  ];
  const context = fakeContext(changing(states));
  await t.rejects(get(context, "nodes", [], { ...TABLE, watch: true, outputWatchEvents: true }), /over/);
  const rows = context.printed.split("\n").map((line) => line.split(/ +/).slice(0, 3).join(" "));
  t.strictSame(rows, [
    "EVENT NAME STATUS",
    "ADDED node-1 Ready",
    "ADDED node-2 NotReady",
    "MODIFIED node-2 NotReady",
    "ADDED node-10 Disconnected",
    "DELETED node-2 NotReady",
    "",
  ]);
});

t.test("a watch as JSON prints one object a change, also of what no column shows", async (t) => {
  const states: NodeList[] = [
    { nodes: [first], revision: 42 },
    { nodes: [{ ...first, connectedSince: 5000 }], revision: 42 },
  ];
  const context = fakeContext(changing(states));
  await t.rejects(get(context, "nodes", ["node-1"], { ...TABLE, output: "json", watch: true }), /over/);
  const objects = context.printed
    .split(/^(?=\{)/m)
    .map((text) => JSON.parse(text) as { kind: string; status: { connectedSince: string } });
  t.strictSame(
    objects.map(({ kind, status }) => [kind, status.connectedSince]),
    [
      ["Node", "2026-01-02T00:04:05Z"],
      ["Node", "1970-01-01T00:00:05Z"],
    ],
  );
});

t.test("a watch of nothing says that it waits, and prints headers with the first row", async (t) => {
  const context = fakeContext(
    changing([
      { nodes: [], revision: 1 },
      { nodes: [first], revision: 42 },
    ]),
  );
  await t.rejects(get(context, "nodes", [], { ...TABLE, watch: true }), /over/);
  t.equal(context.noted, "No resources found; waiting.\n");
  t.match(context.printed, /^NAME .*\nnode-1 .*\n$/);
});

t.test("hostile names stay on their line and escaped, also as JSON and YAML", async (t) => {
  const hostile = fakeAdmin({
    listSubnets: async () => subnets.slice(0, 1).map((subnet) => ({ ...subnet, nodeName: "a\x1b]0;x\x07\n\x9b2Jb" })),
  });
  for (const output of ["table", "wide", "json", "yaml"]) {
    const context = fakeContext(hostile);
    await get(context, "subnets", [], { ...TABLE, output });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be printed
    t.notMatch(context.printed, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/, output);
  }
  const context = fakeContext(
    fakeAdmin({ listPods: async () => pods.map((pod) => ({ ...pod, name: "a\x1b]0;x\x07\n" })) }),
  );
  await get(context, "pods", [], { ...TABLE, output: "name" });
  t.match(context.printed, /^(pod\/[a-z]*\/a\\x1b\]0;x\\x07\\x0a\n)+$/);
});
