import { PHASES, type Phase } from "../cni/phases.ts";

/** Where the agent keeps the calls of its node, and where `cnictl calls` looks. */
export const JOURNAL_PATH = "/var/lib/podwire/calls";

/** One CNI call as the journal keeps it. What the caller did not say, or could not be read, is undefined. */
export interface Call {
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly plugin: string;
  /** CNI_COMMAND as it was given, which may be none that there is. */
  readonly verb: string;
  readonly network?: string | undefined;
  readonly containerId?: string | undefined;
  readonly ifName?: string | undefined;
  readonly pod?: { readonly namespace: string; readonly name: string } | undefined;
  /** 0, or the code of the CNI error. */
  readonly code: number;
  /** The error's message. */
  readonly message?: string | undefined;
  /** Milliseconds. */
  readonly phases: Readonly<Partial<Record<Phase, number>>>;
  /** Milliseconds from the request to the answer. */
  readonly ms: number;
  /** With prefix length: what an ADD gave. */
  readonly addresses?: readonly string[] | undefined;
}

/** Characters of a message and of any other text, and addresses, that are kept; callers may send anything. */
const LONGEST_MESSAGE = 512;
const LONGEST_WORD = 256;
const MOST_ADDRESSES = 16;
const CUT = "…";

/**
 * The call as one line of JSON, of less than 48 KiB whatever it holds. Times are whole microseconds there: they take half the time
 * to write and less room.
 */
export function encodeCall(call: Call): string {
  const { startedAt, code, ms, pod, message, phases, addresses } = call;
  const times: Partial<Record<Phase, number>> = {};
  for (const phase of PHASES) {
    const time = phases[phase];
    if (time !== undefined) times[phase] = Math.round(time * 1000);
  }
  return JSON.stringify({
    startedAt,
    plugin: cut(call.plugin),
    verb: cut(call.verb),
    network: cut(call.network),
    containerId: cut(call.containerId),
    ifName: cut(call.ifName),
    pod: pod && { namespace: cut(pod.namespace), name: cut(pod.name) },
    code,
    message: cut(message, LONGEST_MESSAGE),
    phases: times,
    us: Math.round(ms * 1000),
    addresses: addresses?.slice(0, MOST_ADDRESSES).map((text) => cut(text)),
  });
}

/** Reads what {@link encodeCall} wrote; undefined when it is something else. Keys that a newer version added are ignored. */
export function decodeCall(text: string): Call | undefined {
  const json = parse(text);
  if (json === undefined) return undefined;
  const { startedAt, plugin, verb, code, us, phases, pod, addresses } = json;
  if (!isTime(startedAt) || !isText(plugin) || !isText(verb) || !isNumber(code) || !isNumber(us)) return undefined;
  return {
    startedAt,
    plugin,
    verb,
    ...optional("network", json.network),
    ...optional("containerId", json.containerId),
    ...optional("ifName", json.ifName),
    ...(isObject(pod) && isText(pod.namespace) && isText(pod.name)
      ? { pod: { namespace: pod.namespace, name: pod.name } }
      : {}),
    code,
    ...optional("message", json.message),
    phases: isObject(phases) ? decodePhases(phases) : {},
    ms: us / 1000,
    ...(Array.isArray(addresses) ? { addresses: addresses.filter(isText) } : {}),
  };
}

function decodePhases(times: Readonly<Record<string, unknown>>): Call["phases"] {
  return Object.fromEntries(
    PHASES.flatMap((phase) => {
      const time = times[phase];
      return isNumber(time) ? [[phase, time / 1000]] : [];
    }),
  );
}

/** No longer than so many UTF-16 units; the mark says that something is missing. */
function cut<T extends string | undefined>(text: T, longest = LONGEST_WORD): T | string {
  return text === undefined || text.length <= longest ? text : text.slice(0, longest - CUT.length) + CUT;
}

function optional<K extends string>(key: K, value: unknown): { [P in K]?: string } {
  return (isText(value) ? { [key]: value } : {}) as { [P in K]?: string };
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return isObject(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** What a Date can hold. */
function isTime(value: unknown): value is number {
  return isNumber(value) && Math.abs(value) <= 8.64e15;
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}
