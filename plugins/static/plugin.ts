import { CniError, Code } from "../../cni/error.ts";
import type { AddRequest, CheckRequest, Plugin, StatusRequest } from "../../cni/plugin.ts";
import type { Result } from "../../cni/result.ts";
import { decodeConf } from "./conf.ts";

/**
 * IPAM: answers the addresses, routes and dns that the configuration holds, as the reference plugin of the same name.
 * Keeps nothing, so DEL and GC have nothing to do and read nothing.
 */
export const staticPlugin: Plugin = {
  name: "static",
  knownArgs: ["IP", "GATEWAY"],
  add,
  async del() {},
  check,
  async gc() {},
  status,
};

async function add({ conf, attachment }: AddRequest): Promise<Result> {
  return { interfaces: [], ...decodeConf(conf, attachment.args) };
}

/** @throws CniError 100 when prevResult lacks an address of the configuration, or has it with another gateway */
async function check({ conf, attachment }: CheckRequest): Promise<void> {
  const { ips } = decodeConf(conf, attachment.args);
  for (const { address, gateway } of ips) {
    const told = conf.prevResult.ips.filter((each) => each.address === address);
    if (told.length === 0) {
      throw new CniError(
        Code.checkFailed,
        `${address} of the configuration is not in prevResult.ips: delete the attachment and add it again`,
      );
    }
    if (gateway === undefined || told.some((each) => each.gateway === gateway)) continue;
    throw new CniError(
      Code.checkFailed,
      `${address} has the gateway ${told[0]?.gateway ?? "none"} in prevResult.ips, and ${gateway} in the configuration: ` +
        "delete the attachment and add it again",
    );
  }
}

/** @throws CniError 7 for a configuration that ADD would refuse, whatever the runtime asked for */
async function status({ conf }: StatusRequest): Promise<void> {
  decodeConf(conf, {});
}
