import type { Level, Section, Version } from "./spec.ts";

/**
 * `fail` breaks a "must", `warn` a "should", `note` is no matter of the specification; `impossible` was not tried, for a reason that
 * lies outside the plugin; `error` is a failure of the kit itself.
 */
export type Verdict = "pass" | "fail" | "warn" | "note" | "impossible" | "error";

/** From the best to the worst: a check is as bad as its worst case. */
export const VERDICTS = ["pass", "impossible", "note", "warn", "fail", "error"] as const satisfies readonly Verdict[];

/** One execution of a plugin, told so that anybody can repeat it. */
export interface Call {
  readonly plugin: string;
  /** `CNI_*` alone. */
  readonly env: Readonly<Record<string, string>>;
  /** The beginning of it when it is long. */
  readonly stdin: string;
  /** The exit code, or the signal that ended it. */
  readonly exit: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** One thing that was looked at. */
export interface Case {
  readonly name: string;
  readonly verdict: Verdict;
  readonly level: Level;
  readonly section: Section;
  /** What was found instead; empty when it passed. */
  readonly message: string;
  readonly call?: Call;
}

/** What one check found in one plugin. */
export interface CheckReport {
  readonly id: string;
  readonly title: string;
  readonly section: Section;
  readonly verdict: Verdict;
  /** Why it was impossible, or went wrong. */
  readonly reason: string;
  readonly cases: readonly Case[];
  readonly milliseconds: number;
}

/** How long executions of one verb took, in milliseconds, with entering the namespaces (some 2 ms). */
export interface VerbTime {
  readonly count: number;
  readonly median: number;
  readonly maximum: number;
}

export interface PluginReport {
  readonly name: string;
  readonly supportedVersions: readonly string[];
  readonly checks: readonly CheckReport[];
  readonly times: Readonly<Record<string, VerbTime>>;
}

export interface Report {
  /** Of the specification that is judged by. */
  readonly spec: Version;
  readonly bin: string;
  readonly kernel: string;
  readonly quick: boolean;
  readonly plugins: readonly PluginReport[];
  readonly notJudged: readonly { readonly name: string; readonly reason: string }[];
}

/** What breaking this level amounts to. */
export function verdictOf(ok: boolean, level: Level): Verdict {
  if (ok) return "pass";
  return level === "must" ? "fail" : level === "should" ? "warn" : "note";
}

/** The worst of them; `pass` when there are none. */
export function worst(verdicts: readonly Verdict[]): Verdict {
  return verdicts.reduce<Verdict>((bad, each) => (VERDICTS.indexOf(each) > VERDICTS.indexOf(bad) ? each : bad), "pass");
}
