import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { describe } from "./describe.ts";
import { get } from "./get.ts";
import { status } from "./status.ts";
import { inspectAddress } from "./subnet-inspect.ts";
import { fakeAdmin, fakeContext, networks, nodes, pods, subnets } from "./testdata/cluster.ts";

const GET = { output: "table", headers: true };

const inspections = {
  "10.244.9.2": {
    network: networks[0] ?? null,
    subnet: subnets[1] ?? null,
    node: nodes[2] ?? null,
    pod: pods[1] ?? null,
  },
  "10.244.200.9": { network: networks[0] ?? null, subnet: subnets[3] ?? null, node: null, pod: null },
  "10.244.77.1": { network: networks[0] ?? null, subnet: null, node: null, pod: null },
};
const admin = fakeAdmin({ inspectAddress: async (address) => inspections[address as keyof typeof inspections] });

/** What is printed by each file's commands, one after the other. */
const goldens = {
  "get-nodes.txt": (context) => get(context, "no", [], GET),
  "get-nodes-wide.txt": (context) => get(context, "nodes", [], { ...GET, output: "wide" }),
  "get-node-json.txt": (context) => get(context, "node", ["node-2"], { ...GET, output: "json" }),
  "get-subnets.txt": (context) => get(context, "sn", [], GET),
  "get-subnets-wide.txt": (context) => get(context, "subnets", [], { ...GET, output: "wide", network: "default" }),
  "get-subnets.yaml": (context) => get(context, "subnets", [], { ...GET, output: "yaml", node: "node-1" }),
  "get-networks.txt": (context) => get(context, "net", [], GET),
  "get-networks-wide.txt": (context) => get(context, "networks", [], { ...GET, output: "wide" }),
  "get-pods.txt": (context) => get(context, "po", [], GET),
  "get-pods-wide.txt": (context) => get(context, "pods", ["web-0", "bbbbbbbbbbbb"], { ...GET, output: "wide" }),
  "get-pods-names.txt": (context) => get(context, "pods", [], { ...GET, output: "name" }),
  "get-routes.txt": (context) => get(context, "routes", [], GET),
  "get-routes-from-node-1.txt": (context) => get(context, "rt", [], { ...GET, output: "wide", node: "node-1" }),
  "get-routes-from-node-10.txt": (context) => get(context, "rt", [], { ...GET, node: "node-10" }),
  "describe-node.txt": (context) => describe(context, "node", ["node-1", "node-2"], {}),
  "describe-subnet.txt": (context) => describe(context, "subnet", ["10.244.9.0/24", "10.244.200.0/24"], {}),
  "describe-network.txt": (context) => describe(context, "network", ["default", "storage"], {}),
  "status.txt": (context) => status(context, [], { output: "table", headers: true, nodes: 0 }),
  "inspect.txt": (context) => inspectAddress(context, "10.244.9.2", { output: "table" }),
  "inspect-reserved.txt": (context) => inspectAddress(context, "10.244.200.9", { output: "table" }),
  "inspect-free.txt": (context) => inspectAddress(context, "10.244.77.1", { output: "table" }),
} satisfies Record<string, (context: ReturnType<typeof fakeContext>) => Promise<unknown>>;

for (const [file, print] of Object.entries(goldens)) {
  t.test(`${file} is what is printed`, async (t) => {
    const context = fakeContext(admin);
    await print(context);
    const path = join(import.meta.dirname, "testdata", file);
    const expected = readFileSync(path, "utf8");
    t.equal(context.printed + context.noted, expected);
  });
}
