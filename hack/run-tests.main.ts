import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { bundleEach } from "./bundle-tests.ts";

/**
 * Runs test files, some at a time, each as a plain Node program: `run-tests.main.ts --out RESULTS.tap FILE.test.ts ...`.
 * Prints a line a file as they end, and what a failed one said on stderr; writes the whole TAP. Exits with 1 when one
 * failed. tap's own runner loads itself into every program of Node.js that a test starts, which is most of what a
 * call of a plugin costs; and every file would be translated anew.
 */
const { values, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { jobs: { type: "string", default: "2" }, out: { type: "string", default: ".tap/results.tap" } },
});
/** For hangs only: a slow machine must not fail a test. */
const LIMIT_MS = 1_500_000;
/** The longest tests are among these; what is short fills the gap at the end. */
const FIRST = [/^test\/cluster\//, /^test\/netns\//];

interface Outcome {
  readonly file: string;
  readonly ok: boolean;
  readonly ms: number;
  readonly tap: string;
  readonly stderr: string;
}

const running = new Set<ChildProcess>();

function rank(file: string): number {
  const place = FIRST.findIndex((pattern) => pattern.test(file));
  return place === -1 ? FIRST.length : place;
}

async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream.setEncoding("utf8")) text += chunk;
  return text;
}

async function run(file: string, program: string): Promise<Outcome> {
  const start = performance.now();
  const child = spawn(process.execPath, ["--enable-source-maps", program], {
    env: { ...process.env, TAP: "1", TAP_TIMEOUT: String(LIMIT_MS / 1000) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
  const ended = new Promise<boolean>((resolve) => child.once("close", (code) => resolve(code === 0)));
  const [tap, stderr, ok] = await Promise.all([collect(child.stdout), collect(child.stderr), ended]);
  clearTimeout(limit);
  running.delete(child);
  return { file, ok, ms: performance.now() - start, tap, stderr };
}

function line({ file, ok, ms }: Outcome, number: number): string {
  return `${ok ? "ok" : "not ok"} ${number} - ${file} # time=${ms.toFixed(0)}ms`;
}

const folder = values.out.replace(/\.tap$/, "");
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const order = files.toSorted((a, b) => rank(a) - rank(b));
const programs = await bundleEach(order, folder);
const waiting = order.map((file, index) => ({ file, program: programs[index] ?? "" }));
const done: Outcome[] = [];

async function work(): Promise<void> {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const outcome = await run(next.file, next.program);
    done.push(outcome);
    console.log(line(outcome, done.length));
    if (!outcome.ok) console.log(outcome.stderr.replace(/^/gm, "    # "));
  }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    for (const child of running) child.kill(signal);
    process.exit(1);
  });
}
await Promise.all(Array.from({ length: Number(values.jobs) }, work));
const results = done.map((outcome, index) =>
  [`# Subtest: ${outcome.file}`, outcome.tap.trimEnd().replace(/^/gm, "    "), line(outcome, index + 1)].join("\n"),
);
writeFileSync(values.out, `TAP version 14\n1..${done.length}\n${results.join("\n\n")}\n`);
process.exitCode = done.every(({ ok }) => ok) ? 0 : 1;
