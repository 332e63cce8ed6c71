import t from "tap";
import { RulesetKeeper } from "../../dataplane/node-rules.ts";
import { tunnelGuard } from "../../firewall/node-rules.ts";
import { inNetns } from "../../kernel/netns.ts";
import { nftGeneration } from "../../kernel/nftables/generation.ts";
import { parseAddress } from "../../net/address.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { makeNode } from "./kernel-node.ts";

const guard = (...last: readonly number[]) => {
  const addresses = last.map((n) => parseAddress(`192.0.2.${n}`));
  const sources = last.map((n) => [parseAddress(`192.0.2.${n}`), parsePrefix(`10.244.${n}.0/24`)] as const);
  return [
    tunnelGuard({ device: "eth0", tunnels: [{ port: 4790, peers: addresses, inner: { formats: ["gpe"], sources } }] }),
  ];
};

t.test(
  "F8: what was written is known until somebody else changes a rule; then the table is looked at again",
  async (t) => {
    const node = makeNode(t);
    const keeper = new RulesetKeeper();
    const apply = (rulesets: ReturnType<typeof guard>) => inNetns(node.netns, () => keeper.apply(rulesets));
    const table = () => node.text("nft list table inet podwire");
    const fresh = (rulesets: ReturnType<typeof guard>) => {
      const other = makeNode(t);
      inNetns(other.netns, () => new RulesetKeeper().apply(rulesets));
      return other.text("nft list table inet podwire");
    };
    const [two, three] = [guard(2), guard(2, 3)];
    for (const wanted of [two, three, two, guard(), three]) {
      apply(wanted);
      t.equal(table(), fresh(wanted));
      const generation = nftGeneration(node.netns);
      apply(wanted);
      t.equal(nftGeneration(node.netns), generation, "and then nothing is written");
    }
    for (const damage of [
      "flush set inet podwire tunnel_4790_4_4_24",
      "flush chain inet podwire tunnel_4790",
      "delete table inet podwire",
      "flush ruleset",
    ]) {
      node.text(`nft ${damage}`);
      apply(three);
      t.equal(table(), fresh(three), damage);
      node.text(`nft ${damage}`);
      apply(two);
      t.equal(table(), fresh(two), `${damage}, and a new intent`);
      apply(three);
      t.equal(table(), fresh(three));
    }
  },
);
