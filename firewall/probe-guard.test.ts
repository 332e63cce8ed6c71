import { readFileSync, writeFileSync } from "node:fs";
import t from "tap";
import { parseNetwork } from "../net/prefix.ts";
import { EMPTY_LISTING } from "./listing.ts";
import { probeGuard } from "./probe-guard.ts";
import { difference } from "./ruleset.ts";

t.test(
  "S7: the agent's port is for the lowest addresses of nodes' subnets alone, as in testdata/probe-guard.nft",
  async (t) => {
    const networks = [
      { cidr: parseNetwork("10.244.0.0/16"), subnetLength: 24 },
      { cidr: parseNetwork("fd00:244::/48"), subnetLength: 64 },
      { cidr: parseNetwork("10.99.0.0/20"), subnetLength: 26 },
    ];
    const text = difference(probeGuard({ port: 7447, networks }), EMPTY_LISTING);
    const file = new URL("testdata/probe-guard.nft", import.meta.url);
    if (process.env.TAP_SNAPSHOT === "1") writeFileSync(file, text);
    t.equal(text, readFileSync(file, "utf8"));
  },
);
