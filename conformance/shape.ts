import { atLeast, type Level, type Version } from "./spec.ts";

/** What a result is not as the specification has it. */
export interface Problem {
  readonly level: Level;
  readonly message: string;
}

/** `interface` for what main and chained plugins answer, `ipam` for the abbreviated form. */
export type ResultKind = "interface" | "ipam";

interface Key {
  readonly required?: true;
  readonly since?: Version;
  /** The last version that has it. */
  readonly until?: Version;
  /** Not in the abbreviated form. */
  readonly full?: true;
  readonly value: Shape;
}
type Shape =
  | "string"
  | "boolean"
  | "number"
  | "version"
  | "cidr"
  | "address"
  | "mac"
  | "family"
  | "strings"
  | Keys
  | readonly [Keys];
type Keys = { readonly [key: string]: Key };

const DNS: Keys = {
  nameservers: { value: "strings" },
  domain: { value: "string" },
  search: { value: "strings" },
  options: { value: "strings" },
};

const OLD_IP: Keys = {
  ip: { required: true, value: "cidr" },
  gateway: { value: "address" },
  routes: { value: [{ dst: { required: true, value: "cidr" }, gw: { value: "address" } }] },
};

/** 0.1.0 and 0.2.0. */
const OLD: Keys = {
  cniVersion: { required: true, value: "version" },
  ip4: { value: OLD_IP },
  ip6: { value: OLD_IP },
  dns: { value: DNS },
};

/** 0.3.0 to 1.1.0. */
const RICH: Keys = {
  cniVersion: { required: true, value: "version" },
  interfaces: {
    full: true,
    value: [
      {
        name: { required: true, value: "string" },
        mac: { value: "mac" },
        sandbox: { value: "string" },
        mtu: { since: "1.1.0", value: "number" },
        socketPath: { since: "1.1.0", value: "string" },
        pciID: { since: "1.1.0", value: "string" },
      },
    ],
  },
  ips: {
    value: [
      {
        version: { required: true, until: "0.4.0", value: "family" },
        address: { required: true, value: "cidr" },
        gateway: { value: "address" },
        interface: { full: true, value: "number" },
      },
    ],
  },
  routes: {
    value: [
      {
        dst: { required: true, value: "cidr" },
        gw: { value: "address" },
        mtu: { since: "1.1.0", value: "number" },
        advmss: { since: "1.1.0", value: "number" },
        priority: { since: "1.1.0", value: "number" },
        table: { since: "1.1.0", value: "number" },
        scope: { since: "1.1.0", value: "number" },
      },
    ],
  },
  dns: { value: DNS },
};

const IPV4 = String.raw`(?:\d{1,3}\.){3}\d{1,3}`;
const IPV6 = "[0-9a-fA-F:]*:[0-9a-fA-F:.]*";
const PATTERNS = {
  cidr: new RegExp(`^(${IPV4}/\\d{1,2}|${IPV6}/\\d{1,3})$`),
  address: new RegExp(`^(${IPV4}|${IPV6})$`),
  mac: /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i,
  version: /^\d+\.\d+\.\d+$/,
  family: /^[46]$/,
} as const;

/**
 * Compares an answer to ADD with the shape that its version of the specification gives it. A missing key or a wrong type breaks a
 * "must"; a key that this version does not know, a "should".
 */
export function resultProblems(answer: unknown, version: Version, kind: ResultKind): Problem[] {
  const keys = atLeast(version, "0.3.0") ? RICH : OLD;
  const problems = objectProblems(answer, keys, "", { version, kind });
  if (!isObject(answer)) return problems;
  if (answer.cniVersion !== version) {
    problems.push({
      level: "must",
      message: `cniVersion is ${show(answer.cniVersion)}; the configuration has "${version}"`,
    });
  }
  return [...problems, ...indexProblems(answer)];
}

/** An address says which of the interfaces has it by its place in the list. */
function indexProblems(answer: Readonly<Record<string, unknown>>): Problem[] {
  const interfaces = Array.isArray(answer.interfaces) ? answer.interfaces.length : 0;
  const ips = Array.isArray(answer.ips) ? answer.ips : [];
  return ips.flatMap((ip, i) => {
    const index = isObject(ip) ? ip.interface : undefined;
    if (typeof index !== "number" || index < 0 || index < interfaces) return [];
    return [
      { level: "must", message: `ips[${i}].interface is ${index}, but there are ${interfaces} interfaces` } as const,
    ];
  });
}

interface Context {
  readonly version: Version;
  readonly kind: ResultKind;
}

function objectProblems(value: unknown, keys: Keys, path: string, context: Context): Problem[] {
  if (!isObject(value)) return [{ level: "must", message: `${path || "the result"}: ${show(value)} is not an object` }];
  const problems: Problem[] = [];
  for (const [name, key] of Object.entries(keys)) {
    const at = path === "" ? name : `${path}.${name}`;
    const exists = Object.hasOwn(value, name);
    const known = isKnown(key, context);
    if (!exists) {
      if (known && key.required) problems.push({ level: "must", message: `${at} is missing` });
      continue;
    }
    if (known) problems.push(...valueProblems(value[name], key.value, at, context));
    else problems.push({ level: "should", message: `${at} is no key of ${where(key, context)}` });
  }
  for (const name of Object.keys(value)) {
    if (Object.hasOwn(keys, name)) continue;
    problems.push({
      level: "should",
      message: `${path === "" ? name : `${path}.${name}`} is no key of ${context.version}`,
    });
  }
  return problems;
}

function isKnown({ since, until, full }: Key, { version, kind }: Context): boolean {
  if (full === true && kind === "ipam") return false;
  return (since === undefined || atLeast(version, since)) && (until === undefined || atLeast(until, version));
}

function where({ full }: Key, { version, kind }: Context): string {
  return full === true && kind === "ipam" ? "an IPAM plugin's result" : version;
}

function valueProblems(value: unknown, shape: Shape, path: string, context: Context): Problem[] {
  if (Array.isArray(shape)) {
    const [keys] = shape as readonly [Keys];
    if (!Array.isArray(value)) return [{ level: "must", message: `${path}: ${show(value)} is not a list` }];
    return value.flatMap((item, i) => objectProblems(item, keys, `${path}[${i}]`, context));
  }
  if (typeof shape === "object") return objectProblems(value, shape as Keys, path, context);
  if (isValue(value, shape as string)) return [];
  return [{ level: "must", message: `${path}: ${show(value)} is no ${shape}` }];
}

function isValue(value: unknown, shape: string): boolean {
  if (shape === "strings") return Array.isArray(value) && value.every((item) => typeof item === "string");
  if (shape === "number") return Number.isInteger(value);
  if (shape === "string" || shape === "boolean") return typeof value === shape;
  return typeof value === "string" && (PATTERNS[shape as keyof typeof PATTERNS]?.test(value) ?? false);
}

/** What an error lacks: the code and the message alone can be relied on (libcni reads no more). */
export function errorProblems(answer: unknown): Problem[] {
  if (!isObject(answer)) return [{ level: "should", message: "there is no JSON object on standard output" }];
  const problems: Problem[] = [];
  const { code, msg, details } = answer;
  if (typeof code !== "number" || !Number.isInteger(code) || code < 0) {
    problems.push({ level: "should", message: `code: ${show(code)} is no unsigned integer` });
  }
  if (typeof msg !== "string" || msg === "") {
    problems.push({ level: "should", message: `msg: ${show(msg)} is no text` });
  }
  if (details !== undefined && typeof details !== "string") {
    problems.push({ level: "should", message: `details: ${show(details)} is no text` });
  }
  return problems;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value in a message, not all of it when it is long. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
