import type { Ipam, Profile, Role } from "./profiles.ts";
import { errorProblems, isObject } from "./shape.ts";
import { added, type Item, type Snapshot } from "./snapshot.ts";
import type { Level, Section, Verb, Version } from "./spec.ts";
import { VERB_SECTION } from "./spec.ts";
import { type Case, verdictOf } from "./verdict.ts";
import { type Answer, type CallOptions, type Conf, type Container, later, type Subject, type World } from "./world.ts";

/** One question that is put to a plugin. */
export interface Check {
  /** What `--check` takes. */
  readonly id: string;
  readonly title: string;
  readonly section: Section;
  /** All when absent. */
  readonly roles?: readonly Role[];
  /** Makes attachments, so the kernel must have what the plugin is to make. */
  readonly attaches?: true;
  /** Only of plugins that support this version. */
  readonly since?: Version;
  readonly run: (trial: Trial) => Promise<void>;
}

/** Thrown when the rest of a check makes no sense because of what was judged already. */
export class Stopped extends Error {}

/** Thrown when a check cannot be had here, for a reason that lies outside the plugin. */
export class NotPossible extends Error {}

/** What a check gets of the run that it is a part of. */
export interface Stage {
  readonly subject: Subject;
  /** The names of all plugins in the folder. */
  readonly names: ReadonlySet<string>;
  readonly ipam: Ipam;
  /** A sample instead of everything. */
  readonly quick: boolean;
  /** Why the subject can make no attachments here; undefined when it can. */
  readonly obstacle: () => Promise<string | undefined>;
  /** What the kernel has not of what plugins of this profile need; undefined when it has everything. */
  readonly lacking: (profile: Profile) => Promise<string | undefined>;
  /** Opens a world for the subject, gone after the work. */
  readonly world: <T>(work: (world: World) => Promise<T>) => Promise<T>;
}

/** What is told of one thing that was looked at. */
export interface Judgement {
  readonly name: string;
  readonly ok: boolean;
  readonly level: Level;
  /** The check's own when absent. */
  readonly section?: Section;
  /** What was found instead. */
  readonly message: string;
  readonly answer?: Answer | undefined;
}

/** An ADD that succeeded. */
export interface Attached {
  readonly container: Container;
  readonly conf: Conf;
  readonly version: Version;
  readonly result: Readonly<Record<string, unknown>>;
}

const SHOWN_ITEMS = 6;

/** One check of one plugin under way: makes calls, and collects what is judged. */
export class Trial {
  readonly stage: Stage;
  readonly #section: Section;
  readonly #cases = new Map<string, Case>();

  constructor(stage: Stage, section: Section) {
    this.stage = stage;
    this.#section = section;
  }

  get subject(): Subject {
    return this.stage.subject;
  }

  /** In the order in which they were judged first. */
  get cases(): readonly Case[] {
    return [...this.#cases.values()];
  }

  world<T>(work: (world: World) => Promise<T>): Promise<T> {
    return this.stage.world(work);
  }

  /** Judges the case; of several judgements of one name the worst stands. */
  judge({ name, ok, level, section, message, answer }: Judgement): boolean {
    const known = this.#cases.get(name);
    if (known !== undefined && (known.verdict !== "pass" || ok)) return ok;
    this.#cases.set(name, {
      name,
      verdict: verdictOf(ok, level),
      level,
      section: section ?? this.#section,
      message: ok ? "" : message,
      ...(ok || answer === undefined ? {} : { call: answer.call }),
    });
    return ok;
  }

  /** Executes the plugin and judges that the answer has the form of an answer. */
  async call(
    world: World,
    verb: Verb,
    container: Container | undefined,
    conf: Conf,
    options?: CallOptions,
  ): Promise<Answer> {
    const answer = await world.call(verb, container, conf, options);
    this.#judgeForm(verb, answer);
    return answer;
  }

  /** ADD that has to succeed. @throws Stopped when it does not, which is judged */
  async attach(
    world: World,
    container: Container,
    version: Version = world.version,
    more: object = {},
    { name, level }: Pick<Judgement, "name" | "level"> = { name: "ADD", level: "must" },
  ): Promise<Attached> {
    const conf = world.addConf(container, version, more);
    const answer = await this.call(world, "ADD", container, conf);
    const ok = answer.code === 0 && isObject(answer.json);
    this.judge({ name, ok, level, section: "add", message: `ADD failed: ${saying(answer)}`, answer });
    if (!ok) throw new Stopped();
    return { container, conf, version, result: answer.json as Attached["result"] };
  }

  /** DEL with what a runtime gives, or other keys and variables. */
  detach(world: World, { container, conf, version, result }: Attached, options?: CallOptions): Promise<Answer> {
    return this.call(world, "DEL", container, later(conf, result, version), options);
  }

  /** DEL that has to succeed. */
  async detached(world: World, attached: Attached, name = "DEL", level: Level = "must"): Promise<void> {
    const answer = await this.detach(world, attached);
    const ok = answer.code === 0;
    this.judge({ name, ok, level, section: "del", message: `DEL failed: ${saying(answer)}`, answer });
  }

  check(world: World, { container, conf, version, result }: Attached): Promise<Answer> {
    return this.call(world, "CHECK", container, later(conf, result, version));
  }

  /** One container comes and goes, so that what a plugin makes once and keeps is there; none where none can be. */
  async warm(world: World): Promise<void> {
    if ((await this.stage.obstacle()) !== undefined) return;
    await this.detached(world, await this.attach(world, await world.container()));
  }

  /** Judges that nothing is there that was not there before. */
  async leavesNothing(
    world: World,
    before: Snapshot,
    judgement: Pick<Judgement, "name" | "level"> & Partial<Pick<Judgement, "section" | "answer">>,
    containers: readonly Container[] = [],
  ): Promise<boolean> {
    const after = await world.settled(containers, (now) => added(before, now).length === 0);
    const left = added(before, after);
    return this.judge({ ...judgement, ok: left.length === 0, message: `left behind: ${list(left)}` });
  }

  /**
   * Judges an ADD that was to fail: that it did, and that nothing is left of it, which the specification does not ask for. See
   * {@link cleansUp} for what it does.
   */
  async addFails(world: World, container: Container, conf: Conf, options?: CallOptions): Promise<Answer> {
    const before = await world.calm(container);
    const answer = await this.call(world, "ADD", container, conf, options);
    this.judge({ name: "ADD fails", ok: answer.code !== 0, level: "must", section: "add", message: "exit 0", answer });
    await this.leavesNothing(world, before, { name: "nothing is left of an ADD that fails", level: "robust", answer }, [
      container,
    ]);
    return answer;
  }

  /** DEL after an ADD that has failed. */
  async cleansUp(
    world: World,
    before: Snapshot,
    container: Container,
    conf: Conf,
    options?: CallOptions,
  ): Promise<void> {
    const { prevResult: _, ...rest } = conf;
    const answer = await this.call(world, "DEL", container, rest, options);
    const name = "DEL after an ADD that failed";
    this.judge({ name, ok: answer.code === 0, level: "should", section: "del", message: saying(answer), answer });
    await this.leavesNothing(
      world,
      before,
      { name: `${name} leaves nothing`, level: "should", section: "del", answer },
      [container],
    );
  }

  #judgeForm(verb: Verb, answer: Answer): void {
    const section = VERB_SECTION[verb];
    const { code, signal, stdout, overdue } = answer;
    const name = `the form of answers to ${verb}`;
    if (overdue) {
      this.judge({ name, ok: false, level: "must", section, message: `${verb} did not end and was killed`, answer });
      return;
    }
    if (code !== 0) {
      const problems = signal === undefined ? errorProblems(answer.json) : [{ message: `ended by ${signal}` }];
      const message = problems.map((problem) => problem.message).join("; ");
      this.judge({ name, ok: problems.length === 0, level: "should", section: "error", message, answer });
      return;
    }
    const hasAnswer = verb === "ADD" || verb === "VERSION";
    if (hasAnswer) {
      this.judge({
        name,
        ok: isObject(answer.json),
        level: "must",
        section,
        message: "standard output is no JSON object",
        answer,
      });
      return;
    }
    const level = verb === "CHECK" ? "must" : "should";
    this.judge({
      name,
      ok: stdout.trim() === "",
      level,
      section,
      message: `standard output is ${JSON.stringify(stdout.slice(0, 200))}; nothing is to be there`,
      answer,
    });
  }
}

/** What a plugin said when it failed, in one line. */
export function saying({ json, code, signal, overdue, stdout, stderr }: Answer): string {
  if (overdue) return "it did not end and was killed";
  const how = signal ?? `exit ${code}`;
  if (isObject(json) && "msg" in json) return `${how}, code ${json.code}: ${json.msg}`;
  return `${how}: ${(stdout.trim() || stderr.trim() || "no word").slice(0, 300)}`;
}

/** The things in one line, not all when they are many. */
export function list(items: readonly Item[]): string {
  const texts = items.map(({ text }) => text).sort();
  const more = texts.length > SHOWN_ITEMS ? `, and ${texts.length - SHOWN_ITEMS} more` : "";
  return `${texts.slice(0, SHOWN_ITEMS).join(", ")}${more}`;
}

/** The error code of an answer; undefined when it has none. */
export function codeOf({ json }: Answer): number | undefined {
  return isObject(json) && typeof json.code === "number" ? json.code : undefined;
}
