/**
 * The parts of the CNI specification 1.1.0 that verdicts refer to, by the headings of https://www.cni.dev/docs/spec/, and the
 * conventions beside it.
 */
const SECTIONS = {
  configuration: ["Section 1: Network configuration format", "section-1-network-configuration-format"],
  parameters: ["Section 2: Parameters", "parameters"],
  errors: ["Section 2: Errors", "errors"],
  add: ["Section 2: ADD", "add-add-container-to-network-or-apply-modifications"],
  del: ["Section 2: DEL", "del-remove-container-from-network-or-un-apply-modifications"],
  check: ["Section 2: CHECK", "check-check-containers-networking-is-as-expected"],
  status: ["Section 2: STATUS", "status-check-plugin-status"],
  version: ["Section 2: VERSION", "version-probe-plugin-version-support"],
  gc: ["Section 2: GC", "gc-clean-up-any-stale-resources"],
  lifecycle: ["Section 3: Lifecycle & Ordering", "lifecycle--ordering"],
  delegation: ["Section 4: Plugin Delegation", "section-4-plugin-delegation"],
  result: ["Section 5: ADD Success", "add-success"],
  ipamResult: ["Section 5: Delegated plugins (IPAM)", "delegated-plugins-ipam"],
  versionResult: ["Section 5: VERSION Success", "version-success"],
  error: ["Section 5: Error", "error"],
} as const satisfies Record<string, readonly [title: string, anchor: string]>;

/** A place in the specification. */
export type Section = keyof typeof SECTIONS;

/** The heading, as in `Section 2: ADD`. */
export function sectionTitle(section: Section): string {
  return SECTIONS[section][0];
}

/** The address of the heading. */
export function sectionLink(section: Section): string {
  return `https://www.cni.dev/docs/spec/#${SECTIONS[section][1]}`;
}

/**
 * How much the specification asks for something: `must` and `should` as in RFC 2119; `robust` is what it leaves open and
 * operators pay for.
 */
export type Level = "must" | "should" | "robust";

/** Every version of the specification, oldest first. */
export const VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export type Version = (typeof VERSIONS)[number];

/** Whether the version is the given one or newer. */
export function atLeast(version: Version, minimum: Version): boolean {
  return VERSIONS.indexOf(version) >= VERSIONS.indexOf(minimum);
}

export type Verb = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION";

/** The verb's own place in the specification. */
export const VERB_SECTION = {
  ADD: "add",
  DEL: "del",
  CHECK: "check",
  GC: "gc",
  STATUS: "status",
  VERSION: "version",
} as const satisfies Record<Verb, Section>;
