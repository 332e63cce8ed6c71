import t from "tap";
import { formatMark, hostVethName, ROUTE_PROTOCOL } from "../kernel/mark.ts";
import type { Link } from "../kernel/rtnetlink/link.ts";
import type { RouteEvent } from "../kernel/rtnetlink/monitor.ts";
import { parseAddress } from "../net/address.ts";
import { parsePrefix } from "../net/prefix.ts";
import { parseUnderlay } from "../overlay/parse-network.ts";
import { applyLease, applySnapshot, EMPTY_STATE } from "./cluster-state.ts";
import { lease, network, snapshot, subnet } from "./fixture.ts";
import { addressOfEndpoint, leaseRefusal, overlayInput } from "./overlay-input.ts";
import { relevanceOf } from "./relevance.ts";
import { parseStandalone, SINGLE_MACHINE, standaloneState } from "./standalone.ts";
import { nodeStatus, summary } from "./status.ts";

const UNDERLAY = parseUnderlay("eth0", 1500, ["192.0.2.7/24"]);

t.test("relevance: pods' links ask for a status, the overlay's objects for a pass, the rest for nothing", async (t) => {
  const veth = { network: "a", containerId: "c1", ifName: "eth0" };
  const link = (change: Partial<Link>) => ({ type: "link", link: { name: "x", ...change } }) as RouteEvent;
  const route = (dst: string, protocol: number) =>
    ({ type: "route-deleted", route: { dst: parsePrefix(dst), protocol } }) as RouteEvent;
  const address = (text: string) => ({ type: "address", address: { address: parsePrefix(text) } }) as RouteEvent;
  const neighbour = (change: object) =>
    ({ type: "neighbour", neighbour: { index: 2, address: parseAddress("10.0.0.1"), ...change } }) as RouteEvent;
  const rows: readonly (readonly [RouteEvent, "overlay" | "pods" | undefined, string])[] = [
    [link({ name: hostVethName(veth) }), "pods", "a new pod's veth, not marked yet"],
    [link({ name: "veth0", alias: formatMark({ role: "veth", ...veth }) }), "pods", "a marked veth"],
    [link({ name: "eth0" }), "overlay", "the underlay"],
    [link({ name: "pwflow4790" }), "overlay", "a tunnel"],
    [address("192.0.2.9/24"), "overlay", "an address"],
    [address("fe80::1/64"), undefined, "a link-local address"],
    [route("10.244.1.0/24", ROUTE_PROTOCOL), "overlay", "a route of ours"],
    [route("10.244.1.0/24", 4), undefined, "somebody's route"],
    [route("0.0.0.0/0", 4), "overlay", "the default route"],
    [neighbour({ state: "reachable" }), undefined, "ARP chatter"],
    [neighbour({ state: "permanent" }), "overlay", "a permanent neighbour"],
    [{ type: "other", messageType: 99 }, undefined, "anything else"],
  ];
  for (const [event, expected, what] of rows) t.equal(relevanceOf(event), expected, what);
});

t.test("endpoints: only addresses are taken for addresses", async (t) => {
  t.equal(addressOfEndpoint("192.0.2.1:7444"), "192.0.2.1");
  t.equal(addressOfEndpoint("[2001:db8::1]:7444"), "2001:db8::1");
  t.equal(addressOfEndpoint("controller.example:7444"), undefined);
});

t.test("S11: a lease that a sane controller would refuse in the next hello is not kept", async (t) => {
  t.equal(leaseRefusal(lease("a")), undefined);
  const bad = [
    lease("../../etc/cron.d/x"),
    lease("a\nb"),
    lease(""),
    lease("a", { subnets: [{ subnet: "not a subnet", epoch: 1 }] }),
    lease("a", { subnets: [{ subnet: "10.0.0.0/24", epoch: 2 ** 60 }] }),
    lease("a", { subnets: Array.from({ length: 17 }, (_, i) => ({ subnet: `10.0.${i}.0/24`, epoch: 1 })) }),
  ];
  for (const each of bad) t.match(leaseRefusal(each), /^[^\n]+refused: [^\n]+$/);
});

t.test("S11: of networks without number only so many are looked at, and it is said", async (t) => {
  const many = Array.from({ length: 10_000 }, (_, i) => network(`n${i}`, { createdAt: i }));
  const { refusals } = overlayInput(applySnapshot(EMPTY_STATE, snapshot(1, many, []), 0), "me", UNDERLAY, []);
  t.match(refusals[0], /9744 networks beyond 256 are refused/);
});

t.test("fenced leases give the node nothing; networks not joined are left out", async (t) => {
  const told = applySnapshot(EMPTY_STATE, snapshot(1, [network("a"), network("b", { cidrs: ["10.9.0.0/16"] })], []), 0);
  const state = applyLease(told, lease("a", { state: "LEASE_STATE_FENCED" }));
  const input = overlayInput(state, "me", UNDERLAY, ["a"]);
  t.strictSame(input.leases, []);
  t.strictSame(
    input.networks.map(({ name }) => name),
    ["a"],
  );
});

t.test("an epoch beyond what a number says exactly is still a number", async (t) => {
  const state = applySnapshot(
    EMPTY_STATE,
    snapshot(1, [network("a")], [subnet("10.244.1.0/24", "n1", { epoch: 2 ** 64, addresses: ["192.0.2.9"] })]),
    0,
  );
  t.equal(overlayInput(state, "me", UNDERLAY, []).peers.length, 1);
});

t.test("standalone: the node finds its own subnet by its address, and says when there is none", async (t) => {
  const text = JSON.stringify({
    networks: [
      {
        name: "mesh",
        cidrs: ["10.244.0.0/16"],
        subnets: [
          { subnet: "10.244.1.0/24", publicIP: "192.0.2.7" },
          { subnet: "10.244.2.0/24", publicIP: "192.0.2.8" },
        ],
      },
    ],
  });
  const state = standaloneState(parseStandalone(text, "mesh.json"), "me", UNDERLAY);
  t.match(state.leases.get("mesh"), { state: "LEASE_STATE_HELD", subnets: [{ subnet: "10.244.1.0/24" }] });
  t.strictSame(
    overlayInput(state, "me", UNDERLAY, []).peers.map(({ subnet }) => subnet),
    ["10.244.2.0/24"],
  );
  const stranger = standaloneState(parseStandalone(text, "x"), "me", parseUnderlay("eth0", 1500, ["192.0.2.77/24"]));
  t.match(stranger.leases.get("mesh"), { state: "LEASE_STATE_NONE", reason: /192\.0\.2\.77/ });
  t.match(standaloneState(SINGLE_MACHINE, "me", undefined).leases.get("default"), { state: "LEASE_STATE_HELD" });
});

t.test("standalone: a wrong file is refused with its path and key", async (t) => {
  for (const [text, key] of [
    ["{}", "networks"],
    ["null", "f.json"],
    ['{"networks":[7]}', "networks[0]"],
    ['{"networks":[{"name":"a","subnets":[]}]}', "networks[0].cidrs"],
    ['{"networks":[{"name":"a","cidrs":[]}]}', "networks[0].subnets"],
  ] as const)
    t.ok(problemOf(text).includes(key), `${text}: ${problemOf(text)}`);
});

function problemOf(text: string): string {
  try {
    parseStandalone(text, "f.json");
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

t.test("a node with 5,000 failures tells the first few, within what the controller accepts", async (t) => {
  const failures = Array.from({ length: 5_000 }, (_, i) => `route ${i}: ${"x".repeat(2_000)}`);
  t.equal(summary(failures).length, 9);
  t.equal(summary(failures).at(-1), "and 4992 more");
  t.strictSame(summary(["one"]), ["one"]);
  const { conditions } = nodeStatus([], [], failures);
  t.match(conditions, [
    { type: "Ready", status: true, message: "" },
    { type: "Converged", status: false, reason: "Failing" },
  ]);
  t.ok((conditions?.[1]?.message?.length ?? 0) <= 4096);
});
