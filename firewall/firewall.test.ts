import { readFileSync, writeFileSync } from "node:fs";
import t from "tap";
import type { NftElement } from "../kernel/nftables/element-message.ts";
import { addressFromBytes, parseAddress } from "../net/address.ts";
import { parseMac } from "../net/mac.ts";
import { parsePrefix } from "../net/prefix.ts";
import { EMPTY_LISTING, listsTable, parseListing } from "./listing.ts";
import { addMacCheck, checkedPort, checkedPortElements } from "./mac-check.ts";
import {
  addMasqueradedPod,
  ensureMasqueradeNetwork,
  masqueradeChain,
  masqueradedPodElements,
  removeMasqueradeNetwork,
  staleElements,
} from "./masquerade.ts";
import { quoteComment } from "./nft-text.ts";
import { overlayMasquerade, tunnelGuard } from "./node-rules.ts";
import { difference } from "./ruleset.ts";

const network = "my.net";
const localSubnets = ["10.22.0.0/16", "fd00:22::/64"].map(parsePrefix);
const pod = { network, owner: "0123456789abcdef", addresses: ["10.22.0.2", "fd00:22::2"].map(parseAddress) };

const SOURCES = ["10.244.2.0/24", "10.244.4.64/26", "fd00:244:0:2::/64", "fd00:244::4:0/112"].map(
  (subnet) => [parseAddress("192.0.2.2"), parsePrefix(subnet)] as const,
);

const GOLDEN: Record<string, string> = {
  "masquerade-network": ensureMasqueradeNetwork({ network, localSubnets }),
  "masquerade-network-ordered-ports": ensureMasqueradeNetwork({ network, localSubnets: [], randomFully: false }),
  "masquerade-pod": addMasqueradedPod(pod),
  "masquerade-pod-taken": addMasqueradedPod(pod, masqueradedPodElements({ ...pod, network: "other" }).slice(0, 1)),
  "masquerade-network-removal": removeMasqueradeNetwork(network),
  "mac-check": addMacCheck({ owner: pod.owner, port: "pw0123456789ab", mac: parseMac("0a:58:0a:16:00:02") }),
  "overlay-masquerade": difference(
    overlayMasquerade({
      ownSubnets: ["10.244.1.0/24", "fd00:244:0:1::/64"].map(parsePrefix),
      clusterCidrs: ["10.244.0.0/16", "10.244.8.0/24", "fd00:244::/48", "10.9.9.9/32"].map(parsePrefix),
    }),
    EMPTY_LISTING,
  ),
  "tunnel-guard-protocols": difference(
    tunnelGuard({
      device: "eth0",
      tunnels: [],
      protocols: [
        { name: "gre", peers: ["192.0.2.2", "2001:db8::2"].map(parseAddress) },
        { name: "ipip", peers: ["192.0.2.3", "2001:db8::3"].map(parseAddress) },
      ],
    }),
    EMPTY_LISTING,
  ),
  "tunnel-guard-inner": difference(
    tunnelGuard({
      device: "eth0",
      own: ["192.0.2.1"].map(parseAddress),
      tunnels: [{ port: 4790, peers: ["192.0.2.2"].map(parseAddress), inner: { formats: ["gpe"], sources: SOURCES } }],
      protocols: [
        { name: "gre", peers: ["192.0.2.2"].map(parseAddress), inner: { formats: ["gre-keyed"], sources: SOURCES } },
      ],
    }),
    EMPTY_LISTING,
  ),
  "tunnel-guard": difference(
    tunnelGuard({
      device: "eth0",
      tunnels: [{ port: 4790, peers: ["192.0.2.2", "192.0.2.3", "2001:db8::2"].map(parseAddress) }],
    }),
    EMPTY_LISTING,
  ),
};

for (const [name, text] of Object.entries(GOLDEN)) {
  t.test(`${name} is testdata/${name}.nft`, async (t) => {
    const file = new URL(`testdata/${name}.nft`, import.meta.url);
    if (process.env.TAP_SNAPSHOT === "1") writeFileSync(file, text);
    t.equal(text, readFileSync(file, "utf8"));
  });
}

t.test("names of any length and letters stand in chain names by hash and in comments quoted", async (t) => {
  const hostile = `${"x".repeat(300)}"; flush ruleset; #\n`;
  const text = ensureMasqueradeNetwork({ network: hostile, localSubnets: [] });
  t.match(masqueradeChain(hostile), /^network_[0-9a-f]{16}$/);
  t.notMatch(text, /flush ruleset/);
  t.equal(quoteComment('a"b\nc\\é'), '"a?b?c??"');
  t.equal(quoteComment("x".repeat(300)).length, 129);
});

t.test("a pod is one element a family, in the words of nf_tables", async (t) => {
  const chain = masqueradeChain(network);
  const [v4, v6] = masqueradedPodElements(pod);
  t.match(v4, { of: { family: "inet", table: "podwire", set: "egress4" }, comment: pod.owner, goto: chain });
  t.equal(Buffer.from(v4?.key ?? []).toString("hex"), "0a160002");
  t.equal(v6?.of.set, "egress6");
  t.equal(Buffer.from(v6?.key ?? []).toString("hex"), "fd000022000000000000000000000002");
});

t.test("a checked port is found by its name in both sets", async (t) => {
  const port = "pw0123456789ab";
  const elements = checkedPortElements({ owner: pod.owner, port, mac: parseMac("0a:58:0a:16:00:02") });
  t.strictSame(elements.map(checkedPort), [port, port]);
  t.strictSame(
    elements.map(({ key }) => Buffer.from(key).toString("hex")),
    ["7077303132333435363738396162" + "0000" + "0a580a160002" + "0000", "7077303132333435363738396162" + "0000"],
  );
});

t.test("stale elements are those of the network that nobody valid owns", async (t) => {
  const at = (address: string, rest: object) => ({
    ...masqueradedPodElements({ ...pod, addresses: [parseAddress(address)] })[0],
    ...rest,
  });
  const elements = [
    at("10.22.0.2", { comment: "aa" }),
    at("10.22.0.3", { comment: "bb" }),
    at("10.99.0.3", { comment: "cc", goto: "network_other" }),
    at("10.22.0.4", { comment: undefined }),
  ] as readonly NftElement[];
  t.strictSame(
    staleElements(elements, network, new Set(["aa"])).map(({ key }) => addressFromBytes(key)),
    ["10.22.0.3", "10.22.0.4"],
    "of this network, and what nobody owns too",
  );
});

t.test("a listing of nothing and of nonsense has nothing", async (t) => {
  for (const objects of [[], [null, 1, "set", {}, { set: null }, { rule: { chain: "none" } }]]) {
    const { sets, chains } = parseListing(objects);
    t.strictSame(
      [...sets.values()].flatMap(({ elements }) => elements),
      [],
    );
    t.strictSame(
      [...chains.values()].flatMap(({ rules }) => rules),
      [],
    );
  }
  const tables = [{ table: { family: "inet", name: "podwire", handle: 1 } }];
  t.ok(listsTable(tables, "inet", "podwire"));
  t.notOk(listsTable(tables, "bridge", "podwire"));
});

t.test("a set that an nft lists as typeof is known by its name", async (t) => {
  const rules = tunnelGuard({
    device: "eth0",
    tunnels: [{ port: 4790, peers: [], inner: { formats: ["gpe"], sources: SOURCES } }],
  });
  const set = rules.sets.find(({ typeOf }) => typeOf !== undefined);
  const elem = set?.keys.map((key) => ({
    concat: key.split(" . ").map((part) => (/^\d+$/.test(part) ? Number(part) : part)),
  }));
  const typed = { typeof: { concat: [] } };
  const listing = parseListing([{ set: { name: set?.name, family: "inet", table: "podwire", type: typed, elem } }]);
  t.notMatch(difference(rules, listing), new RegExp(`set inet podwire ${set?.name} `));
  t.notMatch(difference(rules, listing), new RegExp(`element inet podwire ${set?.name} `));
});
