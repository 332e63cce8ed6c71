import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { judgeFolder, type RunOptions } from "../../conformance/run.ts";
import type { Case, Report, Verdict } from "../../conformance/verdict.ts";
import { PLUGIN_NAMES } from "../../plugins/names.ts";
import { run } from "./harness/exec.ts";
import { BIN } from "./harness/node.ts";

const LONG = process.env.PODWIRE_TEST_LONG === "1";
/** Plugins that are known to keep to the specification where these tests look. */
const REFERENCE = "/usr/lib/cni";

function judge(bin: string, options: Partial<RunOptions> = {}): Promise<Report> {
  return judgeFolder({ bin, plugins: [], checks: [], quick: true, jobs: 2, progress: () => {}, ...options });
}

/** All that did not pass, a line each. */
function told(report: Report, verdicts: readonly Verdict[] = ["fail", "warn", "note", "error"]): string[] {
  return report.plugins.flatMap(({ name, checks }) =>
    checks.flatMap(({ id, verdict, reason, cases }) => {
      const bad = cases.filter((each) => verdicts.includes(each.verdict));
      const lines = bad.map((each) => `${name} ${id}: ${each.verdict}: ${each.name}: ${each.message}`);
      return verdict === "error" ? [`${name} ${id}: ${reason}`, ...lines] : lines;
    }),
  );
}

/** A folder with one plugin, the reference's in a script that spoils it. */
function spoiled(t: Test, script: string): string {
  const bin = t.testdir({});
  const file = join(bin, "host-local");
  writeFileSync(file, `#!/bin/sh\nreal=${REFERENCE}/host-local\n${script}\nexec $real\n`);
  chmodSync(file, 0o755);
  return bin;
}

/** What a plugin does wrong, the check that has to notice, and what that has to say. */
const SPOILED: readonly [what: string, script: string, check: string, name: RegExp, message: RegExp][] = [
  [
    "prints a word before its result",
    "[ $CNI_COMMAND = ADD ] && echo hello",
    "result",
    /form of answers to ADD/,
    /no JSON object/,
  ],
  [
    "prints a result of DEL",
    "[ $CNI_COMMAND = DEL ] && echo '{}'",
    "leaks",
    /form of answers to DEL/,
    /nothing is to be there/,
  ],
  [
    "leaves a link behind",
    "[ $CNI_COMMAND = ADD ] && ip link add leak$$ type bridge",
    "leaks",
    /nothing is left/,
    /left behind: link leak\d+/,
  ],
  [
    "leaves a file behind",
    "[ $CNI_COMMAND = DEL ] && touch /var/lib/cni/$$",
    "leaks",
    /nothing is left/,
    /left behind: file \/var\/lib\/cni/,
  ],
  [
    "leaves a rule behind",
    "[ $CNI_COMMAND = ADD ] && nft add table inet leak$$",
    "leaks",
    /nothing is left/,
    /left behind: ruleset: table inet leak/,
  ],
  [
    "leaves a process behind",
    "[ $CNI_COMMAND = ADD ] && { sleep 1000 </dev/null >/dev/null 2>&1 & }",
    "leaks",
    /nothing is left/,
    /left behind: process sleep/,
  ],
  [
    "takes another's address away",
    "[ $CNI_COMMAND = DEL ] && rm -f /var/lib/cni/networks/kit-net/10*",
    "leaks",
    /nothing of others is gone/,
    /gone: file/,
  ],
  [
    "fails a second DEL",
    "[ $CNI_COMMAND = DEL ] && ! grep -qr $CNI_CONTAINERID /var/lib/cni && exit 1",
    "del-incomplete",
    /^DEL twice$/,
    /DEL failed/,
  ],
  [
    "needs the namespace for DEL",
    '[ $CNI_COMMAND = DEL ] && ! [ -e "$CNI_NETNS" ] && exit 1',
    "del-incomplete",
    /^DEL without CNI_NETNS$/,
    /DEL failed/,
  ],
  [
    "gives everybody the same address",
    '[ $CNI_COMMAND = ADD ] && { cat >/dev/null; echo \'{"cniVersion":"1.0.0","ips":[{"address":"10.88.0.2/16"}]}\'; exit 0; }',
    "parallel",
    /^unique addresses$/,
    /10\.88\.0\.2/,
  ],
  [
    "takes any configuration",
    '[ $CNI_COMMAND = ADD ] && { cat >/dev/null; echo \'{"cniVersion":"1.0.0"}\'; exit 0; }',
    "malformed",
    /^standard input empty$/,
    /it was taken/,
  ],
  [
    "answers with a code of its own",
    '[ $CNI_COMMAND = ADD ] && { cat >/dev/null; echo \'{"code":99,"msg":"no"}\'; exit 1; }',
    "malformed",
    /^standard input empty$/,
    /not code 6/,
  ],
  ["says nothing about an error", "[ $CNI_COMMAND = ADD ] && exit 3", "error", /code and msg/, /no JSON object/],
  ["does not check", "[ $CNI_COMMAND = CHECK ] && exit 0", "check-damaged", /^without the reservation/, /exit 0 after/],
  ["finds fault with everything", "[ $CNI_COMMAND = CHECK ] && exit 1", "check", /^right after ADD$/, /CHECK failed/],
  [
    "supports no version",
    "[ $CNI_COMMAND = VERSION ] && { echo '{\"supportedVersions\":[]}'; exit 0; }",
    "version",
    /^VERSION of 1\.0\.0$/,
    /supportedVersions is \[\]/,
  ],
];

t.test("the kit notices what a plugin does wrong", async (t) => {
  const short = SPOILED.filter((_, i) => LONG || i % 3 === 0);
  for (const [what, script, check, name, message] of short) {
    const report = await judge(spoiled(t, script), { checks: [check] });
    const found = report.plugins[0]?.checks[0]?.cases.find(
      (each: Case) => name.test(each.name) && each.verdict !== "pass",
    );
    t.match(found?.message, message, `${what}\n${told(report).join("\n")}`);
  }
});

t.test("a killed run leaves no process, and a plugin that hangs is killed", async (t) => {
  const bin = spoiled(t, "[ $CNI_COMMAND = ADD ] && kill -KILL $$");
  const report = await judge(bin, { checks: ["leaks"] });
  t.match(told(report), [
    /form of answers to ADD: ended by SIGKILL/,
    /host-local leaks: fail: ADD: ADD failed: SIGKILL/,
  ]);
});

t.test("our plugins keep to the specification", async (t) => {
  const checks = LONG ? [] : ["error", "result-truth", "leaks", "check"];
  const report = await judge(BIN, { checks, quick: !LONG });
  t.strictSame(told(report, ["fail", "warn", "error"]), []);
  const judged = report.plugins.map(({ name }) => name);
  const unjudged = ["dhcp", "vxlan-overlay", "gre-overlay"]; // have no profile
  t.strictSame(
    PLUGIN_NAMES.filter((name) => !judged.includes(name) && !unjudged.includes(name)),
    [],
    "all were judged",
  );
});

if (LONG) {
  t.test("our plugins keep to the specification by way of the agent", async (t) => {
    const daemon = `PODWIRE_REHEARSE=0 ${BIN}/podwire-agent --controller=127.0.0.1:1 --health-listen=`;
    const report = await judge(BIN, { daemon, ready: "/run/podwire/cni.sock" });
    t.strictSame(told(report, ["fail", "warn", "error"]), []);
  });
}

t.test("cnictl conformance: exit codes, JSON and JUnit", async (t) => {
  const bin = spoiled(t, "[ $CNI_COMMAND = VERSION ] && { echo no; exit 0; }");
  const cnictl = (...words: string[]) => run([`${BIN}/cnictl`, "conformance", ...words]);
  const failed = await cnictl("--bin", bin, "--check", "version", "--json");
  t.equal(failed.code, 1, failed.stderr);
  const { plugins, summary } = JSON.parse(failed.stdout);
  t.match(plugins, [{ name: "host-local", checks: [{ id: "version", verdict: "fail", link: /#version-probe/ }] }]);
  t.match(summary, { fail: 1, pass: 0 });
  const passed = await cnictl("--bin", REFERENCE, "--plugin", "host-local", "--check", "leaks", "-o", "junit");
  t.match(passed, {
    code: 0,
    stdout: /<testsuite name="host-local" tests="1" failures="0"/,
    stderr: /host-local: leaks: pass/,
  });
  for (const words of [
    [],
    ["--bin", "/nonexistent"],
    ["--bin", bin, "--plugin", "bridge"],
    ["--bin", bin, "--check", "x"],
    ["--nonsense"],
  ]) {
    t.match(await cnictl(...words), { code: 2, stdout: "", stderr: /^error: / }, words.join(" "));
  }
});
