import type { Address } from "../../net/address.ts";
import { contains } from "../../net/prefix.ts";
import type { BackendProgress__Output } from "../../proto/gen/podwire/v1/BackendProgress.ts";
import type { Condition__Output } from "../../proto/gen/podwire/v1/Condition.ts";
import type { HeldSubnet__Output } from "../../proto/gen/podwire/v1/HeldSubnet.ts";
import type { Hello__Output } from "../../proto/gen/podwire/v1/Hello.ts";
import type { NodeStatus__Output } from "../../proto/gen/podwire/v1/NodeStatus.ts";
import type { Pod__Output } from "../../proto/gen/podwire/v1/Pod.ts";
import type { Probe__Output } from "../../proto/gen/podwire/v1/Probe.ts";
import { invalid, RequestError } from "./error.ts";
import type { Claim, Held } from "./leases.ts";
import type { State } from "./state.ts";
import {
  checkAddress,
  checkInteger,
  checkList,
  checkName,
  checkNodeAddresses,
  checkPrefix,
  checkPublicKey,
  checkText,
} from "./validate.ts";

/** A node has few networks; more held subnets than this are no honest claim. */
const MOST_HELD = 64;
/** The kubelet's default limit is 110 pods. */
const MOST_PODS = 4096;
/** An agent tells of 64 failing pairs at most, and of a few devices. */
const MOST_PROBES = 128;

/** What a pod is, as its node reported it. */
export interface Pod {
  readonly network: string;
  readonly containerId: string;
  readonly interfaceName: string;
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly Address[];
  readonly createdAt: number;
}

export interface Condition {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

/** How far a node is with the change of a network's backend; numbers are generations. */
export interface Progress {
  readonly receives: number;
  readonly sends: number;
}

/** What a node found out about the way to another one. */
export interface Probe {
  readonly network: string;
  readonly nodeId: string;
  readonly nodeName: string;
  readonly family: number;
  readonly verdict: string;
  readonly message: string;
  readonly since: number;
}

/** Checks what a node says of itself, against the protocol and against the networks. @throws RequestError */
export function checkHello(hello: Hello__Output, state: State): Claim {
  const networks = checkList("networks", hello.networks, 32, checkName);
  const unknown = networks.find((name) => !state.networks.has(name));
  if (unknown !== undefined) {
    throw new RequestError(
      "NOT_FOUND",
      `networks: "${unknown}" does not exist; create it with: cnictl network create ${unknown}`,
    );
  }
  const addresses = checkNodeAddresses("addresses", hello.addresses);
  if (addresses.length === 0)
    invalid("addresses", "", "is empty; give the node's address that other nodes can send to");
  refuseInsideNetwork(addresses, state);
  const nodeId = checkName("node_id", hello.nodeId, 253);
  return {
    nodeId,
    nodeName: hello.nodeName === "" ? nodeId : checkName("node_name", hello.nodeName, 253),
    addresses,
    backends: checkList("backends", hello.backends, 16, (key, item) => checkText(key, item, 64)),
    version: checkText("version", hello.version, 64),
    bootId: checkText("boot_id", hello.bootId, 64),
    publicKey: ownKey(nodeId, checkPublicKey("public_key", hello.publicKey), state),
    networks: networks.length === 0 ? "all" : networks,
    held: checkHeld(hello.held),
  };
}

/** @throws RequestError */
export function checkHeld(held: readonly HeldSubnet__Output[]): Held[] {
  return checkList("held", held, MOST_HELD, (key, item) => {
    const { network, subnet, epoch } = item as HeldSubnet__Output;
    return {
      network: checkName(`${key}.network`, network),
      subnet: checkPrefix(`${key}.subnet`, subnet),
      epoch: checkInteger(`${key}.epoch`, epoch, 0, Number.MAX_SAFE_INTEGER),
    };
  });
}

/** @throws RequestError */
export function checkStatus(status: NodeStatus__Output): {
  pods: Pod[];
  conditions: Condition[];
  probes: Probe[];
  progress: ReadonlyMap<string, Progress>;
} {
  return {
    pods: checkList("pods", status.pods, MOST_PODS, (key, item) => checkPod(key, item as Pod__Output)),
    conditions: checkList("conditions", status.conditions, 32, (key, item) =>
      checkCondition(key, item as Condition__Output),
    ),
    progress: new Map(
      checkList("backends", status.backends, MOST_HELD, (key, item) =>
        checkProgress(key, item as BackendProgress__Output),
      ),
    ),
    probes: checkList("probes", status.probes, MOST_PROBES, (key, item) => checkProbe(key, item as Probe__Output)),
  };
}

function checkProbe(key: string, probe: Probe__Output): Probe {
  return {
    network: checkName(`${key}.network`, probe.network),
    nodeId: checkText(`${key}.node_id`, probe.nodeId, 253),
    nodeName: checkText(`${key}.node_name`, probe.nodeName, 253),
    family: checkInteger(`${key}.family`, probe.family, 4, 6),
    verdict: checkName(`${key}.verdict`, probe.verdict),
    message: checkText(`${key}.message`, probe.message, 1024),
    since: checkInteger(`${key}.since`, probe.since, 0, Number.MAX_SAFE_INTEGER),
  };
}

function checkProgress(key: string, { network, receives, sends }: BackendProgress__Output): [string, Progress] {
  return [
    checkName(`${key}.network`, network),
    {
      receives: checkInteger(`${key}.receives`, receives, 0, Number.MAX_SAFE_INTEGER),
      sends: checkInteger(`${key}.sends`, sends, 0, Number.MAX_SAFE_INTEGER),
    },
  ];
}

function checkPod(key: string, pod: Pod__Output): Pod {
  return {
    network: checkName(`${key}.network`, pod.network),
    containerId: checkText(`${key}.container_id`, pod.containerId, 253),
    interfaceName: checkText(`${key}.interface_name`, pod.interfaceName, 15),
    namespace: checkText(`${key}.namespace`, pod.namespace, 253),
    name: checkText(`${key}.name`, pod.name, 253),
    addresses: checkList(`${key}.addresses`, pod.addresses, 32, checkAddress),
    createdAt: checkInteger(`${key}.created_at`, pod.createdAt, 0, Number.MAX_SAFE_INTEGER),
  };
}

function checkCondition(key: string, condition: Condition__Output): Condition {
  return {
    type: checkName(`${key}.type`, condition.type),
    status: condition.status,
    reason: checkText(`${key}.reason`, condition.reason, 253),
    message: checkText(`${key}.message`, condition.message, 4096),
  };
}

/** Two nodes of one key could not be told apart by their peers. */
function ownKey(nodeId: string, publicKey: Claim["publicKey"], state: State): Claim["publicKey"] {
  const holder = publicKey === "" ? undefined : state.nodeWithPublicKey(publicKey);
  if (holder === undefined || holder.id === nodeId) return publicKey;
  throw new RequestError(
    "ALREADY_EXISTS",
    `public_key: ${publicKey} is that of node "${holder.name}" (id ${holder.id}); give this machine a key of its own: delete wireguard-key in its --state-dir and restart podwire-agent`,
  );
}

function refuseInsideNetwork(addresses: readonly Address[], state: State): void {
  for (const network of state.networks.values()) {
    for (const cidr of network.cidrs) {
      const inside = addresses.find((address) => contains(cidr, address));
      if (inside !== undefined) {
        const message = `addresses: ${inside} lies inside network "${network.name}" (${cidr}); a node's own address must not be one of a pod`;
        throw new RequestError("FAILED_PRECONDITION", message);
      }
    }
  }
}
