import { NO_OBJECT, NOT_JSON, STRANGE } from "./not-json.ts";
import type { Profile } from "./profiles.ts";
import type { Level, Section, Verb, Version } from "./spec.ts";

/** A call that is wrong in one thing, made of one that is right. */
export interface Malformed {
  readonly name: string;
  readonly verb: Verb | string;
  /** Changes to the environment; "" takes a variable away. */
  readonly env?: Readonly<Record<string, string>>;
  /** Changes to the configuration; undefined takes a key away. */
  readonly conf?: object;
  /** All of standard input, made of the right configuration's text. */
  readonly stdin?: (conf: string) => string | Uint8Array;
  /** What has to come of it; `answer`: anything that has the form of an answer, for what the specification leaves open. */
  readonly expect: "error" | "answer";
  /** Of the exit code. */
  readonly level: Level;
  /** The codes that the specification gives for it; any when absent. */
  readonly codes?: readonly number[];
  readonly codeLevel?: Level;
  /** What the message must name. */
  readonly names?: RegExp;
  readonly section: Section;
  /** Only of plugins of these roles, or that take `ipam`, or that support the version. */
  readonly roles?: readonly Profile["role"][];
  readonly takesIpam?: true;
  readonly since?: Version;
}

type Rows = readonly Malformed[];

const DECODING = {
  verb: "ADD",
  expect: "error",
  level: "must",
  codes: [6],
  codeLevel: "should",
  section: "errors",
} as const;
const ENVIRONMENT = {
  verb: "ADD",
  expect: "error",
  level: "must",
  codes: [4],
  codeLevel: "must",
  section: "errors",
} as const;
const CONFIGURATION = {
  verb: "ADD",
  expect: "error",
  level: "must",
  codes: [7],
  codeLevel: "should",
  section: "configuration",
} as const;
const WRONG_TYPE = {
  verb: "ADD",
  expect: "error",
  level: "should",
  codes: [6, 7],
  codeLevel: "should",
  section: "configuration",
} as const;
const OPEN = { verb: "ADD", expect: "answer", level: "robust", section: "errors" } as const;

const CONTAINER_ID = /container.?id/i;
const IF_NAME = /if.?name|interface ?name/i;

/** Values that are not of a type, by the word for each. */
const VALUES = { text: "text", number: 7, truth: true, list: [], object: {} } as const;

/** The key with a value of every other type. */
function types(
  key: string,
  right: readonly (keyof typeof VALUES)[],
  row: Pick<Malformed, "expect" | "level"> & Partial<Malformed>,
): Rows {
  const others = Object.entries(VALUES).filter(([type]) => !right.includes(type as keyof typeof VALUES));
  return others.map(([type, value]) => ({
    ...WRONG_TYPE,
    ...row,
    name: `${key} ${article(type)}`,
    conf: { [key]: value },
  }));
}

function article(type: string): string {
  return type === "truth" ? "true" : `${type === "object" ? "an" : "a"} ${type}`;
}

const BAD_NAMES = [
  "a/b",
  "../a",
  "..",
  ".",
  "-a",
  "_a",
  ".a",
  " a",
  "a b",
  "a\tb",
  "a\nb",
  "a:b",
  "a;b",
  "a$b",
  "ä",
  "a\\b",
] as const;
const BAD_IDS = ["a/b", "../a", "-a", "_a", ".a", " a", "a b", "a\nb", "a:b", "a;b", "$(id)", "ä", "a\\b"] as const;
const BAD_IF_NAMES = [
  "sixteen-letters-",
  "a-name-that-is-much-too-long-for-a-link",
  ".",
  "..",
  "a/b",
  "a:b",
  "a b",
  "a\tb",
  "a\nb",
] as const;
const UNKNOWN_VERSIONS = ["0.0.0", "0.9.9", "1.99.0", "2.0.0", "9.9.9"] as const;
const NO_VERSIONS = ["x", "1", "1.0", "1.0.0.0", "v1.0.0", "-1.0.0", "1.0.0 beta", "1..0"] as const;

function standardInput(): Rows {
  return [
    ...Object.entries(NOT_JSON).map(([name, stdin]) => ({ ...DECODING, name: `standard input ${name}`, stdin })),
    ...Object.entries(NO_OBJECT).map(([name, text]) => ({
      ...DECODING,
      name: `standard input is ${name}`,
      stdin: () => text,
    })),
    ...Object.entries(STRANGE).map(([name, stdin]) => ({ ...OPEN, name: `standard input ${name}`, stdin })),
  ];
}

function configuration(): Rows {
  const version = { ...CONFIGURATION, codeLevel: "must" } as const;
  return [
    { ...CONFIGURATION, name: "no name", conf: { name: undefined } },
    { ...CONFIGURATION, name: "name empty", conf: { name: "" } },
    ...types("name", ["text"], { expect: "error", level: "must" }),
    ...BAD_NAMES.map((name) => ({ ...CONFIGURATION, name: `name ${JSON.stringify(name)}`, conf: { name } })),
    ...UNKNOWN_VERSIONS.map((cniVersion) => ({
      ...version,
      codes: [1],
      section: "errors" as const,
      name: `cniVersion "${cniVersion}"`,
      conf: { cniVersion },
    })),
    ...NO_VERSIONS.map((cniVersion) => ({
      ...CONFIGURATION,
      codes: [1, 6, 7],
      name: `cniVersion ${JSON.stringify(cniVersion)}`,
      conf: { cniVersion },
    })),
    ...types("cniVersion", ["text"], { expect: "error", level: "must" }),
    ...types("type", ["text"], OPEN),
    { ...OPEN, name: "no type", conf: { type: undefined } },
    ...types("capabilities", ["object"], OPEN),
    { ...OPEN, name: "a capability that is a text", conf: { capabilities: { mac: "yes" } } },
    ...types("runtimeConfig", ["object"], OPEN),
    ...types("args", ["object"], OPEN),
  ];
}

/** Of plugins whose result has it: others may leave the key. */
function dns(): Rows {
  const rows: Rows = [
    ...types("dns", ["object"], { expect: "error", level: "should" }),
    { ...WRONG_TYPE, name: "dns.nameservers a text", conf: { dns: { nameservers: "192.0.2.53" } } },
    { ...WRONG_TYPE, name: "dns.nameservers of numbers", conf: { dns: { nameservers: [1] } } },
    { ...WRONG_TYPE, name: "dns.domain a number", conf: { dns: { domain: 7 } } },
    { ...WRONG_TYPE, name: "dns.search an object", conf: { dns: { search: {} } } },
    { ...WRONG_TYPE, name: "dns.options a text", conf: { dns: { options: "ndots:5" } } },
  ];
  return rows.map((row) => ({ ...row, roles: ["main"] as const }));
}

function ipam(): Rows {
  const row = { ...WRONG_TYPE, takesIpam: true, section: "delegation" } as const;
  const types = { "a text": "host-local", "a number": 7, "a list": [] } as const;
  const names = ["no-such-plugin", "../bin/sh", "/bin/true", "a/b", ".", ".."] as const;
  return [
    ...Object.entries(types).map(([type, value]) => ({ ...row, name: `ipam ${type}`, conf: { ipam: value } })),
    { ...row, name: "ipam.type a number", conf: { ipam: { type: 7 } } },
    ...names.map((type) => ({
      ...row,
      codes: [5, 6, 7],
      codeLevel: "robust" as const,
      name: `ipam.type "${type}"`,
      conf: { ipam: { type } },
    })),
  ];
}

function environment(): Rows {
  const mainOnly = { roles: ["main"] } as const;
  const netns = {
    ...ENVIRONMENT,
    ...mainOnly,
    level: "must",
    codes: [3, 4, 5, 8],
    codeLevel: "robust",
    section: "parameters",
  } as const;
  const paths = [
    "/run/netns/no-such-namespace",
    "/etc/hostname",
    "/run",
    "/proc/1/ns/mnt",
    "kit1",
    "/dev/null",
  ] as const;
  return [
    { ...ENVIRONMENT, name: "no CNI_CONTAINERID", env: { CNI_CONTAINERID: "" }, names: CONTAINER_ID },
    { ...ENVIRONMENT, name: "no CNI_NETNS", env: { CNI_NETNS: "" }, names: /net.?ns/i },
    { ...ENVIRONMENT, name: "no CNI_IFNAME", env: { CNI_IFNAME: "" }, names: IF_NAME },
    ...BAD_IDS.map((id) => ({
      ...ENVIRONMENT,
      name: `CNI_CONTAINERID ${JSON.stringify(id)}`,
      env: { CNI_CONTAINERID: id },
      names: CONTAINER_ID,
    })),
    ...BAD_IF_NAMES.map((name) => ({
      ...ENVIRONMENT,
      name: `CNI_IFNAME ${JSON.stringify(name)}`,
      env: { CNI_IFNAME: name },
      names: IF_NAME,
    })),
    ...paths.map((path) => ({ ...netns, name: `CNI_NETNS ${path}`, env: { CNI_NETNS: path } })),
    ...["DANCE", "add", "ADD ", "ADD,DEL", "0"].map((verb) => ({
      ...ENVIRONMENT,
      verb,
      name: `CNI_COMMAND ${JSON.stringify(verb)}`,
      names: /command/i,
    })),
    ...["word", "A=1;;B=2", "=1", "A=1;B", ";", "A"].map((args) => ({
      ...OPEN,
      name: `CNI_ARGS ${JSON.stringify(args)}`,
      env: { CNI_ARGS: args },
    })),
    { ...OPEN, name: "CNI_PATH a file", env: { CNI_PATH: "/etc/hostname" } },
    { ...OPEN, name: "CNI_PATH relative", env: { CNI_PATH: "bin" } },
  ];
}

function otherVerbs(): Rows {
  const check = { ...ENVIRONMENT, verb: "CHECK", since: "0.4.0" } as const;
  const version = { ...ENVIRONMENT, expect: "error", codes: [1, 4], codeLevel: "robust" } as const;
  return [
    {
      ...ENVIRONMENT,
      verb: "DEL",
      name: "DEL without CNI_CONTAINERID",
      env: { CNI_CONTAINERID: "" },
      names: CONTAINER_ID,
    },
    { ...ENVIRONMENT, verb: "DEL", name: "DEL without CNI_IFNAME", env: { CNI_IFNAME: "" }, names: IF_NAME },
    { ...DECODING, verb: "DEL", name: "DEL without a configuration", stdin: () => "" },
    { ...check, name: "CHECK without CNI_CONTAINERID", env: { CNI_CONTAINERID: "" }, names: CONTAINER_ID },
    { ...check, name: "CHECK without CNI_NETNS", env: { CNI_NETNS: "" }, names: /net.?ns/i },
    { ...check, name: "CHECK without CNI_IFNAME", env: { CNI_IFNAME: "" }, names: IF_NAME },
    {
      ...version,
      level: "should",
      verb: "CHECK",
      since: "0.4.0",
      name: "CHECK with a configuration of 0.3.1",
      conf: { cniVersion: "0.3.1" },
      section: "check",
    },
    {
      ...version,
      level: "should",
      verb: "STATUS",
      since: "1.1.0",
      name: "STATUS with a configuration of 1.0.0",
      conf: { cniVersion: "1.0.0" },
      section: "status",
    },
    {
      ...version,
      level: "should",
      verb: "GC",
      since: "1.1.0",
      name: "GC with a configuration of 1.0.0",
      conf: { cniVersion: "1.0.0" },
      section: "gc",
    },
    {
      ...ENVIRONMENT,
      codeLevel: "should",
      level: "should",
      verb: "GC",
      since: "1.1.0",
      name: "GC without CNI_PATH",
      env: { CNI_PATH: "" },
      names: /path/i,
    },
    {
      ...WRONG_TYPE,
      verb: "GC",
      since: "1.1.0",
      section: "gc",
      name: "GC with a list that is a text",
      conf: { "cni.dev/valid-attachments": "all" },
    },
    {
      ...WRONG_TYPE,
      verb: "GC",
      since: "1.1.0",
      section: "gc",
      name: "GC with attachments that are texts",
      conf: { "cni.dev/valid-attachments": ["kit1"] },
    },
  ];
}

/** prevResults that are none: a chained plugin has to read it, others may leave it. */
function previous(): Rows {
  const results = {
    "a text": "ok",
    "a number": 7,
    "a list": [],
    "of an unknown version": { cniVersion: "9.9.9" },
    "with ips that are a number": { cniVersion: "1.0.0", ips: 7 },
    "with an address that is a word": { cniVersion: "1.0.0", ips: [{ address: "mine" }] },
    "with interfaces that are an object": { cniVersion: "1.0.0", interfaces: {} },
    "with a route that is a word": { cniVersion: "1.0.0", routes: [{ dst: "away" }] },
  } as const;
  const rows = Object.entries(results).map(([what, prevResult]) => ({
    name: `prevResult ${what}`,
    conf: { cniVersion: "1.0.0", prevResult },
  }));
  const chained = { ...WRONG_TYPE, roles: ["meta"], level: "must", section: "add", codes: [1, 6, 7] } as const;
  return [
    ...rows.map((row) => ({ ...chained, ...row })),
    { ...chained, name: "no prevResult", conf: { prevResult: undefined }, level: "robust", codeLevel: "robust" },
    ...rows.map((row) => ({ ...OPEN, roles: ["main", "ipam"] as const, ...row })),
  ];
}

/** What the plugin of this profile is not to take, each row wrong in one thing. */
export function malformedInputs({ role, takesIpam, wrong }: Profile, versions: readonly Version[]): Rows {
  const own = Object.entries(wrong).map(([name, conf]) => ({
    ...WRONG_TYPE,
    name,
    conf,
    codeLevel: "should" as const,
  }));
  const all: Rows = [
    ...standardInput(),
    ...environment(),
    ...configuration(),
    ...dns(),
    ...ipam(),
    ...otherVerbs(),
    ...previous(),
    ...own,
  ];
  return all.filter(
    (row) =>
      (row.roles === undefined || row.roles.includes(role)) &&
      (row.takesIpam !== true || takesIpam === true) &&
      (row.since === undefined || versions.includes(row.since)),
  );
}
