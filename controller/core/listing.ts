import type { InspectAddressResponse } from "../../proto/gen/podwire/v1/InspectAddressResponse.ts";
import type { Node as NodeMessage } from "../../proto/gen/podwire/v1/Node.ts";
import type { Pod as PodMessage } from "../../proto/gen/podwire/v1/Pod.ts";
import type { Subnet as SubnetMessage } from "../../proto/gen/podwire/v1/Subnet.ts";
import type { Admin } from "./admin.ts";
import type { Pod } from "./announcement.ts";
import { networkMessage, subnetMessage } from "./message.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";
import type { Node, State } from "./state.ts";

/** What cnictl shows of a node: its record, and what its session told. */
export function nodeMessage(node: Node, state: State, session: Session | undefined, lastSeen: number): NodeMessage {
  const report = session?.report;
  return {
    id: node.id,
    name: node.name,
    addresses: [...node.addresses],
    backends: [...node.backends],
    connected: session !== undefined,
    connectedSince: session?.since ?? 0,
    lastSeen: report?.lastSeen ?? lastSeen,
    appliedRevision: report?.appliedRevision ?? 0,
    appliedAt: report?.appliedAt ?? 0,
    failures: [...(report?.failures ?? [])],
    conditions: [...(report?.conditions ?? [])],
    subnets: Array.from(state.subnetsOfNode(node.id), subnetMessage),
    podCount: report?.pods.length ?? 0,
    version: node.version,
    createdAt: node.createdAt,
    probes: [...(report?.probes ?? [])],
  };
}

/** Subnets of one network, or of all when none is named. */
export function subnetMessages(state: State, network: string): SubnetMessage[] {
  const subnets = network === "" ? state.subnets.values() : state.subnetsOfNetwork(network);
  return Array.from(subnets, subnetMessage);
}

/** Pods that connected nodes reported; empty filters let everything through. */
export function podMessages(sessions: Sessions<Session>, filter: { network: string; nodeName: string }): PodMessage[] {
  const found: PodMessage[] = [];
  for (const session of sessions.values()) {
    const { nodeName } = session.claim;
    if (filter.nodeName !== "" && filter.nodeName !== nodeName) continue;
    for (const pod of session.report.pods) {
      if (filter.network === "" || filter.network === pod.network) found.push(podMessage(pod, nodeName));
    }
  }
  return found;
}

/** Who has the address, as far as is known. @throws RequestError for what is no address */
export function inspectionMessage(
  admin: Admin,
  state: State,
  sessions: Sessions<Session>,
  lastSeen: (nodeId: string) => number,
  text: string,
): InspectAddressResponse {
  const { address, network, subnet } = admin.inspect(text);
  const node = subnet === undefined ? undefined : state.nodes.get(subnet.nodeId);
  const session = node === undefined ? undefined : sessions.get(node.id);
  const pod = session?.report.pods.find((one) => one.network === network?.name && one.addresses.includes(address));
  return {
    network: network === undefined ? null : networkMessage(network),
    subnet: subnet === undefined ? null : subnetMessage(subnet),
    node: node === undefined ? null : nodeMessage(node, state, session, lastSeen(node.id)),
    pod: pod === undefined ? null : podMessage(pod, session?.claim.nodeName ?? ""),
  };
}

function podMessage(pod: Pod, nodeName: string): PodMessage {
  return { ...pod, addresses: [...pod.addresses], nodeName };
}
