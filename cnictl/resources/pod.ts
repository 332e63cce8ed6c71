import type { Pod__Output as Pod } from "../../proto/gen/podwire/v1/Pod.ts";
import { formatAge, timestamp } from "../age.ts";
import { compareText } from "./node.ts";
import { API_VERSION, type ApiObject, present, type Resource } from "./resource.ts";

/** How much of a container's id is shown, and is enough to name it: what docker and crictl print. */
export const SHORT_ID = 12;

/** `namespace/name` where the runtime said so, else the start of the container's id. */
export function podName(pod: Pod): string {
  return pod.name === "" ? pod.containerId.slice(0, SHORT_ID) : `${pod.namespace}/${pod.name}`;
}

export const pods: Resource<Pod> = {
  kind: "pod",
  plural: "pods",
  watches: ["pods"],
  columns: [
    { title: "NAMESPACE", cell: ({ namespace }) => namespace },
    { title: "NAME", cell: (pod) => pod.name || podName(pod) },
    { title: "NETWORK", cell: ({ network }) => network },
    { title: "NODE", cell: ({ nodeName }) => nodeName },
    { title: "ADDRESSES", cell: ({ addresses }) => addresses.join(",") },
    { title: "AGE", ticking: true, cell: ({ createdAt }, now) => formatAge(createdAt, now) },
    { title: "INTERFACE", wide: true, cell: ({ interfaceName }) => interfaceName },
    { title: "CONTAINER", wide: true, cell: ({ containerId }) => containerId },
  ],
  list: async (admin, { network, node }) => {
    const all = await admin.listPods({
      ...(network === undefined ? {} : { network }),
      ...(node === undefined ? {} : { nodeName: node }),
    });
    return [...all].sort(
      (a, b) =>
        compareText(podName(a), podName(b)) ||
        compareText(a.network, b.network) ||
        compareText(a.interfaceName, b.interfaceName),
    );
  },
  name: podName,
  key: ({ network, containerId, interfaceName }) => `${network} ${containerId} ${interfaceName}`,
  matches: (pod, name) =>
    podName(pod) === name ||
    (pod.name !== "" && pod.name === name) ||
    (name.length >= SHORT_ID && pod.containerId.startsWith(name)),
  toObject,
};

function toObject(pod: Pod): ApiObject {
  return {
    apiVersion: API_VERSION,
    kind: "Pod",
    metadata: {
      name: pod.name || podName(pod),
      ...present({ namespace: pod.namespace, creationTimestamp: timestamp(pod.createdAt) }),
    },
    spec: {
      network: pod.network,
      ...present({ nodeName: pod.nodeName }),
      containerId: pod.containerId,
      interfaceName: pod.interfaceName,
    },
    status: { addresses: pod.addresses },
  };
}
