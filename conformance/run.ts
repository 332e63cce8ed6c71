import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { type Check, NotPossible, type Stage, Stopped, Trial } from "./check.ts";
import { CHECKS } from "./checks.ts";
import { type Ipam, PROFILES, type Profile, UPLINK } from "./profiles.ts";
import { Sandbox, type SandboxOptions } from "./sandbox.ts";
import { isObject } from "./shape.ts";
import { VERSIONS, type Version } from "./spec.ts";
import { type CheckReport, type PluginReport, type Report, type VerbTime, worst } from "./verdict.ts";
import { type Subject, World } from "./world.ts";

export interface RunOptions extends SandboxOptions {
  /** Only these plugins; all that have a profile when empty. */
  readonly plugins: readonly string[];
  /** Only these checks, by id; all when empty. */
  readonly checks: readonly string[];
  /** A sample of each check instead of everything. */
  readonly quick: boolean;
  /** How many checks are under way at a time. */
  readonly jobs: number;
  /** Told in a few words what has just ended. */
  readonly progress: (text: string) => void;
}

/** Thrown when the question makes no sense: no such folder, plugin or check. */
export class UsageError extends Error {}

/** Ids and titles of all checks. */
export function listChecks(): readonly Pick<Check, "id" | "title">[] {
  return CHECKS.map(({ id, title }) => ({ id, title }));
}

/**
 * Puts every check to every plugin of the folder, each in namespaces of its own, and tells what was found.
 * @throws UsageError for a folder, a plugin or a check that does not exist, Error when no namespaces can be made
 */
export async function judgeFolder(options: RunOptions): Promise<Report> {
  const executables = listExecutables(options.bin);
  const wanted = options.plugins.length === 0 ? executables : options.plugins;
  for (const name of wanted) {
    if (!executables.includes(name))
      throw new UsageError(
        `${options.bin} holds no executable ${JSON.stringify(name)}; it holds ${executables.join(", ") || "none"}`,
      );
    if (options.plugins.length > 0 && PROFILES[name] === undefined) {
      throw new UsageError(
        `there is no profile for a plugin called ${JSON.stringify(name)}; there are ${Object.keys(PROFILES).join(", ")}`,
      );
    }
  }
  const unknown = options.checks.find((id) => !CHECKS.some((check) => check.id === id));
  if (unknown !== undefined) {
    throw new UsageError(
      `there is no check ${JSON.stringify(unknown)}; there are ${CHECKS.map(({ id }) => id).join(", ")}`,
    );
  }
  await (await Sandbox.open(options))[Symbol.asyncDispose](); // says at once when there can be none
  const run = new Run(options, executables);
  return {
    spec: "1.1.0",
    bin: options.bin,
    kernel: release(),
    quick: options.quick,
    plugins: await run.judgeAll(wanted.filter((name) => PROFILES[name] !== undefined)),
    notJudged: wanted
      .filter((name) => PROFILES[name] === undefined)
      .map((name) => ({ name, reason: "no profile for a plugin of this name" })),
  };
}

function listExecutables(bin: string): string[] {
  let names: string[];
  try {
    names = readdirSync(bin);
  } catch (error) {
    throw new UsageError(`${bin} cannot be read: ${(error as Error).message}`);
  }
  return names.filter((name) => !name.startsWith(".") && isExecutable(join(bin, name))).sort();
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** One run: what is found out once and used by many checks. */
class Run {
  readonly #options: RunOptions;
  readonly #names: ReadonlySet<string>;
  readonly #ipam: Ipam;
  readonly #lacking = new Map<string, Promise<string | undefined>>();

  constructor(options: RunOptions, names: readonly string[]) {
    this.#options = options;
    this.#names = new Set(names);
    this.#ipam = (["host-local", "static"] as const).find((name) => this.#names.has(name));
  }

  async judgeAll(names: readonly string[]): Promise<PluginReport[]> {
    const checks = CHECKS.filter(({ id }) => this.#options.checks.length === 0 || this.#options.checks.includes(id));
    const plugins = await Promise.all(names.map((name) => this.#probe(name)));
    const times = new Map(names.map((name) => [name, new Map<string, number[]>()]));
    const queue = plugins.flatMap((subject) =>
      checks.filter((check) => applies(check, subject)).map((check) => ({ subject, check })),
    );
    const reports = new Map<string, CheckReport[]>(names.map((name) => [name, []]));
    let next = 0;
    const work = async () => {
      for (let job = queue[next++]; job !== undefined; job = queue[next++]) {
        const { subject, check } = job;
        const report = await this.#judge(subject, check, times.get(subject.name) ?? new Map());
        reports.get(subject.name)?.push(report);
        this.#options.progress(`${subject.name}: ${check.id}: ${report.verdict}`);
      }
    };
    await Promise.all(Array.from({ length: this.#options.jobs }, work));
    const order = (a: CheckReport, b: CheckReport) => indexOf(a.id) - indexOf(b.id);
    return plugins.map(({ name, supported }) => ({
      name,
      supportedVersions: supported,
      checks: (reports.get(name) ?? []).sort(order),
      times: Object.fromEntries([...(times.get(name) ?? [])].map(([verb, all]) => [verb, summary(all)])),
    }));
  }

  /** Asks for the versions first: what a plugin does not say to support is not asked of it. */
  async #probe(name: string): Promise<Subject & { readonly supported: readonly string[] }> {
    await using sandbox = await Sandbox.open(this.#options);
    const profile = PROFILES[name] as Profile;
    const subject = { name, bin: this.#options.bin, profile, versions: [...VERSIONS] };
    const world = new World(sandbox, subject, this.#ipam, () => {});
    const answer = await world.call("VERSION", undefined, { cniVersion: "1.0.0" });
    const told = isObject(answer.json) ? answer.json.supportedVersions : undefined;
    const supported = Array.isArray(told) ? told.map(String) : [];
    const versions: readonly Version[] = VERSIONS.filter((version) => supported.includes(version));
    // One that says nothing of use is tried with what everybody has spoken for years.
    return { ...subject, versions: versions.length === 0 ? ["1.0.0"] : versions, supported };
  }

  async #judge(subject: Subject, check: Check, times: Map<string, number[]>): Promise<CheckReport> {
    const begun = performance.now();
    const trial = new Trial(this.#stage(subject, times), check.section);
    let reason = "";
    let ended: "pass" | "impossible" | "error" = "pass";
    try {
      await this.#requirePossible(subject, check);
      await check.run(trial);
    } catch (error) {
      if (error instanceof NotPossible) ended = "impossible";
      else if (!(error instanceof Stopped) || error.message !== "") ended = "error";
      reason = ended === "pass" ? "" : (error as Error).message;
    }
    const { id, title, section } = check;
    const verdict = worst([ended, ...trial.cases.map((each) => each.verdict)]);
    return {
      id,
      title,
      section,
      verdict,
      reason,
      cases: trial.cases,
      milliseconds: Math.round(performance.now() - begun),
    };
  }

  #stage(subject: Subject, times: Map<string, number[]>): Stage {
    return {
      subject,
      names: this.#names,
      ipam: this.#ipam,
      quick: this.#options.quick,
      obstacle: () => this.#obstacle(subject),
      lacking: (profile) => this.#lackingOf(profile),
      world: async (work) => {
        await using sandbox = await Sandbox.open(this.#options);
        const world = new World(sandbox, subject, this.#ipam, (verb, milliseconds) => {
          times.set(verb, [...(times.get(verb) ?? []), milliseconds]);
        });
        await world.prepare();
        return await work(world);
      },
    };
  }

  async #requirePossible(subject: Subject, { attaches }: Check): Promise<void> {
    const obstacle = attaches === true ? await this.#obstacle(subject) : undefined;
    if (obstacle !== undefined) throw new NotPossible(obstacle);
  }

  async #obstacle({ profile }: Subject): Promise<string | undefined> {
    const lacking = await this.#lackingOf(profile);
    if (lacking !== undefined || !profile.takesIpam || this.#ipam !== undefined) return lacking;
    return "the folder holds neither host-local nor static, so there are no addresses to give";
  }

  async #lackingOf(profile: Profile): Promise<string | undefined> {
    for (const { what, probe } of profile.needs ?? []) {
      const known = this.#lacking.get(probe) ?? this.#probeKernel(probe);
      this.#lacking.set(probe, known);
      const said = await known;
      if (said !== undefined) return `this kernel has no ${what}: ${said}`;
    }
    return undefined;
  }

  async #probeKernel(line: string): Promise<string | undefined> {
    await using sandbox = await Sandbox.open({ bin: this.#options.bin });
    const { code, stderr } = await sandbox.run(["sh", "-ec", `${UPLINK}\n${line}`]);
    return code === 0 ? undefined : stderr.trim().split("\n").join("; ");
  }
}

function applies({ roles, since }: Check, { profile, versions }: Subject): boolean {
  return (roles === undefined || roles.includes(profile.role)) && (since === undefined || versions.includes(since));
}

function indexOf(id: string): number {
  return CHECKS.findIndex((check) => check.id === id);
}

function summary(milliseconds: readonly number[]): VerbTime {
  const sorted = milliseconds.toSorted((a, b) => a - b);
  const round = (value: number | undefined) => Math.round((value ?? 0) * 10) / 10;
  return { count: sorted.length, median: round(sorted[Math.floor(sorted.length / 2)]), maximum: round(sorted.at(-1)) };
}
