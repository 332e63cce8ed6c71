import type { CheckRequest } from "../../cni/plugin.ts";
import { listRoutes } from "../../kernel/rtnetlink/route.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { prefixAddress, prefixFamily, prefixLength } from "../../net/prefix.ts";
import { ownIps } from "../chained/result.ts";
import { Differences } from "../interface/check.ts";
import { openPodNetns } from "../pod-netns.ts";
import { decodeSbrConf } from "./conf.ts";
import { listOwnRules } from "./tables.ts";

/**
 * Each address has its rule, and the table that it leads to, unless the configuration names one, has the default route.
 * @throws CniError 100 that lists what differs
 */
export async function check({ conf: netConf, attachment }: CheckRequest): Promise<void> {
  const conf = decodeSbrConf(netConf);
  const differences = new Differences();
  const { report } = differences;
  using netns = openPodNetns(attachment);
  using rt = openRoute(netns);
  const rules = listOwnRules(rt);
  for (const { address, gateway } of ownIps(netConf.prevResult, attachment.ifName)) {
    const source = prefixAddress(address);
    const family = prefixFamily(address);
    const tables = rules.filter((rule) => rule.source === source).map(({ table }) => table);
    if (conf.table === undefined ? tables.length === 0 : !tables.includes(conf.table)) {
      report(`rule from ${source}`, conf.table ?? "a table", tables);
      continue;
    }
    const wanted = conf.gateways[family] ?? gateway;
    if (conf.table !== undefined || wanted === undefined) continue;
    const defaults = tables
      .flatMap((table) => listRoutes(rt, { family, table }))
      .filter(({ dst }) => prefixLength(dst) === 0);
    if (defaults.length === 0)
      report(
        `default route of table ${tables}`,
        wanted,
        defaults.map(({ via }) => via),
      );
  }
  differences.refuse(attachment);
}
