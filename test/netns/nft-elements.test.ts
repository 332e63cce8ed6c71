import t from "tap";
import { MAC_CHECK_SETS } from "../../firewall/mac-check.ts";
import { MASQUERADE_SETS } from "../../firewall/masquerade.ts";
import { openNftElementIndex } from "../../kernel/nftables/element-index.ts";
import type { NftElement } from "../../kernel/nftables/element-message.ts";
import { type NftElements, openNftElements } from "../../kernel/nftables/elements.ts";
import { openNft } from "../../kernel/nftables/nft.ts";
import { type KernelNode, makeNode } from "./kernel-node.ts";

const [EGRESS4, EGRESS6] = MASQUERADE_SETS;
const SETS = [...MASQUERADE_SETS, ...MAC_CHECK_SETS];
const SETUP = `nft 'add table inet podwire
  add map inet podwire egress4 { type ipv4_addr : verdict; }
  add map inet podwire egress6 { type ipv6_addr : verdict; }
  add chain inet podwire network_a
  add table bridge podwire
  add set bridge podwire checked_ports { type ifname; }
  add set bridge podwire port_macs { type ifname . ether_addr; }'`;

function element(last: number, comment: string): NftElement {
  if (EGRESS4 === undefined) throw new Error("there is no such set");
  return { of: EGRESS4, key: Uint8Array.of(10, 22, last >> 8, last & 255), comment, goto: "network_a" };
}

const addresses = (elements: readonly NftElement[]) => elements.map(({ key }) => [...key].join("."));
const add = (node: KernelNode, address: string, comment: string) =>
  node.text(`nft 'add element inet podwire egress4 { ${address} comment "${comment}" : goto network_a }'`);

/** The same questions to both: one that looks each time, and one that keeps an index. */
function both(node: KernelNode): Record<string, NftElements> {
  return { fresh: openNftElements(node.netns), kept: openNftElementIndex(SETS, node.netns) };
}

t.test("what nft(8) did is seen at once: elements, replaced ones, sets and tables that went", async (t) => {
  const node = makeNode(t);
  for (const [name, elements] of Object.entries(both(node))) {
    using _close = elements;
    const of = (comment: string) => addresses(elements.commented(SETS, comment));
    node.text("nft flush ruleset");
    t.strictSame([of("aa"), elements.list(SETS)], [[], []], `${name}: no table yet`);
    node.text(SETUP);
    add(node, "10.22.0.2", "aa");
    add(node, "10.22.0.3", "aa");
    add(node, "10.22.0.4", "bb");
    node.text(`nft 'add element bridge podwire port_macs { "pw0" . 02:00:00:00:00:01 comment "bb" }'`);
    t.strictSame(of("aa").sort(), ["10.22.0.2", "10.22.0.3"]);
    t.equal(of("bb").length, 2);
    node.text("nft 'delete element inet podwire egress4 { 10.22.0.2 }'");
    t.strictSame(of("aa"), ["10.22.0.3"]);
    node.text(`nft 'delete element inet podwire egress4 { 10.22.0.3 }
      add element inet podwire egress4 { 10.22.0.3 comment "cc" : goto network_a }'`);
    t.strictSame([of("aa"), of("cc")], [[], ["10.22.0.3"]], "the comment is the new one");
    node.text("nft flush map inet podwire egress4");
    t.strictSame([of("cc"), of("bb").length], [[], 1]);
    add(node, "10.22.0.9", "dd");
    node.text("nft 'delete map inet podwire egress4; delete table bridge podwire'");
    t.strictSame([of("dd"), of("bb")], [[], []]);
    node.text(SETUP);
    add(node, "10.22.0.9", "dd");
    node.text(`nft 'add table inet other; add set inet other egress4 { type ipv4_addr; }
      add element inet other egress4 { 10.22.0.1 comment "dd" }'`);
    t.strictSame(of("dd"), ["10.22.0.9"], "a set of that name in another table is another set");
    node.text("nft flush ruleset");
    t.strictSame(elements.list(SETS), []);
  }
});

t.test("a transaction happens whole or not at all, and says what was refused", async (t) => {
  const node = makeNode(t);
  node.text(SETUP);
  for (const [name, elements] of Object.entries(both(node))) {
    using _close = elements;
    elements.change({ create: [element(2, "aa"), element(3, "aa")] });
    t.throws(() => elements.change({ create: [element(4, "bb"), element(2, "bb")] }), { code: "EEXIST" });
    t.throws(() => elements.change({ remove: [element(3, "aa"), element(9, "aa")] }), { code: "ENOENT" });
    t.strictSame(addresses(elements.list(SETS)).sort(), ["10.22.0.2", "10.22.0.3"], name);
    elements.change({ remove: [element(2, "")], create: [element(4, "aa")] });
    t.strictSame(addresses(elements.commented(SETS, "aa")).sort(), ["10.22.0.3", "10.22.0.4"]);
    t.match(elements.get(element(4, "").of, element(4, "").key), { comment: "aa", goto: "network_a" });
    t.equal(elements.get(element(2, "").of, element(2, "").key), undefined);
    elements.change({});
    elements.change({ remove: elements.list(SETS) });
  }
});

t.test("more changes than the kernel keeps for us: the sets are listed again", async (t) => {
  const node = makeNode(t);
  node.text(SETUP);
  using elements = openNftElementIndex(SETS, node.netns);
  add(node, "10.22.0.2", "aa");
  t.equal(elements.commented(SETS, "aa").length, 1);
  // Notifications of some 60 MB, and the socket takes 8.
  const many = Array.from({ length: 60_000 }, (_, i) => `10.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`).join(", ");
  using nft = openNft(node.netns);
  for (const _ of [1, 2, 3]) {
    nft.run(`add table inet other\nadd set inet other many { type ipv4_addr; }`);
    nft.run(`add element inet other many { ${many} }`);
    nft.run("delete table inet other");
  }
  add(node, "10.22.0.3", "aa");
  t.equal(elements.commented(SETS, "aa").length, 2);
});

t.test("an element of the other family does not disturb", async (t) => {
  const node = makeNode(t);
  node.text(SETUP);
  using elements = openNftElementIndex(SETS, node.netns);
  if (EGRESS6 === undefined) throw new Error("there is no such set");
  const key = Uint8Array.from(Buffer.from("fd000022000000000000000000000002", "hex"));
  elements.change({ create: [{ of: EGRESS6, key, comment: "aa", goto: "network_a" }, element(2, "aa")] });
  t.equal(elements.commented(SETS, "aa").length, 2);
  t.match(node.text("nft list table inet podwire"), /fd00:22::2 comment "aa" : goto network_a/);
});
