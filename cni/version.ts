import { CniError, Code } from "./error.ts";

/** The protocol versions we speak, oldest first. */
export const VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export type Version = (typeof VERSIONS)[number];

export const NEWEST: Version = "1.1.0";
/** What a configuration without `cniVersion` means, as the reference library decodes it. */
export const OLDEST: Version = "0.1.0";

export type Command = "ADD" | "CHECK" | "DEL" | "GC" | "STATUS" | "VERSION";

const INTRODUCED: Partial<Record<Command, Version>> = { CHECK: "0.4.0", GC: "1.1.0", STATUS: "1.1.0" };

/** Whether the text is one of {@link VERSIONS}. */
export function isVersion(text: string): text is Version {
  return (VERSIONS as readonly string[]).includes(text);
}

/**
 * The version named by `cniVersion`; an absent or empty one is 0.1.0.
 * @throws CniError 1 that names the supported versions.
 */
export function parseVersion(text: string | undefined): Version {
  if (text === undefined || text === "") return OLDEST;
  if (isVersion(text)) return text;
  throw new CniError(
    Code.incompatibleVersion,
    `cniVersion ${JSON.stringify(text)} is not supported; use one of ${VERSIONS.join(", ")}`,
  );
}

/** Orders versions, for `sort`. */
export function compareVersions(a: Version, b: Version): number {
  return VERSIONS.indexOf(a) - VERSIONS.indexOf(b);
}

/** Whether the version is the given one or newer. */
export function atLeast(version: Version, minimum: Version): boolean {
  return compareVersions(version, minimum) >= 0;
}

/** Whether a result of this version can hold more than one address of a family. */
export function allowsSeveralAddresses(version: Version): boolean {
  return atLeast(version, "0.3.0");
}

/**
 * Refuses a command that the configuration's version does not have yet.
 * @throws CniError 1
 */
export function requireCommand(command: Command, version: Version): void {
  const introduced = INTRODUCED[command];
  if (introduced === undefined || atLeast(version, introduced)) return;
  throw new CniError(
    Code.incompatibleVersion,
    `cniVersion "${version}" does not allow ${command}; it needs "${introduced}" or newer`,
  );
}

export interface VersionAnswer {
  readonly cniVersion: string;
  readonly supportedVersions: readonly string[];
}

/** The answer to VERSION: echoes the caller's version when it gave one. */
export function versionAnswer(given: string | undefined): VersionAnswer {
  return { cniVersion: given === undefined || given === "" ? NEWEST : given, supportedVersions: VERSIONS };
}
