import t from "tap";
import { openNftProbe } from "../../kernel/nftables/probe.ts";
import { startNode } from "./harness/node.ts";

t.test("the probe sees tables, chains and rules as nft(8) made them, and their absence", async (t) => {
  const node = await startNode(t);
  using probe = openNftProbe(node.netns);
  const all = () => [
    probe.hasTable("inet", "x"),
    probe.hasTable("bridge", "x"),
    probe.hasChain("inet", "x", "one"),
    probe.hasChain("inet", "x", "two"),
    probe.countRules("inet", "x", "one"),
    probe.countRules("inet", "x", "two"),
    probe.countRules("bridge", "x", "one"),
  ];
  t.strictSame(all(), [false, false, false, false, 0, 0, 0]);
  await node.sh("nft 'add table inet x; add chain inet x one; add chain inet x two; add rule inet x two accept'");
  t.strictSame(all(), [true, false, true, true, 0, 1, 0]);
  await node.sh("nft 'add rule inet x one drop; add rule inet x one accept; add table inet y; add table bridge x'");
  t.strictSame(all(), [true, true, true, true, 2, 1, 0]);
  await node.sh("nft 'delete table inet x'");
  t.strictSame(all(), [false, true, false, false, 0, 0, 0]);
});
