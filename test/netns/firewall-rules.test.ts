import t from "tap";
import { EMPTY_LISTING, type Listing, parseListing } from "../../firewall/listing.ts";
import {
  addMacCheck,
  checkedPortElements,
  MAC_CHECK_SETS,
  type MacCheck,
  macCheckProblems,
} from "../../firewall/mac-check.ts";
import {
  addMasqueradedPod,
  ensureMasqueradeNetwork,
  MASQUERADE_SETS,
  masqueradedPodElements,
  masqueradeProblems,
  removeMasqueradeNetwork,
  staleElements,
} from "../../firewall/masquerade.ts";
import { overlayMasquerade, tunnelGuard } from "../../firewall/node-rules.ts";
import { difference, type Ruleset } from "../../firewall/ruleset.ts";
import { type NftElements, openNftElements } from "../../kernel/nftables/elements.ts";
import { openNft } from "../../kernel/nftables/nft.ts";
import { openNftProbe } from "../../kernel/nftables/probe.ts";
import { addressFromBytes, parseAddress } from "../../net/address.ts";
import { parseMac } from "../../net/mac.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { type KernelNode, makeNode } from "./kernel-node.ts";

const network = "blue.net";
const net = { network, localSubnets: ["10.22.0.0/16", "fd00:22::/64"].map(parsePrefix) };
const red = { network, owner: "aaaaaaaaaaaaaaaa", addresses: ["10.22.0.2", "fd00:22::2"].map(parseAddress) };
const blue = { ...red, owner: "bbbbbbbbbbbbbbbb", addresses: ["10.22.0.3"].map(parseAddress) };

function apply(node: KernelNode, text: string): void {
  using nft = openNft(node.netns);
  nft.run(text);
}
const ruleset = (node: KernelNode) => node.text("nft list ruleset");
function list(node: KernelNode, ...commands: readonly string[]): Listing {
  return parseListing(
    commands.flatMap((command) => (node.json(`nft -j '${command}'`) as { nftables: object[] }).nftables),
  );
}
function withElements<T>(node: KernelNode, work: (elements: NftElements) => T): T {
  using elements = openNftElements(node.netns);
  return work(elements);
}
const masqueraded = (node: KernelNode) => withElements(node, (elements) => elements.list(MASQUERADE_SETS));
const owners = (node: KernelNode) => masqueraded(node).map(({ comment }) => comment);
function problemsOf(node: KernelNode, network: typeof net, pod: typeof red): string[] {
  using probe = openNftProbe(node.netns);
  using elements = openNftElements(node.netns);
  return masqueradeProblems({ countRules: probe.countRules, get: elements.get }, network, pod);
}
function checkProblems(node: KernelNode, check: MacCheck): string[] {
  using probe = openNftProbe(node.netns);
  using elements = openNftElements(node.netns);
  return macCheckProblems({ countRules: probe.countRules, get: elements.get }, check);
}

t.test("masquerading set up again is the same ruleset: no rule doubles", async (t) => {
  const node = makeNode(t);
  apply(node, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
  const once = ruleset(node);
  apply(node, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
  t.equal(ruleset(node), once);
  apply(node, ensureMasqueradeNetwork({ ...net, network: "other" }));
  t.equal(ruleset(node).match(/vmap @egress4/g)?.length, 1, "one rule for all networks");
});

t.test("P3: a pod's elements are found by its attachment alone and removed, twice", async (t) => {
  const node = makeNode(t);
  apply(node, ensureMasqueradeNetwork(net) + addMasqueradedPod(blue));
  const before = ruleset(node);
  apply(node, addMasqueradedPod(red));
  t.not(ruleset(node), before);
  withElements(node, (elements) => {
    const mine = elements.commented(MASQUERADE_SETS, red.owner);
    t.strictSame(
      mine.map(({ key }) => addressFromBytes(key)),
      red.addresses,
    );
    const got = masqueradedPodElements(red).map(({ of, key }) => elements.get(of, key));
    t.strictSame(got, mine, "asked for by address, the answer is the same");
    elements.change({ remove: mine });
    t.equal(ruleset(node), before);
    t.throws(() => elements.change({ remove: mine }), { code: "ENOENT" });
    t.equal(ruleset(node), before, "what is gone is refused, and nothing else happens");
    elements.change({ create: masqueradedPodElements(red) });
    t.strictSame(problemsOf(node, net, red), [], "made without nft's help it is the same");
    t.throws(() => elements.change({ create: masqueradedPodElements(red) }), { code: "EEXIST" });
  });
});

t.test("an address taken over by another attachment is not removed by the first one's late DEL", async (t) => {
  const node = makeNode(t);
  apply(node, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
  apply(node, addMasqueradedPod({ ...blue, addresses: red.addresses }));
  t.strictSame(owners(node), [blue.owner, blue.owner]);
});

t.test("an address that a pod of another network left behind is taken over after a look at the table", async (t) => {
  const node = makeNode(t);
  const late = { ...red, network: "other", owner: "cccccccccccccccc" };
  apply(node, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
  apply(node, ensureMasqueradeNetwork({ ...net, network: "other" }));
  t.throws(() => apply(node, addMasqueradedPod(late)), /exists/);
  apply(node, addMasqueradedPod(late, masqueraded(node)));
  t.strictSame(owners(node), [late.owner, late.owner]);
  t.strictSame(problemsOf(node, { ...net, network: "other" }, late), []);
});

t.test("P1: GC removes what is not valid, in its network only", async (t) => {
  const node = makeNode(t);
  const other = { network: "other", owner: "cccccccccccccccc", addresses: ["10.99.0.2"].map(parseAddress) };
  apply(node, ensureMasqueradeNetwork(net) + addMasqueradedPod(red) + addMasqueradedPod(blue));
  apply(node, ensureMasqueradeNetwork({ ...net, network: "other" }) + addMasqueradedPod(other));
  withElements(node, (elements) => {
    elements.change({ remove: staleElements(elements.list(MASQUERADE_SETS), network, new Set([blue.owner])) });
  });
  t.strictSame(owners(node).sort(), [blue.owner, other.owner]);
});

t.test("a network with pods is not removed, one without is", async (t) => {
  const node = makeNode(t);
  apply(node, ensureMasqueradeNetwork({ ...net, network: "other" }));
  const before = ruleset(node);
  apply(node, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
  const inUse = ruleset(node);
  t.throws(() => apply(node, removeMasqueradeNetwork(network)), /busy/);
  t.equal(ruleset(node), inUse);
  withElements(node, (elements) => elements.change({ remove: elements.commented(MASQUERADE_SETS, red.owner) }));
  apply(node, removeMasqueradeNetwork(network));
  t.equal(ruleset(node), before);
  apply(node, removeMasqueradeNetwork(network));
  t.equal(ruleset(node), before);
});

t.test("subnets are added to a network as pods bring them", async (t) => {
  const node = makeNode(t);
  apply(node, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
  for (const subnet of ["10.22.7.0/24", "10.23.0.0/16", "10.24.0.0/16", "10.22.0.0/16"].map(parsePrefix)) {
    apply(node, ensureMasqueradeNetwork({ ...net, localSubnets: [subnet] }));
    t.strictSame(problemsOf(node, { ...net, localSubnets: [...net.localSubnets, subnet] }, red), []);
  }
  for (const wider of ["10.0.0.0/8", "10.20.0.0/14", "10.25.0.0/16"].map(parsePrefix)) {
    t.match(problemsOf(node, { ...net, localSubnets: [wider] }, red).join(), /is not exempt/);
  }
});

t.test("P14: CHECK names each thing that is missing", async (t) => {
  const node = makeNode(t);
  const all = ensureMasqueradeNetwork(net) + addMasqueradedPod(red);
  const problems = () => problemsOf(node, net, red);
  t.match(problems().join("; "), /chain egress.*chain network_.*10.22.0.0\/16.*10.22.0.2/);
  for (const [damage, said] of [
    ["flush chain inet podwire egress", /chain egress .* changed/],
    ["flush map inet podwire egress6", /fd00:22::2 is not masqueraded/],
    ["flush set inet podwire $(nft list table inet podwire | grep -o 'near4_[0-9a-f]*' | head -1)", /10.22.0.0\/16/],
  ] as const) {
    apply(node, all);
    t.strictSame(problems(), []);
    node.text(`nft ${damage}`);
    t.match(problems().join("; "), said);
  }
});

t.test("the MAC check is idempotent, found by its attachment, removed, and CHECK sees it", async (t) => {
  const node = makeNode(t);
  const check = { owner: red.owner, port: "pw0123456789ab", mac: parseMac("0a:58:0a:16:00:02") };
  const other = { owner: blue.owner, port: "pwba9876543210", mac: parseMac("0a:58:0a:16:00:03") };
  apply(node, addMacCheck(other));
  const before = ruleset(node);
  apply(node, addMacCheck(check));
  const once = ruleset(node);
  apply(node, addMacCheck(check));
  t.equal(ruleset(node), once);
  t.strictSame(checkProblems(node, check), []);
  withElements(node, (elements) => {
    elements.change({ remove: elements.commented(MAC_CHECK_SETS, check.owner) });
    t.equal(ruleset(node), before);
    t.equal(checkProblems(node, check).length, 2);
    elements.change({ create: checkedPortElements(check) });
    t.equal(ruleset(node), once, "made without nft's help it is the same");
  });
});

const overlay = {
  ownSubnets: ["10.244.1.0/24", "fd00:244:0:1::/64"].map(parsePrefix),
  clusterCidrs: ["10.244.0.0/16", "fd00:244::/48"].map(parsePrefix),
};
const guard = { device: "eth0", tunnels: [{ port: 4790, peers: ["192.0.2.2", "2001:db8::2"].map(parseAddress) }] };

const from = (sources: Record<string, string>) =>
  Object.entries(sources).map(([subnet, node]) => [parseAddress(node), parsePrefix(subnet)] as const);
/** Lengths that are whole bytes, and others; both families over both. */
const SOURCES = {
  "10.244.2.0/24": "192.0.2.2",
  "10.244.3.0/24": "2001:db8::3",
  "10.244.4.64/26": "192.0.2.4",
  "10.245.0.0/16": "192.0.2.5",
  "10.244.9.9/32": "192.0.2.6",
  "fd00:244:0:2::/64": "192.0.2.2",
  "fd00:244:0:300::/56": "2001:db8::3",
  "fd00:244:0:400::/58": "192.0.2.4",
  "fd00:244::5:0/112": "192.0.2.5",
  "fd00:244::6:40/122": "192.0.2.6",
};
const MOVED = { ...SOURCES, "10.244.4.64/26": "192.0.2.7", "10.244.8.0/24": "192.0.2.8" };
const innerGuard = (sources: Record<string, string>) => {
  const tunnel = { peers: Object.values(sources).map(parseAddress) };
  return tunnelGuard({
    device: "eth0",
    own: ["192.0.2.1", "2001:db8::1"].map(parseAddress),
    tunnels: [
      { port: 4790, ...tunnel, inner: { formats: ["gpe"], sources: from(sources) } },
      { port: 8472, ...tunnel, inner: { formats: ["ethernet"], sources: from(sources) } },
      { port: 51820, ...tunnel },
    ],
    protocols: [
      { name: "gre", ...tunnel, inner: { formats: ["gre", "gre-keyed"], sources: from(sources) } },
      { name: "ipip", ...tunnel, inner: { formats: ["ip"], sources: from(sources) } },
    ],
  });
};

for (const [name, rules, changed] of [
  ["the tunnel guard that looks inside", innerGuard(SOURCES), innerGuard(MOVED)],
  [
    "the node's masquerade",
    overlayMasquerade(overlay),
    overlayMasquerade({ ...overlay, ownSubnets: ["10.244.0.0/23", "10.244.9.9/32"].map(parsePrefix) }),
  ],
  [
    "the tunnel guard",
    tunnelGuard(guard),
    tunnelGuard({ ...guard, tunnels: [{ port: 4790, peers: ["192.0.2.2", "192.0.2.3"].map(parseAddress) }] }),
  ],
] as const) {
  t.test(`F8: ${name}: no change is no write, and damage or a new intent is one transaction`, async (t) => {
    const node = makeNode(t);
    const listing = () => list(node, "list table inet podwire");
    apply(node, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
    const pods = ruleset(node);
    const make = (wanted: Ruleset) => {
      apply(node, difference(wanted, listing()));
      t.equal(difference(wanted, listing()), "", "and then nothing is left to do");
      return ruleset(node);
    };
    const whole = make(rules);
    const set = rules.sets[0]?.name ?? "";
    const chain = rules.chains[0]?.name ?? "";
    for (const damage of [
      `flush chain inet podwire ${chain}`,
      `add rule inet podwire ${chain} counter`,
      `'flush chain inet podwire ${chain}; ${`add rule inet podwire ${chain} counter;`.repeat(rules.chains[0]?.rules.length ?? 0)}'`,
      `flush set inet podwire ${set}`,
      `add chain inet podwire ${rules.prefix}stray`,
      `flush chain inet podwire ${chain}; nft delete chain inet podwire ${chain}`,
    ]) {
      node.text(`nft ${damage}`);
      t.not(difference(rules, listing()), "", damage);
      make(rules);
      t.strictSame(sortBlocks(ruleset(node)), sortBlocks(whole), damage);
    }
    make(changed);
    t.notMatch(difference(rules, listing()), /flush/, "elements change one by one");
    make(rules);
    make({ ...rules, sets: [], chains: [] });
    t.equal(ruleset(node), pods, "the pods' part of the table was never touched");
  });
}

t.test(
  "S8: one peer more or less is its elements alone, whatever there are; a tunnel more or less is one transaction",
  async (t) => {
    const node = makeNode(t);
    const listing = () => list(node, "list table inet podwire");
    const many = Object.fromEntries(
      Array.from({ length: 500 }, (_, i) => [`10.${i >> 8}.${i & 255}.0/24`, `192.0.${i >> 8}.${i & 255}`]),
    );
    apply(node, difference(innerGuard(many), EMPTY_LISTING));
    for (const [said, verb] of [
      [difference(innerGuard({ ...many, "10.9.9.0/24": "192.0.9.9" }), listing()), "add"],
      [difference(innerGuard(Object.fromEntries(Object.entries(many).slice(1))), listing()), "delete"],
    ] as const) {
      const elements = said.split("\n").filter((line) => line !== "" && !line.startsWith("add table"));
      t.ok(elements.every((line) => line.startsWith(`${verb} element`)));
      t.equal(elements.join().split(",").length, 9, "as sender and as receiver of three ports and two protocols");
      apply(node, said);
    }
    const none = tunnelGuard({ device: "eth0", tunnels: [] });
    for (const wanted of [none, innerGuard(SOURCES), none, innerGuard(MOVED)]) {
      apply(node, difference(wanted, listing()));
      t.equal(difference(wanted, listing()), "");
    }
  },
);

t.test("S15: a set of ours that somebody made with another type is made anew", async (t) => {
  const node = makeNode(t);
  const rules = overlayMasquerade(overlay);
  apply(node, difference(rules, EMPTY_LISTING));
  const whole = ruleset(node);
  node.text(`nft 'flush chain inet podwire overlay_egress; delete set inet podwire overlay_own4;
    add set inet podwire overlay_own4 { type inet_service; }'`);
  apply(node, difference(rules, list(node, "list table inet podwire")));
  t.strictSame(sortBlocks(ruleset(node)), sortBlocks(whole));
});

/** Chains and sets in any order, for a new one comes last. */
function sortBlocks(text: string): string[] {
  return text.split(/\n\n|\{\n(?=\t\w)|\n\}\n/).sort();
}
