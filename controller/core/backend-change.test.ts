import t from "tap";
import type { Backend__Output } from "../../proto/gen/podwire/v1/Backend.ts";
import { type FakeNode, Testbed } from "./testbed.ts";

const BACKENDS = ["vxlan/flow", "vxlan/static", "gre/flow", "ipip/flow", "host-gw"];

function backend(type: string, change: Partial<Backend__Output> = {}): Backend__Output {
  return { type, mode: "", vni: 0, port: 0, directRouting: false, mtu: 0, tunnel: "", ...change };
}

async function start(names: readonly string[], options: { controllers?: number } = {}) {
  const bed = await Testbed.start({ default: { cidrs: ["10.0.0.0/16"] } }, options);
  const nodes = names.map((name, i) =>
    bed.join(
      name,
      { addresses: [`198.51.100.${i + 1}`], backends: BACKENDS },
      bed.controllers[i % bed.controllers.length],
    ),
  );
  await bed.clock.advance(100);
  const [controller] = bed.controllers;
  if (controller === undefined) throw new Error("no controller");
  return { bed, nodes, admin: controller.admin };
}

function say(node: FakeNode | undefined, receives: number, sends: number): void {
  node?.say({ status: { pods: [], conditions: [], probes: [], backends: [{ network: "default", receives, sends }] } });
}

function told(node: FakeNode | undefined) {
  return node?.deltas().findLast(({ networks }) => networks.length > 0)?.networks[0];
}

t.test(
  "a backend is changed in steps: all receive both, switch one by one, and the old one goes when nobody sends",
  async (t) => {
    const { bed, nodes, admin } = await start(["a", "b", "c"], { controllers: 2 });
    await admin.setNetwork({ name: "default", backend: backend("gre") });
    await bed.clock.advance(100);
    t.match(told(nodes[0]), {
      generation: 1,
      required: 1,
      backend: { type: "gre" },
      previous: { type: "vxlan", port: 4790 },
    });
    say(nodes[0], 1, 0);
    say(nodes[1], 1, 0);
    await bed.clock.advance(100);
    t.match(
      nodes[2]
        ?.deltas()
        .flatMap(({ subnets }) => subnets.map(({ nodeId, receives }) => `${nodeId} ${receives}`))
        .sort(),
      ["a 1", "b 1"],
      "peers hear who takes the new one",
    );
    for (const node of nodes) say(node, 1, 1);
    await bed.clock.advance(1_000);
    t.ok(told(nodes[1])?.previous, "not at once: what nodes say may be half a second old");
    say(nodes[2], 1, 0);
    await bed.clock.advance(10_000);
    t.ok(told(nodes[1])?.previous, "one of them sends with the old one again, to a node that is new for instance");
    say(nodes[2], 1, 1);
    await bed.clock.advance(10_000);
    t.match(told(nodes[1]), { generation: 1, previous: null, backend: { type: "gre" } });
  },
);

t.test("a node that joins meanwhile is waited for, and one that is gone is not", async (t) => {
  const { bed, nodes, admin } = await start(["a", "b"]);
  await admin.setNetwork({ name: "default", backend: backend("host-gw") });
  for (const node of nodes) say(node, 1, 1);
  const late = bed.join("late", { addresses: ["198.51.100.9"], backends: BACKENDS });
  await bed.clock.advance(10_000);
  t.ok(told(nodes[0])?.previous);
  late.drop();
  await admin.releaseSubnet("default", late.held()[0]?.subnet ?? "", false);
  await bed.clock.advance(10_000);
  t.equal(told(nodes[0])?.previous, null);
});

t.test("a change can be taken back at any moment, and forth again", async (t) => {
  const { bed, nodes, admin } = await start(["a", "b"]);
  await admin.setNetwork({ name: "default", backend: backend("gre") });
  say(nodes[0], 1, 0);
  await bed.clock.advance(10_000);
  const message = /being changed from vxlan\/flow to gre\/flow and waits for node "a", "b"; .* by setting vxlan\/flow/;
  await t.rejects(admin.setNetwork({ name: "default", backend: backend("host-gw") }), {
    status: "FAILED_PRECONDITION",
    message,
  });
  await admin.setNetwork({ name: "default", backend: backend("vxlan") });
  await bed.clock.advance(100);
  t.match(told(nodes[0]), { generation: 2, required: 0, backend: { type: "vxlan" }, previous: { type: "gre" } });
  await admin.setNetwork({ name: "default", backend: backend("gre") });
  await bed.clock.advance(100);
  t.match(told(nodes[0]), { generation: 3, required: 1 }, "who received it then receives it still");
  await admin.setNetwork({ name: "default", backend: backend("vxlan") });
  for (const node of nodes) say(node, 4, 4);
  await bed.clock.advance(10_000);
  t.match(told(nodes[0]), { generation: 4, backend: { type: "vxlan" }, previous: null });
  const unchanged = await admin.setNetwork({ name: "default", backend: backend("vxlan") });
  t.equal(unchanged.generation, 4, "the same again is no change");
});

t.test("what a node cannot do is refused before anything changes, and the node is named", async (t) => {
  const { bed, nodes, admin } = await start(["a", "b"]);
  bed.join("old", { addresses: ["198.51.100.8"], backends: ["vxlan/flow"] });
  bed.join("six", { addresses: ["2001:db8::6"], backends: BACKENDS });
  await bed.clock.advance(100);
  const before = (await bed.store.range("networks/")).entries;
  await t.rejects(admin.setNetwork({ name: "default", backend: backend("ipip") }), {
    status: "FAILED_PRECONDITION",
    message:
      /cannot take ipip|can take ipip\/flow: node "old" can do only vxlan\/flow; .*; node "six" has no IPv4 address/,
  });
  await t.rejects(admin.setNetwork({ name: "default", backend: backend("vxlan", { mode: "static", port: 4790 }) }), {
    message: /node "old"/,
  });
  await t.rejects(admin.setNetwork({ name: "nope", backend: backend("gre") }), {
    message: /network: "nope" does not exist/,
  });
  await t.rejects(admin.setNetwork({ name: "default", backend: backend("token-ring") }), {
    message: /backend\.type: "token-ring" is unknown/,
  });
  t.same((await bed.store.range("networks/")).entries, before);
  t.equal(told(nodes[0]), undefined);
});

t.test(
  "a network keeps its VNI when only its settings change, and shares no port between modes with itself",
  async (t) => {
    const { bed, admin } = await start(["a"]);
    const changed = await admin.setNetwork({ name: "default", backend: backend("vxlan", { mtu: 1400 }) });
    t.match(changed.backend, { vni: 1, port: 4790, mtu: 1400 });
    await bed.clock.advance(100);
    const { admin: second } = await start(["a"]);
    await t.rejects(second.setNetwork({ name: "default", backend: backend("vxlan", { mode: "static", port: 4790 }) }), {
      message: /backend\.port: 4790 serves network "default" in mode flow; choose another port/,
    });
    const still = await second.setNetwork({ name: "default", backend: backend("vxlan", { mode: "static" }) });
    t.match(still.backend, { mode: "static", port: 8472 });
  },
);
