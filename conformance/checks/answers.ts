import { type Check, codeOf, type Judgement, saying, type Trial } from "../check.ts";
import { type Malformed, malformedInputs } from "../malformed.ts";
import { errorProblems, isObject, show } from "../shape.ts";
import { atLeast, VERSIONS, type Verb } from "../spec.ts";
import { type Answer, type Container, later, type World } from "../world.ts";

/** VERSION tells which versions it speaks, whatever it is asked in. */
export const version: Check = {
  id: "version",
  title: "VERSION tells the supported versions",
  section: "version",
  run: (trial) =>
    trial.world(async (world) => {
      for (const cniVersion of VERSIONS) {
        const answer = await trial.call(world, "VERSION", undefined, { cniVersion });
        judgeVersion(trial, `VERSION of ${cniVersion}`, cniVersion, answer);
      }
      const env = { CNI_CONTAINERID: "dummy", CNI_NETNS: "dummy", CNI_IFNAME: "dummy" };
      const answer = await trial.call(world, "VERSION", undefined, { cniVersion: "1.0.0" }, { env });
      judgeVersion(trial, "VERSION with CNI_NETNS=dummy, as CRI-O does", "1.0.0", answer);
      const future = await trial.call(world, "VERSION", undefined, { cniVersion: "9.9.9" });
      judgeVersion(trial, "VERSION of 9.9.9", undefined, future);
    }),
};

function judgeVersion(trial: Trial, name: string, asked: string | undefined, answer: Answer): void {
  const section = "versionResult";
  const { supportedVersions, cniVersion } = isObject(answer.json) ? answer.json : {};
  const isList = Array.isArray(supportedVersions) && supportedVersions.length > 0;
  const ok = answer.code === 0 && isList && supportedVersions.every((each) => /^\d+\.\d+\.\d+$/.test(String(each)));
  const message = answer.code === 0 ? `supportedVersions is ${show(supportedVersions)}` : saying(answer);
  if (!trial.judge({ name, ok, level: "must", section, message, answer })) return;
  trial.judge({
    name: `${name}: cniVersion`,
    ok: typeof cniVersion === "string",
    level: "must",
    section,
    message: `cniVersion is ${show(cniVersion)}`,
    answer,
  });
  if (asked === undefined) return;
  const told = `cniVersion is ${show(cniVersion)}, not the "${asked}" of the input`;
  trial.judge({
    name: "cniVersion is the input's",
    ok: cniVersion === asked,
    level: "should",
    section,
    message: told,
    answer,
  });
}

/** What an error holds. */
export const errors: Check = {
  id: "error",
  title: "an error is a JSON object with cniVersion, code and msg",
  section: "error",
  run: (trial) =>
    trial.world(async (world) => {
      const version = world.version;
      const container = await world.container();
      const conf = world.addConf(container, version, { name: "" });
      const answer = await trial.call(world, "ADD", container, conf);
      trial.judge({
        name: "exit code",
        ok: answer.code !== 0,
        level: "must",
        section: "errors",
        message: "exit 0",
        answer,
      });
      for (const { level, message } of errorProblems(answer.json)) {
        trial.judge({ name: "code and msg", ok: false, level, message, answer });
      }
      const told = isObject(answer.json) ? answer.json.cniVersion : undefined;
      trial.judge({
        name: "cniVersion",
        ok: told === version,
        level: "should",
        message: `cniVersion is ${show(told)}, not "${version}"`,
        answer,
      });
      const debris = answer.stdout.trim() !== "" && answer.json === undefined;
      trial.judge({
        name: "nothing else on standard output",
        ok: !debris,
        level: "should",
        message: show(answer.stdout),
        answer,
      });
    }),
};

/** Every input that cannot be taken is refused, with the code that the specification has for it, and nothing comes of it. */
export const malformed: Check = {
  id: "malformed",
  title: "malformed inputs are refused with the specification's codes",
  section: "errors",
  run: (trial) =>
    trial.world(async (world) => {
      const rows = malformedInputs(trial.subject.profile, trial.subject.versions);
      const chosen = trial.stage.quick ? rows.filter((_, i) => i % 10 === 0) : rows;
      await trial.warm(world);
      const before = await world.snapshot();
      let container = await world.container();
      for (const row of chosen) {
        await judgeMalformed(trial, world, container, row);
        if (!(await isLeft(world, container))) continue;
        const name = `${row.name}: nothing is left`;
        trial.judge({
          name,
          ok: false,
          level: "robust",
          section: "add",
          message: `the container has ${container.ifName}`,
        });
        await world.call("DEL", container, world.conf(container));
        container = await world.container();
      }
      await world.call("DEL", container, world.conf(container));
      await world.forget();
      const name = "nothing is left of any of them";
      await trial.leavesNothing(world, before, { name, level: "should", section: "del" });
    }),
};

/** Whether an ADD that failed has left its interface behind, at which the next would stumble. */
async function isLeft(world: World, { netnsName, ifName }: Container): Promise<boolean> {
  if (world.subject.profile.role !== "main" || ifName === "lo") return false;
  return (await world.sandbox.run(["ip", "-n", netnsName, "link", "show", ifName])).code === 0;
}

async function judgeMalformed(trial: Trial, world: World, container: Container, row: Malformed): Promise<void> {
  const { name, verb, env = {}, stdin } = row;
  const conf = world.addConf(container, world.version, row.conf);
  const input = stdin === undefined ? conf : stdin(JSON.stringify(conf));
  const of = verb === "GC" || verb === "STATUS" ? undefined : container;
  const answer = await world.call(verb, of, input, { env });
  trial.judge({ name, answer, ...judgeRefusal(row, answer) });
  if (answer.code !== 0 || verb !== "ADD") return;
  // What was taken has to go again, by the same names.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  await world.call("DEL", container, later(conf, answer.json, world.version), { env: given });
}

/** Whether the answer to a malformed input is as it has to be, and what is not. */
export function judgeRefusal(row: Malformed, answer: Answer): Omit<Judgement, "name" | "answer"> {
  const { section, expect, level, codes, codeLevel = level, names } = row;
  if (answer.overdue || answer.signal !== undefined) {
    return { ok: false, level: "must", section, message: saying(answer) };
  }
  if (answer.code === 0) return { ok: expect === "answer", level, section, message: "exit 0: it was taken" };
  const [problem] = errorProblems(answer.json);
  if (problem !== undefined) {
    const message = `${problem.message}: ${saying(answer)}`;
    return { ok: false, level: expect === "answer" ? "robust" : "should", section: "error", message };
  }
  const ofCode = { level: codeLevel, section: "errors" } as const;
  if (expect === "error" && codes !== undefined && !codes.includes(codeOf(answer) ?? -1)) {
    return { ...ofCode, ok: false, message: `not code ${codes.join(" or ")}: ${saying(answer)}` };
  }
  const text = isObject(answer.json) ? `${answer.json.msg} ${answer.json.details ?? ""}` : "";
  if (names !== undefined && !names.test(text)) {
    return {
      ok: false,
      level: "must",
      section: "errors",
      message: `the message does not name the variable: ${saying(answer)}`,
    };
  }
  return { ...ofCode, ok: true, message: "" };
}

/** Verbs that the configuration's version has, and the plugin says to support, work. */
export const verbs: Check = {
  id: "verbs",
  title: "every verb of the supported versions is answered",
  section: "parameters",
  attaches: true,
  run: (trial) =>
    trial.world(async (world) => {
      for (const [verb, since] of [
        ["CHECK", "0.4.0"],
        ["STATUS", "1.1.0"],
        ["GC", "1.1.0"],
      ] as const) {
        if (!atLeast(world.version, since)) continue;
        await judgeVerb(trial, world, verb);
      }
    }),
};

async function judgeVerb(trial: Trial, world: World, verb: Verb): Promise<void> {
  const section = verb === "CHECK" ? "check" : verb === "GC" ? "gc" : "status";
  const attached = await trial.attach(world, await world.container());
  const valid = [{ containerID: attached.container.id, ifname: attached.container.ifName }];
  const keys = { "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid };
  const conf = world.conf(undefined, world.version, verb === "GC" ? keys : {});
  const answer = verb === "CHECK" ? await trial.check(world, attached) : await trial.call(world, verb, undefined, conf);
  trial.judge({ name: verb, ok: answer.code === 0, level: "must", section, message: saying(answer), answer });
  await trial.detached(world, attached);
}
