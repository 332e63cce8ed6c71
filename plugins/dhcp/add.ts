import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { AddRequest } from "../../cni/plugin.ts";
import type { Result, Route } from "../../cni/result.ts";
import { Acquisition } from "../../dhcp/conversation.ts";
import type { LeaseRecord } from "../../dhcp/record.ts";
import type { LeasedRoute, Terms } from "../../dhcp/terms.ts";
import { hasCode } from "../../ipam/files.ts";
import { openPodNetns } from "../pod-netns.ts";
import { clientOf, decodeConf } from "./conf.ts";
import { converse, type Ended } from "./converse.ts";
import type { DhcpMachine } from "./machine.ts";
import { findPodLink, type PodLink, whileUp } from "./pod-link.ts";
import { giveBack } from "./release.ts";

/** A server answered, and its answer cannot be used: to try again is of no use. */
export const UNUSABLE_ANSWER = 101;
/** RT_SCOPE_LINK, <linux/rtnetlink.h> */
const SCOPE_LINK = 253;

/**
 * Gets a lease for the interface, which the main plugin has made, and writes it down for whoever renews it.
 * @throws CniError 11 when no server answers, 101 when what one says cannot be used, 4 without the interface
 */
export async function add(request: AddRequest, machine: DhcpMachine): Promise<Result> {
  const { conf: netConf, attachment, log, aside } = request;
  const conf = decodeConf(netConf, attachment, attachment.args);
  if (conf.daemonSocketPath !== "") {
    log.info("ipam.daemonSocketPath is not used: leases need no daemon but podwire-agent", {
      daemonSocketPath: conf.daemonSocketPath,
    });
  }
  using netns = openPodNetns(attachment);
  using link = findPodLink(netns, attachment.ifName);
  if (link === undefined) {
    throw new CniError(
      Code.invalidEnvironment,
      `CNI_IFNAME "${attachment.ifName}" is no interface with a MAC address in ${attachment.netns}; the main plugin must make it before it runs dhcp`,
    );
  }
  machine.leases.prepare(); // rather now than when a server has given an address
  const client = clientOf(conf, link.mac);
  const acquisition = new Acquisition(client, conf.timing, machine.random, machine.now());
  return await aside(() =>
    whileUp(link, async () => {
      const { terms, serverMac } = granted(await talk(link, machine, acquisition));
      const { containerId, ifName } = attachment;
      const place = { network: netConf.name, containerId, ifName, netns: attachment.netns, netnsInode: netns.inode };
      keep({ ...place, client, serverMac, ...kept(terms) }, link, machine);
      if (terms.expiresAt !== undefined && !machine.leases.kept)
        warnOfEnd(request, terms, terms.expiresAt - machine.now());
      return resultOf(terms, conf.priority);
    }),
  );
}

async function talk(link: PodLink, machine: DhcpMachine, acquisition: Acquisition): Promise<Ended> {
  try {
    return await converse(link, machine, acquisition);
  } catch (error) {
    if (!hasCode(error, "ENETDOWN", "ENXIO", "ENODEV")) throw error;
    throw new CniError(Code.tryAgainLater, `dhcp: the interface cannot be spoken over: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function granted({ outcome, serverMac }: Ended): { readonly terms: Terms; readonly serverMac: Ended["serverMac"] } {
  if ("terms" in outcome) return { terms: outcome.terms, serverMac };
  const { problem, refused } = outcome;
  if (refused) throw new CniError(UNUSABLE_ANSWER, `dhcp: ${problem}`);
  throw new CniError(
    Code.tryAgainLater,
    `dhcp: ${problem}; see whether a server serves the network that the interface is on, and has addresses left`,
  );
}

/** A lease that nobody could renew or give back is given back at once. */
function keep(record: LeaseRecord, link: PodLink, machine: DhcpMachine): void {
  try {
    machine.leases.put(record);
  } catch (error) {
    giveBack(link, machine, record);
    throw error;
  }
}

function kept({
  address,
  server,
  renewAt,
  rebindAt,
  expiresAt,
}: Terms): Pick<LeaseRecord, "address" | "server" | "renewAt" | "rebindAt" | "expiresAt"> {
  return { address, server, renewAt, rebindAt, expiresAt };
}

function warnOfEnd({ conf, attachment, log }: AddRequest, { address }: Terms, leftMs: number): void {
  log.warn("the lease will not be renewed, because no podwire-agent runs: its address must not be used after its end", {
    network: conf.name,
    containerId: attachment.containerId,
    address,
    seconds: Math.round(leftMs / 1000),
  });
}

function resultOf({ address, gateway, routes }: Terms, priority: number): Result {
  return {
    interfaces: [],
    ips: [{ address, ...(gateway === undefined ? {} : { gateway }) }],
    routes: routes.map((route) => routeOf(route, priority)),
  };
}

function routeOf({ dst, gw }: LeasedRoute, priority: number): Route {
  return {
    dst,
    ...(gw === undefined ? { scope: SCOPE_LINK } : { gw }),
    ...(priority === 0 ? {} : { priority }),
  };
}
