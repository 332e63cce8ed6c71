import t from "tap";
import { EMPTY_LISTING, type Listing, parseListing } from "../../firewall/listing.ts";
import {
  addMacCheck,
  LIST_MAC_CHECKS,
  macCheckElements,
  macCheckProblems,
  removeMacChecks,
} from "../../firewall/mac-check.ts";
import {
  addMasqueradedPod,
  elementsOf,
  ensureMasqueradeNetwork,
  getMasqueradedPod,
  LIST_MASQUERADED_PODS,
  masqueradeElements,
  masqueradeProblems,
  parseMasqueradedPod,
  removeMasqueradedPods,
  removeMasqueradeNetwork,
  staleElements,
} from "../../firewall/masquerade.ts";
import { overlayMasquerade, tunnelGuard } from "../../firewall/node-rules.ts";
import { difference, type Ruleset } from "../../firewall/ruleset.ts";
import { parseAddress } from "../../net/address.ts";
import { parseMac } from "../../net/mac.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { openSandbox, type Sandbox } from "./sandbox.ts";

const network = "blue.net";
const net = { network, localSubnets: ["10.22.0.0/16", "fd00:22::/64"].map(parsePrefix) };
const red = { network, owner: "aaaaaaaaaaaaaaaa", addresses: ["10.22.0.2", "fd00:22::2"].map(parseAddress) };
const blue = { ...red, owner: "bbbbbbbbbbbbbbbb", addresses: ["10.22.0.3"].map(parseAddress) };

const apply = (sandbox: Sandbox, text: string) => sandbox.sh("nft -f -", text);
const ruleset = (sandbox: Sandbox) => sandbox.sh("nft list ruleset");
function list(sandbox: Sandbox, ...commands: readonly string[]): Listing {
  return parseListing(commands.flatMap((command) => JSON.parse(sandbox.sh(`nft -j '${command}'`)).nftables));
}

t.test("masquerading set up again is the same ruleset: no rule doubles", async (t) => {
  const sandbox = openSandbox(t);
  apply(sandbox, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
  const once = ruleset(sandbox);
  apply(sandbox, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
  t.equal(ruleset(sandbox), once);
  apply(sandbox, ensureMasqueradeNetwork({ ...net, network: "other" }));
  t.equal(ruleset(sandbox).match(/vmap @egress4/g)?.length, 1, "one rule for all networks");
});

t.test("P3: a pod's elements are found by its attachment alone and removed, twice", async (t) => {
  const sandbox = openSandbox(t);
  apply(sandbox, ensureMasqueradeNetwork(net) + addMasqueradedPod(blue));
  const before = ruleset(sandbox);
  apply(sandbox, addMasqueradedPod(red));
  t.not(ruleset(sandbox), before);
  const mine = elementsOf(masqueradeElements(list(sandbox, ...LIST_MASQUERADED_PODS)), red.owner);
  t.strictSame(
    mine.map(({ address }) => address),
    red.addresses,
  );
  const got = red.addresses.map((address) => parseMasqueradedPod(sandbox.sh(`nft '${getMasqueradedPod(address)}'`)));
  t.strictSame(got, mine, "asked for by address, the answer is the same");
  apply(sandbox, removeMasqueradedPods(mine));
  t.equal(ruleset(sandbox), before);
  apply(sandbox, removeMasqueradedPods(mine));
  t.equal(ruleset(sandbox), before, "what is gone already is no error");
});

t.test("an address taken over by another attachment is not removed by the first one's late DEL", async (t) => {
  const sandbox = openSandbox(t);
  apply(sandbox, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
  apply(sandbox, addMasqueradedPod({ ...blue, addresses: red.addresses }));
  const elements = masqueradeElements(list(sandbox, ...LIST_MASQUERADED_PODS));
  t.strictSame(elementsOf(elements, red.owner), []);
  t.equal(elementsOf(elements, blue.owner).length, 2);
});

t.test("an address that a pod of another network left behind is taken over after a look at the table", async (t) => {
  const sandbox = openSandbox(t);
  const late = { ...red, network: "other", owner: "cccccccccccccccc" };
  apply(sandbox, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
  apply(sandbox, ensureMasqueradeNetwork({ ...net, network: "other" }));
  t.throws(() => apply(sandbox, addMasqueradedPod(late)), /exists/);
  apply(sandbox, addMasqueradedPod(late, masqueradeElements(list(sandbox, ...LIST_MASQUERADED_PODS))));
  const owners = masqueradeElements(list(sandbox, ...LIST_MASQUERADED_PODS)).map(({ owner }) => owner);
  t.strictSame(owners, [late.owner, late.owner]);
  t.strictSame(masqueradeProblems(list(sandbox, "list table inet podwire"), { ...net, network: "other" }, late), []);
});

t.test("P1: GC removes what is not valid, in its network only", async (t) => {
  const sandbox = openSandbox(t);
  const other = { network: "other", owner: "cccccccccccccccc", addresses: ["10.99.0.2"].map(parseAddress) };
  apply(sandbox, ensureMasqueradeNetwork(net) + addMasqueradedPod(red) + addMasqueradedPod(blue));
  apply(sandbox, ensureMasqueradeNetwork({ ...net, network: "other" }) + addMasqueradedPod(other));
  const elements = masqueradeElements(list(sandbox, ...LIST_MASQUERADED_PODS));
  apply(sandbox, removeMasqueradedPods(staleElements(elements, network, new Set([blue.owner]))));
  const left = masqueradeElements(list(sandbox, ...LIST_MASQUERADED_PODS)).map(({ owner }) => owner);
  t.strictSame(left.sort(), [blue.owner, other.owner]);
});

t.test("a network with pods is not removed, one without is", async (t) => {
  const sandbox = openSandbox(t);
  apply(sandbox, ensureMasqueradeNetwork({ ...net, network: "other" }));
  const before = ruleset(sandbox);
  apply(sandbox, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
  const inUse = ruleset(sandbox);
  t.throws(() => apply(sandbox, removeMasqueradeNetwork(network)), /busy/);
  t.equal(ruleset(sandbox), inUse);
  const mine = elementsOf(masqueradeElements(list(sandbox, ...LIST_MASQUERADED_PODS)), red.owner);
  apply(sandbox, removeMasqueradedPods(mine) + removeMasqueradeNetwork(network));
  t.equal(ruleset(sandbox), before);
  apply(sandbox, removeMasqueradeNetwork(network));
  t.equal(ruleset(sandbox), before);
});

t.test("subnets are added to a network as pods bring them", async (t) => {
  const sandbox = openSandbox(t);
  apply(sandbox, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
  for (const subnet of ["10.22.7.0/24", "10.23.0.0/16", "10.24.0.0/16", "10.22.0.0/16"].map(parsePrefix)) {
    apply(sandbox, ensureMasqueradeNetwork({ ...net, localSubnets: [subnet] }));
    const listing = list(sandbox, "list table inet podwire");
    t.strictSame(masqueradeProblems(listing, { ...net, localSubnets: [...net.localSubnets, subnet] }, red), []);
  }
});

t.test("P14: CHECK names each thing that is missing", async (t) => {
  const sandbox = openSandbox(t);
  const all = ensureMasqueradeNetwork(net) + addMasqueradedPod(red);
  const problems = () => masqueradeProblems(list(sandbox, "list table inet podwire"), net, red);
  t.match(
    masqueradeProblems(EMPTY_LISTING, net, red).join("; "),
    /chain egress.*chain network_.*10.22.0.0\/16.*10.22.0.2/,
  );
  for (const [damage, said] of [
    ["flush chain inet podwire egress", /chain egress .* changed/],
    ["flush map inet podwire egress6", /fd00:22::2 is not masqueraded/],
    ["flush set inet podwire $(nft list table inet podwire | grep -o 'near4_[0-9a-f]*' | head -1)", /10.22.0.0\/16/],
  ] as const) {
    apply(sandbox, all);
    t.strictSame(problems(), []);
    sandbox.sh(`nft ${damage}`);
    t.match(problems().join("; "), said);
  }
});

t.test("the MAC check is idempotent, found by its attachment, removed twice, and CHECK sees it", async (t) => {
  const sandbox = openSandbox(t);
  const check = { owner: red.owner, port: "pw0123456789ab", mac: parseMac("0a:58:0a:16:00:02") };
  const other = { owner: blue.owner, port: "pwba9876543210", mac: parseMac("0a:58:0a:16:00:03") };
  apply(sandbox, addMacCheck(other));
  const before = ruleset(sandbox);
  apply(sandbox, addMacCheck(check));
  const once = ruleset(sandbox);
  apply(sandbox, addMacCheck(check));
  t.equal(ruleset(sandbox), once);
  t.strictSame(macCheckProblems(list(sandbox, "list table bridge podwire"), check), []);
  const mine = macCheckElements(list(sandbox, ...LIST_MAC_CHECKS)).filter(({ owner }) => owner === check.owner);
  t.equal(mine.length, 2);
  for (const _ of ["once", "twice"]) {
    apply(sandbox, removeMacChecks(mine));
    t.equal(ruleset(sandbox), before);
  }
  t.equal(macCheckProblems(list(sandbox, "list table bridge podwire"), check).length, 2);
});

const overlay = {
  ownSubnets: ["10.244.1.0/24", "fd00:244:0:1::/64"].map(parsePrefix),
  clusterCidrs: ["10.244.0.0/16", "fd00:244::/48"].map(parsePrefix),
};
const guard = { device: "eth0", tunnels: [{ port: 4790, peers: ["192.0.2.2", "2001:db8::2"].map(parseAddress) }] };

for (const [name, rules, changed] of [
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
    const sandbox = openSandbox(t);
    const listing = () => list(sandbox, "list table inet podwire");
    apply(sandbox, ensureMasqueradeNetwork(net) + addMasqueradedPod(red));
    const pods = ruleset(sandbox);
    const make = (wanted: Ruleset) => {
      apply(sandbox, difference(wanted, listing()));
      t.equal(difference(wanted, listing()), "", "and then nothing is left to do");
      return ruleset(sandbox);
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
      sandbox.sh(`nft ${damage}`);
      t.not(difference(rules, listing()), "", damage);
      make(rules);
      t.strictSame(sortBlocks(ruleset(sandbox)), sortBlocks(whole), damage);
    }
    make(changed);
    t.notMatch(difference(rules, listing()), /flush/, "elements change one by one");
    make(rules);
    make({ ...rules, sets: [], chains: [] });
    t.equal(ruleset(sandbox), pods, "the pods' part of the table was never touched");
  });
}

t.test("S15: a set of ours that somebody made with another type is made anew", async (t) => {
  const sandbox = openSandbox(t);
  const rules = overlayMasquerade(overlay);
  apply(sandbox, difference(rules, EMPTY_LISTING));
  const whole = ruleset(sandbox);
  sandbox.sh(`nft 'flush chain inet podwire overlay_egress; delete set inet podwire overlay_own4;
    add set inet podwire overlay_own4 { type inet_service; }'`);
  apply(sandbox, difference(rules, list(sandbox, "list table inet podwire")));
  t.strictSame(sortBlocks(ruleset(sandbox)), sortBlocks(whole));
});

/** Chains and sets in any order, for a new one comes last. */
function sortBlocks(text: string): string[] {
  return text.split(/\n\n|\{\n(?=\t\w)|\n\}\n/).sort();
}
