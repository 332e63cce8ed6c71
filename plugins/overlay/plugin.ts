import { join } from "node:path";
import { CniError, Code } from "../../cni/error.ts";
import type { AddRequest, CheckRequest, DelRequest, GcRequest, Plugin, StatusRequest } from "../../cni/plugin.ts";
import type { Result } from "../../cni/result.ts";
import { type AttachmentName, hostVethName } from "../../kernel/mark.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { contains, prefixAddress } from "../../net/prefix.ts";
import { type OverlayConf, type OverlayTunnel, parseConf } from "./conf.ts";
import { bridgeConf, removalConf } from "./delegate.ts";
import { type NodeLease, readLease } from "./lease.ts";
import { ensureMesh, meshLease } from "./mesh.ts";
import { refuseNearExhaustion } from "./room.ts";

/**
 * A plugin that puts a pod on the node's bridge with an address of the node's leased subnet. Tunnels and routes are the
 * agent's, of whatever backend the network has, or, with `mesh`, made here. Nothing is written down: DEL works from
 * names alone.
 */
export function makeOverlay(tunnel: OverlayTunnel): Plugin {
  return {
    name: tunnel.name,
    knownArgs: ["IP", "MAC"],
    add: (request: AddRequest) => add(request, parseConf(request.conf, tunnel)),
    check: (request: CheckRequest) => check(request, parseConf(request.conf, tunnel)),
    del: async ({ conf, delegator }: DelRequest) => delegator.del("bridge", removalConf(conf)),
    gc: async ({ conf, delegator }: GcRequest) => delegator.gc("bridge", removalConf(conf)),
    status: (request: StatusRequest) => status(request, parseConf(request.conf, tunnel)),
  };
}

async function add({ conf, attachment, delegator, log }: AddRequest, keys: OverlayConf): Promise<Result> {
  refuseSecond({ network: conf.name, containerId: attachment.containerId, ifName: attachment.ifName });
  const lease = leaseOf(keys);
  refuseUnlessHeld(lease, Code.tryAgainLater, Code.tryAgainLater);
  if (keys.mesh !== undefined) await ensureMesh(keys, keys.mesh, log);
  return delegator.add("bridge", bridgeConf(conf, keys, lease));
}

async function check({ conf, delegator }: CheckRequest, keys: OverlayConf): Promise<void> {
  const lease = leaseOf(keys);
  for (const { address } of conf.prevResult.ips) {
    if (lease.subnets.some((subnet) => contains(subnet, prefixAddress(address)))) continue;
    throw new CniError(
      Code.checkFailed,
      `the pod has ${address}, but this node's subnets in network "${lease.network}" are ${lease.subnets.join(", ") || "none"}: other nodes send its packets elsewhere; restart the pod`,
    );
  }
  await delegator.check("bridge", bridgeConf(conf, keys, lease));
}

async function status({ conf, delegator }: StatusRequest, keys: OverlayConf): Promise<void> {
  const lease = statusLease(keys);
  refuseUnlessHeld(lease, Code.notAvailable, Code.limitedConnectivity);
  await delegator.status("bridge", bridgeConf(conf, keys, lease));
  refuseNearExhaustion(lease, join(keys.dataDir, conf.name));
}

function leaseOf(keys: OverlayConf): NodeLease {
  return keys.mesh === undefined ? readLease(keys.overlay) : meshLease(keys, keys.mesh);
}

/** A lease that is not there is "try again later" for ADD, and "not available" for STATUS. */
function statusLease(keys: OverlayConf): NodeLease {
  try {
    return leaseOf(keys);
  } catch (error) {
    if (!(error instanceof CniError) || error.code !== Code.tryAgainLater) throw error;
    throw new CniError(Code.notAvailable, error.message, { cause: error });
  }
}

/** Before anything is delegated: after a failure the delegate's DEL would take the first attachment away. */
function refuseSecond(name: AttachmentName): void {
  using rt = openRoute();
  const port = hostVethName(name);
  if (getLink(rt, port) === undefined) return;
  throw new CniError(
    Code.invalidEnvironment,
    `CNI_CONTAINERID ${name.containerId} has CNI_IFNAME ${name.ifName} in network "${name.network}" already (${port}); run DEL for it before another ADD`,
  );
}

function refuseUnlessHeld(lease: NodeLease, codeWithout: Code, codeFenced: Code): void {
  if (lease.state === "held" && lease.ready) return;
  const reason = lease.reason ?? "the agent has not programmed its tunnels and routes yet";
  const code = lease.state === "fenced" ? codeFenced : codeWithout;
  throw new CniError(code, `network "${lease.network}" cannot take a pod on this node: ${reason}`);
}
