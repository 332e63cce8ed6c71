import t from "tap";
import type { Network__Output } from "../../proto/gen/podwire/v1/Network.ts";
import type { StatusName } from "./error.ts";
import { Testbed } from "./testbed.ts";

const DAY = 24 * 3_600_000;
const V4 = { cidrs: ["10.0.0.0/16"] };

function refusal(status: StatusName) {
  return { status, message: /./ };
}

async function start(networks: Record<string, object> = { default: V4 }) {
  const bed = await Testbed.start(networks);
  const [controller] = bed.controllers;
  if (controller === undefined) throw new Error("no controller");
  return { bed, admin: controller.admin };
}

function network(change: Partial<Network__Output>): { network: Network__Output } {
  const backend = { type: "vxlan", mode: "flow", vni: 0, port: 0, directRouting: false, mtu: 0, tunnel: "" };
  const base = {
    name: "blue",
    cidrs: ["172.16.0.0/16"],
    ipv4SubnetLength: 0,
    ipv6SubnetLength: 0,
    backend,
    masquerade: true,
    createdAt: 0,
    generation: 0,
    previous: null,
    required: 0,
  };
  return { network: { ...base, ...change } };
}

t.test("F3: a reservation never expires, whether its node comes or not", async (t) => {
  const { bed, admin } = await start();
  await admin.reserveSubnet({ network: "default", subnet: "10.0.7.0/24", node: "edge" });
  await admin.reserveSubnet({ network: "default", subnet: "10.0.0.0/24", node: "" });
  await bed.clock.advance(3 * DAY);
  await bed.addController();
  const edge = bed.join("id-of-edge", { nodeName: "edge" });
  const other = bed.join("b", { addresses: ["198.51.100.2"] });
  await bed.clock.advance(100);
  t.equal(edge.held()[0]?.subnet, "10.0.7.0/24", "given to the node of that name");
  t.equal(edge.lease()?.expiresAt, 0);
  t.equal(other.held()[0]?.subnet, "10.0.1.0/24", "what is reserved for nobody is given to nobody");
  edge.drop();
  other.drop();
  await bed.clock.advance(3 * DAY);
  const left = (await bed.store.range("subnets/")).entries.map(({ key }) => key);
  t.same(left, ["subnets/default/10.0.0.0-24", "subnets/default/10.0.7.0-24"]);
  const back = bed.join("id-of-edge", { nodeName: "edge", held: edge.held() });
  await bed.clock.advance(100);
  t.same(back.held(), edge.held(), "the same, epoch and all, long after a lease would have ended");
});

t.test("a lease of a node can be made a reservation; one of another node cannot", async (t) => {
  const { bed, admin } = await start();
  const node = bed.join("a");
  await bed.clock.advance(100);
  const [held] = node.held();
  const subnet = held?.subnet ?? "";
  await t.rejects(admin.reserveSubnet({ network: "default", subnet, node: "b" }), {
    status: "ALREADY_EXISTS",
    message: /subnet: 10\.0\.0\.0\/24 is leased to node "a"; release it first/,
  });
  await t.rejects(admin.reserveSubnet({ network: "default", subnet: "10.0.9.0/24", node: "a" }), {
    status: "FAILED_PRECONDITION",
    message: /holds 10\.0\.0\.0\/24/,
  });
  const reserved = await admin.reserveSubnet({ network: "default", subnet, node: "a" });
  t.match(reserved, { reserved: true, expiresAt: 0, createRevision: held?.epoch });
});

t.test("a released subnet fences its node until it lets go; only then does it get another", async (t) => {
  const { bed, admin } = await start();
  const node = bed.join("a");
  await bed.clock.advance(100);
  const held = node.held();
  const subnet = held[0]?.subnet ?? "";
  await t.rejects(admin.releaseSubnet("default", subnet, false), {
    status: "FAILED_PRECONDITION",
    message: /node "a", which is connected/,
  });
  await admin.releaseSubnet("default", subnet, true);
  await bed.clock.advance(100);
  t.equal(node.lease()?.state, "LEASE_STATE_FENCED", "it is told without asking");
  t.match(node.lease()?.reason, /was released by an administrator at 2026-01-01T/);
  node.drop();
  const again = bed.join("a", { held });
  await bed.clock.advance(100);
  t.equal(again.lease()?.state, "LEASE_STATE_FENCED", "after a restart of its agent, too");
  again.renew([]);
  await bed.clock.advance(100);
  t.equal(again.lease()?.state, "LEASE_STATE_HELD");
  await t.rejects(admin.releaseSubnet("default", "10.0.200.0/24", false), refusal("NOT_FOUND"));
});

t.test("gre networks of static mode have different keys, and ipip networks one mode", async (t) => {
  const { admin } = await start();
  const create = (n: number, type: string, mode: string, vni = 0) =>
    admin.createNetwork(
      network({
        name: `n${n}`,
        cidrs: [`172.${n}.0.0/16`],
        backend: { type, mode, vni, port: 0, directRouting: false, mtu: 0, tunnel: "" },
      }),
    );
  t.match((await create(16, "gre", "static")).backend, { type: "gre", mode: "static", vni: 1, port: 0 });
  t.match((await create(17, "gre", "static")).backend, { vni: 2 }, "a free key is chosen");
  await t.rejects(create(18, "gre", "static", 2), { message: /backend\.vni: 2 is used by network "n17"; choose/ });
  t.match((await create(18, "gre", "")).backend, { type: "gre", mode: "flow", vni: 0 });
  t.match((await create(19, "gre", "flow")).backend, { vni: 0 }, "flow networks share their device");
  t.match((await create(20, "ipip", "flow")).backend, { type: "ipip", mode: "flow", vni: 0 });
  t.match((await create(21, "ipip", "flow")).backend, { vni: 0 });
  const message =
    /backend\.mode: "static" is not that of network "n20"; networks of type ipip share their tunnels, so use flow/;
  await t.rejects(create(22, "ipip", "static"), { message });
});

t.test(
  "ovs networks of one tunnel have different VNIs, and share no UDP port with tunnels of another kind",
  async (t) => {
    const { admin } = await start();
    const create = (
      n: number,
      backend: { type: string; tunnel?: string; mode?: string; vni?: number; port?: number },
    ) => {
      const rest = { mode: "", vni: 0, port: 0, tunnel: "", directRouting: false, mtu: 0 };
      return admin.createNetwork(
        network({ name: `n${n}`, cidrs: [`172.${n}.0.0/16`], backend: { ...rest, ...backend } }),
      );
    };
    const made = { type: "ovs", tunnel: "vxlan", mode: "flow", vni: 1, port: 4789 };
    t.match((await create(16, { type: "ovs" })).backend, made);
    t.match((await create(17, { type: "ovs", mode: "both", port: 4800 })).backend, {
      mode: "both",
      vni: 2,
      port: 4800,
    });
    t.match((await create(18, { type: "ovs", tunnel: "gre" })).backend, { tunnel: "gre", vni: 1, port: 0 });
    t.match((await create(19, { type: "ovs", tunnel: "geneve" })).backend, { tunnel: "geneve", vni: 1, port: 6081 });
    const cases = [
      [{ type: "ovs", vni: 2 }, /backend\.vni: 2 is used by network "n17"; choose another or 0/],
      [{ type: "ovs", tunnel: "stt" }, /backend\.tunnel: "stt" is unknown; use vxlan, gre or geneve/],
      [{ type: "ovs", mode: "x" }, /backend\.mode: "x" is unknown; use flow, static or both/],
      [{ type: "vxlan", mode: "both" }, /backend\.mode: "both" is unknown; use flow or static/],
      [{ type: "vxlan", port: 4789 }, /backend\.port: 4789 serves network "n16", which is of type ovs vxlan/],
      [
        { type: "ovs", tunnel: "geneve", port: 4790 },
        /backend\.port: 4790 serves network "default", which is of type vxlan; choose another port/,
      ],
    ] as const;
    for (const [backend, message] of cases) await t.rejects(create(30, backend), { message }, JSON.stringify(backend));
  },
);

t.test("S11: networks that cannot be are refused with key, value and advice", async (t) => {
  const { bed, admin } = await start();
  bed.join("a", { addresses: ["192.168.7.1"] });
  await bed.clock.advance(100);
  const cases: [Partial<Network__Output>, RegExp][] = [
    [{ cidrs: [] }, /cidrs: "" is empty/],
    [{ cidrs: ["0.0.0.0/0"] }, /cidrs: "0\.0\.0\.0\/0" overlaps/],
    [{ cidrs: ["224.0.0.0/8"] }, /multicast/],
    [{ cidrs: ["127.0.0.0/16"] }, /loopback/],
    [{ cidrs: ["::/0"] }, /overlaps/],
    [{ cidrs: ["ff00::/16"] }, /multicast/],
    [{ cidrs: ["10.0.128.0/17"] }, /overlaps 10\.0\.0\.0\/16 of network "default"/],
    [{ cidrs: ["172.16.1.0/16"] }, /host bits set/],
    [{ cidrs: ["172.16.0.0/16", "172.17.0.0/16"] }, /at most one per family/],
    [{ cidrs: ["192.168.0.0/16"] }, /contains 192\.168\.7\.1, the address of node "a"/],
    [{ ipv4SubnetLength: 12 }, /subnet length of 172\.16\.0\.0\/16: 12 is not/],
    [{ ipv4SubnetLength: 31 }, /16\.\.30/],
    [{ name: "../etc" }, /name: "\.\.\/etc" is not a name/],
    [{ name: "x".repeat(64) }, /is not a name/],
    [
      {
        cidrs: ["fd07::/48"],
        backend: { type: "ipip", mode: "", vni: 0, port: 0, directRouting: false, mtu: 0, tunnel: "" },
      },
      /backend\.type: "ipip" carries IPv4 alone, and CIDR fd07::\/48 is IPv6; use gre/,
    ],
    [
      { backend: { type: "gre", mode: "x", vni: 0, port: 0, directRouting: false, mtu: 0, tunnel: "" } },
      /backend\.mode: "x"/,
    ],
    [
      { backend: { type: "udp", mode: "", vni: 0, port: 0, directRouting: false, mtu: 0, tunnel: "" } },
      /backend\.type: "udp" is unknown; use vxlan, /,
    ],
    [
      { backend: { type: "vxlan", mode: "x", vni: 0, port: 0, directRouting: false, mtu: 0, tunnel: "" } },
      /backend\.mode: "x"/,
    ],
    [
      { backend: { type: "vxlan", mode: "flow", vni: 1 << 24, port: 0, directRouting: false, mtu: 0, tunnel: "" } },
      /backend\.vni/,
    ],
    [
      { backend: { type: "vxlan", mode: "flow", vni: 1, port: 0, directRouting: false, mtu: 0, tunnel: "" } },
      /vni: 1 is used by network "default"/,
    ],
    [
      { backend: { type: "vxlan", mode: "flow", vni: 0, port: 70000, directRouting: false, mtu: 0, tunnel: "" } },
      /backend\.port/,
    ],
    [
      { backend: { type: "vxlan", mode: "flow", vni: 0, port: 0, directRouting: false, mtu: 1, tunnel: "" } },
      /backend\.mtu: 1/,
    ],
    [
      { backend: { type: "vxlan", mode: "static", vni: 0, port: 4790, directRouting: false, mtu: 0, tunnel: "" } },
      /serves network "default" in mode flow/,
    ],
  ];
  for (const [change, message] of cases) {
    await t.rejects(
      admin.createNetwork(network(change)),
      { status: "INVALID_ARGUMENT", message },
      JSON.stringify(change),
    );
  }
  await t.rejects(admin.createNetwork(network({ name: "default" })), refusal("ALREADY_EXISTS"));
  t.equal((await bed.store.range("networks/")).entries.length, 1);
  t.equal((await admin.createNetwork(network({}))).backend.vni, 2, "a free VNI is chosen");
});

t.test("S11: subnets outside, misaligned or of another length are refused", async (t) => {
  const { admin } = await start({ default: { cidrs: ["10.0.0.0/16", "fd00::/48"] } });
  for (const subnet of [
    "10.1.0.0/24",
    "10.0.1.0/25",
    "10.0.1.1/24",
    "10.0.0.0/16",
    "fd01::/64",
    "fd00::/63",
    "",
    "x",
    "10.0.1.0",
    "10.0.1.0/99",
  ]) {
    await t.rejects(admin.reserveSubnet({ network: "default", subnet, node: "" }), refusal("INVALID_ARGUMENT"), subnet);
  }
  await t.rejects(admin.reserveSubnet({ network: "none", subnet: "10.0.1.0/24", node: "" }), refusal("NOT_FOUND"));
  t.equal(
    (await admin.reserveSubnet({ network: "default", subnet: "fd00:0:0:9::/64", node: "" })).subnet,
    "fd00:0:0:9::/64",
  );
});

t.test("S11: hellos that cannot be are refused, and nothing of them is written", async (t) => {
  const { bed } = await start();
  const hostile: [object, RegExp][] = [
    [{ nodeId: "" }, /node_id/],
    [{ nodeId: "a/b" }, /node_id: "a\/b" is not a name/],
    [{ nodeId: "..", nodeName: "a" }, /node_id/],
    [{ nodeId: "a\u0000b" }, /node_id/],
    [{ nodeName: "x y" }, /node_name/],
    [{ addresses: [] }, /addresses/],
    [{ addresses: ["224.0.0.1"] }, /group address/],
    [{ addresses: ["127.0.0.1"] }, /loopback/],
    [{ addresses: ["0.0.0.0"] }, /unspecified/],
    [{ addresses: ["::1"] }, /loopback/],
    [{ addresses: ["fe80::1"] }, /link-local/],
    [{ addresses: ["192.0.2.1", "192.0.2.2"] }, /at most one per family/],
    [{ addresses: ["192.0.2.1", "2001:db8::1", "192.0.2.3"] }, /too many/],
    [{ addresses: ["192.0.2.1; rm -rf /"] }, /addresses\[0\]/],
    [{ addresses: ["10.0.3.4"] }, /lies inside network "default"/],
    [{ bootId: "a\nb" }, /boot_id/],
    [{ backends: ["x".repeat(1000)] }, /backends\[0\]/],
    [{ held: [{ network: "default", subnet: "10.0.0.1/24", epoch: 1 }] }, /held\[0\]\.subnet.*host bits/],
    [
      { held: Array.from({ length: 100 }, () => ({ network: "default", subnet: "10.0.0.0/24", epoch: 1 })) },
      /held.*too many/,
    ],
  ];
  for (const [hello, message] of hostile) {
    const node = bed.join("a", hello);
    await bed.clock.advance(10);
    t.match(node.ended?.error?.message, message);
    t.ok(["INVALID_ARGUMENT", "FAILED_PRECONDITION"].includes(node.ended?.error?.status ?? ""));
  }
  t.equal((await bed.store.range("nodes/")).entries.length, 0);
});

t.test("S11: hostile and broken records in the store are logged and never distributed", async (t) => {
  const { bed } = await start();
  const node = bed.join("a");
  await bed.clock.advance(100);
  const good = { nodeId: "b", nodeName: "b", addresses: ["198.51.100.9"], reserved: true, expiresAt: 0, createdAt: 0 };
  const records: [string, unknown][] = [
    ["subnets/default/10.0.9.0-24", { ...good, addresses: ["224.0.0.1"] }],
    ["subnets/default/10.0.10.0-24", { ...good, addresses: ["0.0.0.0"] }],
    ["subnets/default/10.0.11.0-24", { ...good, vtepMac: "01:00:5e:00:00:01" }],
    ["subnets/default/10.0.12.0-24", { ...good, nodeName: "$(reboot)" }],
    ["subnets/default/0.0.0.0-0", good],
    ["subnets/default/192.168.0.0-24", good],
    ["subnets/default/10.0.13.0-25", good],
    ["subnets/default/10.0.14.1-24", good],
    ["subnets/default/10.0.1.0-24", "not an object"],
    ["networks/evil", { cidrs: ["10.0.0.0/8"], backend: {}, createdAt: 0 }],
    ["networks/evil2", { cidrs: ["0.0.0.0/0"], backend: {}, createdAt: 0 }],
    ["nodes/../x", { name: "x" }],
  ];
  for (const [key, value] of records) await bed.put(key, JSON.stringify(value));
  await bed.put("subnets/default/10.0.15.0-24", "{");
  await bed.clock.advance(100);
  t.same([...node.view().keys()], ["default 10.0.0.0/24"], "only the node's own subnet is known");
  t.equal(node.deltas().length, 0);
  t.equal(bed.log.filter(({ level }) => level === "error").length, records.length + 1);
  t.match(
    bed.log.find(({ level }) => level === "error"),
    { fields: { key: "subnets/default/10.0.9.0-24", reason: /addresses\[0\]: "224\.0\.0\.1"/ } },
  );
  const other = bed.join("c", { addresses: ["198.51.100.3"] });
  await bed.clock.advance(100);
  t.equal(other.held()[0]?.subnet, "10.0.2.0/24", "a key with a broken record is passed over when subnets are given");
  await bed.put("subnets/default/10.0.9.0-24", JSON.stringify(good));
  await bed.clock.advance(100);
  t.ok(node.view().has("default 10.0.9.0/24"), "a corrected record counts");
});

t.test("a deleted network takes its subnets along, and can be made again with the same name", async (t) => {
  const { bed, admin } = await start();
  const node = bed.join("a");
  await bed.clock.advance(100);
  node.say({
    status: {
      pods: [
        {
          network: "default",
          containerId: "c",
          interfaceName: "eth0",
          namespace: "",
          name: "",
          addresses: [],
          createdAt: 0,
          nodeName: "",
        },
      ],
      conditions: [],
      probes: [],
      backends: [],
    },
  });
  await t.rejects(admin.deleteNetwork("default"), { status: "FAILED_PRECONDITION", message: /has pods on node "a"/ });
  node.say({ status: { pods: [], conditions: [], probes: [], backends: [] } });
  await admin.deleteNetwork("default");
  await bed.clock.advance(100);
  t.same((await bed.store.range("subnets/")).entries, []);
  t.same([...node.view().keys()], []);
  t.same(node.deltas().at(-1)?.deletedNetworks, ["default"]);
  await admin.createNetwork(network({ name: "default" }));
  await bed.clock.advance(100);
  t.equal(node.lease()?.state, "LEASE_STATE_HELD");
  t.equal(node.held()[0]?.subnet, "172.16.0.0/24");
});
