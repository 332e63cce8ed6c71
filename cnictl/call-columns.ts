import type { Call } from "../journal/call.ts";
import type { JournalEntry } from "../journal/reader.ts";
import { formatAge, timestamp } from "./age.ts";
import { SHORT_ID } from "./resources/pod.ts";
import { API_VERSION, type ApiObject, present } from "./resources/resource.ts";
import type { Column } from "./table.ts";

/** How much of an error's message a table shows, in characters; all of it with `-o wide`. */
const SHORT_MESSAGE = 60;
/** So much of a container's id is enough to name it: shorter ones would often be names of pods as well. */
const SHORTEST_ID = 6;
/** Phases below this, in milliseconds, would be shown as 0.0. */
const SHORTEST_PHASE = 0.05;

const COLUMNS: readonly Column<Call>[] = [
  { title: "AGE", ticking: true, cell: ({ startedAt }, now) => formatAge(startedAt, now) },
  { title: "POD", cell: podOf },
  { title: "VERB", cell: ({ verb }) => verb },
  { title: "PLUGIN", cell: ({ plugin }) => plugin },
  { title: "RESULT", cell: (call) => short(result(call)) },
  { title: "MS", cell: ({ ms }) => formatMilliseconds(ms) },
];

const WIDE: readonly Column<Call>[] = [
  ...COLUMNS.map((column) => (column.title === "RESULT" ? { ...column, cell: result } : column)),
  { title: "NETWORK", cell: ({ network = "" }) => network },
  { title: "CONTAINER", cell: ({ containerId = "" }) => containerId },
  { title: "INTERFACE", cell: ({ ifName = "" }) => ifName },
  { title: "ADDRESSES", cell: ({ addresses = [] }) => addresses.join(",") },
  { title: "PHASES", cell: phases },
];

export function callColumns(wide: boolean): readonly Column<Call>[] {
  return wide ? WIDE : COLUMNS;
}

/** `namespace/name` where the runtime said so, else the start of the container's id, "" for a call that concerns no pod. */
export function podOf({ pod, containerId = "" }: Call): string {
  return pod === undefined ? containerId.slice(0, SHORT_ID) : `${pod.namespace}/${pod.name}`;
}

/** Whether that is the pod's name, with or without its namespace, or what its container's id begins with. */
export function concernsPod({ pod, containerId = "" }: Call, name: string): boolean {
  if (pod !== undefined && (pod.name === name || `${pod.namespace}/${pod.name}` === name)) return true;
  if (name.length < SHORTEST_ID) return name !== "" && containerId === name;
  return containerId.startsWith(name);
}

export function callObject({ sequence, call }: JournalEntry): ApiObject {
  const { startedAt, pod, code, ms } = call;
  return {
    apiVersion: API_VERSION,
    kind: "Call",
    metadata: { name: String(sequence), ...present({ creationTimestamp: timestamp(startedAt) }) },
    spec: {
      startedAt: new Date(startedAt).toISOString(),
      plugin: call.plugin,
      verb: call.verb,
      ...present({ network: call.network, containerId: call.containerId, interfaceName: call.ifName, pod }),
    },
    status: {
      code,
      ...present({ message: call.message, addresses: call.addresses }),
      milliseconds: ms,
      phases: call.phases,
    },
  };
}

function result({ code, message = "" }: Call): string {
  return code === 0 ? "ok" : `${code} ${message}`.trimEnd();
}

function short(text: string): string {
  const chars = [...text];
  return chars.length <= SHORT_MESSAGE ? text : `${chars.slice(0, SHORT_MESSAGE - 1).join("")}…`;
}

function phases(call: Call): string {
  const long = Object.entries(call.phases).filter(([, time]) => time >= SHORTEST_PHASE);
  return long.map(([phase, time]) => `${phase} ${formatMilliseconds(time)}`).join(" ");
}

function formatMilliseconds(time: number): string {
  return time < 100 ? time.toFixed(1) : String(Math.round(time));
}
