import { messageOf } from "../../cni/error.ts";
import type { Logger } from "../../cni/log.ts";
import { PROTOCOL_NUMBERS } from "../../firewall/element-key.ts";
import { readMapping } from "../../firewall/port-map.ts";
import { forgetFlows, type TrackedFlow } from "../../kernel/conntrack.ts";
import type { NftElement } from "../../kernel/nftables/element-message.ts";
import { listAddresses } from "../../kernel/rtnetlink/address.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { type Address, isLoopback } from "../../net/address.ts";
import { prefixAddress } from "../../net/prefix.ts";

/**
 * After ADD: what the node tracks of flows to the ports, made before there was a pod or while another one had them, would
 * go on leading nowhere as long as packets keep coming. Flows through the node to the same port elsewhere are left alone.
 * A failure is logged: new flows find the pod all the same.
 */
export function forgetEarlierFlows(
  elements: readonly NftElement[],
  node: RouteSocket,
  log: Pick<Logger, "warn">,
): void {
  let own: ReadonlySet<Address> | undefined;
  const isOwn = (address: Address) => {
    own ??= new Set(listAddresses(node).map((each) => prefixAddress(each.address)));
    return isLoopback(address) || own.has(address);
  };
  forget(elements, log, (flow, to) => !answers(flow, to) && isOwn(flow.destination));
}

/** After DEL: what is tracked as answered by the pod. Its address and the ports are the next one's. */
export function forgetPodsFlows(elements: readonly NftElement[], log: Pick<Logger, "warn">): void {
  forget(elements, log, answers);
}

type Target = { readonly address: Address; readonly port: number };

function answers({ answeredBy, answeringPort }: TrackedFlow, { address, port }: Target): boolean {
  return answeredBy === address && answeringPort === port;
}

/** Those without connections: a connection begins anew when nobody answers. */
function forget(
  elements: readonly NftElement[],
  log: Pick<Logger, "warn">,
  chosen: (flow: TrackedFlow, to: Target) => boolean,
): void {
  for (const element of elements) {
    const { family, protocol, port, to } = readMapping(element);
    if (to === undefined || protocol === PROTOCOL_NUMBERS.tcp) continue;
    try {
      forgetFlows({ family, protocol, port }, (flow) => chosen(flow, to));
    } catch (error) {
      log.warn("tracked flows to a mapped port could not be forgotten", { port, error: messageOf(error) });
    }
  }
}
