import { once } from "node:events";
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import t from "tap";
import type { Call } from "../journal/call.ts";
import { type CallsOptions, calls } from "./calls.ts";
import { ExitCode } from "./exit.ts";
import { runProgram } from "./program.ts";
import { fakeContext, NOW } from "./testdata/cluster.ts";
import { hostile, journalled, writeJournal } from "./testdata/journal.ts";
import { cnictl, startCnictl, stop } from "./testdata/live.ts";

const USUAL = { output: "table", headers: true, limit: 50 };
/** Nobody listens there. */
const NO_CONTROLLER = "127.0.0.1:1";

const file = join(t.testdir({}), "calls");
writeJournal(file);

/** What is printed, and remarked. */
async function show(
  pod: string | undefined,
  options: Partial<CallsOptions> = {},
): Promise<{ out: string; err: string }> {
  const context = fakeContext();
  t.equal(await calls(context, pod, { ...USUAL, file, ...options }), ExitCode.ok);
  return { out: context.printed, err: context.noted };
}

/** The verbs and times of the calls that are shown. */
async function shown(pod: string | undefined, options: Partial<CallsOptions> = {}): Promise<string[]> {
  const { out } = await show(pod, { ...options, output: "json" });
  const { items } = JSON.parse(out) as { items: { spec: { verb: string; startedAt: string } }[] };
  return items.map(({ spec }) => `${spec.verb} ${(NOW - Date.parse(spec.startedAt)) / 1000}`);
}

for (const [golden, output] of [
  ["calls.txt", "table"],
  ["calls-wide.txt", "wide"],
  ["calls.yaml", "yaml"],
  ["calls-names.txt", "name"],
] as const) {
  t.test(`${golden} is what is printed`, async (t) => {
    const { out, err } = await show(undefined, { output });
    t.equal(out + err, readFileSync(join(import.meta.dirname, "testdata", golden), "utf8"));
  });
}

t.test("a pod is named by its name, with or without its namespace, or by its container's id", async (t) => {
  const web = ["DEL 5", "ADD 14400"];
  for (const name of ["web-0", "shop/web-0", "4f2d0c", journalled[0]?.containerId ?? ""]) {
    t.strictSame(await shown(name), web, name);
  }
  t.strictSame(await shown("9e8d7c6b5a40"), ["DEL 40", "ADD 300"]);
  for (const name of ["web", "other/web-0", "shop/", "4f2d0", "2d0c8e7a1b", ""]) {
    await t.rejects(shown(name), {
      message: new RegExp(`^error: no call for "${name}" in ${file}; `),
      exitCode: ExitCode.failure,
    });
  }
});

t.test("filters go together, and a pod that is known but filtered out is no error", async (t) => {
  t.strictSame(await shown(undefined, { failed: true }), ["ADD 300"]);
  t.strictSame(await shown(undefined, { verb: "DEL" }), ["DEL 5", "DEL 40"]);
  t.strictSame(await shown(undefined, { since: 300_000 }), ["DEL 5", "DEL 40", "ADD 300"]);
  t.strictSame(await shown("web-0", { since: 300_000, verb: "DEL" }), ["DEL 5"]);
  t.strictSame(await show("web-0", { failed: true }), { out: "", err: "No calls found.\n" });
  t.strictSame(await shown("web-0", { failed: true }), []);
});

t.test("of more than the limit the newest are shown, and people are told", async (t) => {
  t.strictSame(await shown(undefined, { limit: 2 }), ["DEL 5", "DEL 40"]);
  t.equal((await show(undefined, { limit: 4 })).err, "There are older ones: --limit 0 shows all.\n");
  t.equal((await show(undefined, { limit: 4, output: "json" })).err, "");
  t.equal((await show(undefined, { limit: 5 })).err, "");
  t.equal((await shown(undefined, { limit: 0 })).length, 5);
});

t.test("hostile texts stay on their line and escaped, in every format", async (t) => {
  const path = join(t.testdir({}), "calls");
  writeJournal(path, [hostile]);
  for (const output of ["table", "wide", "json", "yaml", "name"]) {
    const { out } = await show(undefined, { output, file: path });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be printed
    t.notMatch(out, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/, output);
    if (output === "table" || output === "wide") t.equal(out.split("\n").length, 3, `${output}: a title and a row`);
    if (output === "name") t.equal(out.split("\n").length, 2, out);
  }
});

t.test("no journal, one that may not be read, and a file that is none are sentences", async (t) => {
  const dir = t.testdir({ text: "hello" });
  const path = join(dir, "calls");
  const failing = async (file: string, expected: RegExp) =>
    t.rejects(show(undefined, { file }), { message: expected, exitCode: ExitCode.failure });
  await failing(
    path,
    new RegExp(`^error: there is no call journal at ${path}; podwire-agent writes it on each node: `),
  );
  await failing(dir, /^error: cannot read the call journal: ENOTSUP: .* is not a regular file$/);
  t.strictSame(await show(undefined, { file: join(dir, "text") }), { out: "", err: "No calls found.\n" });
  writeFileSync(path, "");
  chmodSync(path, 0);
  if (process.getuid?.() === 0) t.comment("root may read all");
  else await failing(path, /EACCES.*; only root may read it$/);
});

t.test("the command line: verbs in any case, times, and what is wrong", async (t) => {
  const run = async (...words: string[]) => {
    const context = fakeContext();
    const code = await runProgram(["calls", "--file", file, ...words], {
      ...context,
      defaultServer: NO_CONTROLLER,
      out: (text) => context.out(text),
      note: (text) => context.note(text),
    });
    return { code, out: context.printed, err: context.noted };
  };
  t.match(await run("web-0", "--verb", "add", "--since", "5h", "--no-headers"), {
    code: 0,
    out: /^4h +shop\/web-0 +ADD .*\n$/,
  });
  t.match(await run("--failed", "--limit", "0", "-o", "wide"), { code: 0, out: /^AGE .* PHASES\n5m .*\n$/ });
  t.match(await run("--verb", "PUT"), { code: 1, err: /PUT.*ADD, DEL, CHECK, GC, STATUS, VERSION/ });
  t.match(await run("--since", "yesterday"), { code: 1, err: /"yesterday" is not a time/ });
  t.match(await run("--limit", "-1"), { code: 1, err: /--limit/ });
  t.match(await run("nobody"), { code: 1, out: "", err: /^error: no call for "nobody"/ });
});

t.test("it needs no controller, and a watch shows calls as they come, from before the journal was there", async (t) => {
  t.match(await cnictl(NO_CONTROLLER, "calls", "web-0", "--file", file), {
    code: 0,
    err: "",
    out: /^AGE[^\n]*\n\S+ +shop\/web-0 +DEL/,
  });
  const path = join(t.testdir({}), "calls");
  const watching = startCnictl(NO_CONTROLLER, "calls", "-w", "--failed", "--since", "1h", "--file", path);
  t.teardown(() => stop(watching));
  if (watching.stdout === null || watching.stderr === null) throw new Error("both are pipes");
  const lines = createInterface({ input: watching.stdout })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value as string;
  const [noted] = await once(watching.stderr.setEncoding("utf8"), "data");
  t.equal(noted, `There is no call journal at ${path} yet; waiting.\n`);
  const failed = (message: string): Call => ({
    startedAt: Date.now(),
    plugin: "bridge",
    verb: "ADD",
    code: 7,
    message,
    phases: {},
    ms: 1,
  });
  writeJournal(path, [...journalled, failed("one")]);
  t.match(await next(), /^AGE +POD +VERB +PLUGIN +RESULT +MS$/);
  t.match(await next(), / 7 one /);
  writeJournal(path, [...journalled, failed("two"), failed("three")]);
  t.match(await next(), / 7 two /);
  t.match(await next(), / 7 three /);
  rmSync(path);
  writeJournal(path, [failed("four")]);
  t.match(await next(), / 7 four /);
});

t.test("a watch begins with the newest of what is there, and as JSON prints one object a call", async (t) => {
  const watching = startCnictl(NO_CONTROLLER, "calls", "-w", "--limit", "1", "-o", "json", "--file", file);
  t.teardown(() => stop(watching));
  if (watching.stdout === null) throw new Error("stdout is a pipe");
  let text = "";
  for await (const line of createInterface({ input: watching.stdout })) {
    text += line;
    if (line === "}") break;
  }
  t.match(JSON.parse(text), {
    kind: "Call",
    metadata: { name: "5" },
    spec: { verb: "DEL", pod: { name: "web-0" } },
    status: { code: 0, milliseconds: 2.3, phases: { link: 1.4 } },
  });
});

t.test("a watch of a folder that is not there is an error, and says where it looked", async (t) => {
  const path = join(t.testdir({}), "nowhere/calls");
  t.match(await cnictl(NO_CONTROLLER, "calls", "-w", "--file", path), {
    code: 1,
    out: "",
    err: new RegExp(`^error: there is no call journal at ${path}; `),
  });
});
