import t from "tap";
import { hasFailed, renderJson, renderJunit, renderTable, shellLine } from "./report.ts";
import type { Case, CheckReport, Report, Verdict } from "./verdict.ts";

const CALL = {
  plugin: "a",
  env: { CNI_COMMAND: "ADD", CNI_ARGS: "A=it's" },
  stdin: '{"name":"n"}',
  exit: 1,
  stdout: "",
  stderr: "",
};

function check(verdict: Verdict, level: Case["level"]): CheckReport {
  const bad: Case = { name: "one <thing>", verdict, level, section: "add", message: 'is "wrong"\x1b', call: CALL };
  const good: Case = { name: "another", verdict: "pass", level: "must", section: "del", message: "" };
  const cases = verdict === "impossible" || verdict === "error" ? [] : [good, ...(verdict === "pass" ? [] : [bad])];
  const reason = cases.length === 0 ? "no such kernel" : "";
  return { id: verdict, title: `ends with ${verdict}`, section: "add", verdict, reason, cases, milliseconds: 12 };
}

function report(...checks: CheckReport[]): Report {
  const plugins = [
    { name: "a", supportedVersions: ["1.0.0"], checks, times: { ADD: { count: 2, median: 3.5, maximum: 4 } } },
  ];
  return {
    spec: "1.1.0",
    bin: "/bin",
    kernel: "6.1",
    quick: false,
    plugins,
    notJudged: [{ name: "z", reason: "no profile" }],
  };
}

const ALL = report(check("pass", "must"), check("warn", "should"), check("fail", "must"), check("impossible", "must"));

t.test("the table has a line a check, and below it what did not pass", async (t) => {
  t.equal(
    renderTable(ALL).replaceAll("\x1b", ""),
    `a   supports 1.0.0
  pass         pass (1 of 1)
  warn         WARN (1 of 2)   ends with warn
    WARN one <thing>: is "wrong" [Section 2: ADD]
  fail         FAIL (1 of 2)   ends with fail
    FAIL one <thing>: is "wrong" [Section 2: ADD]
  impossible   not possible here: no such kernel   ends with impossible
  times: ADD 3.5 ms (2, at most 4)

z: not judged: no profile

/bin on Linux 6.1, by CNI 1.1.0: 1 pass, 1 not possible here, 1 WARN, 1 FAIL

FAIL breaks a "must" of the specification, WARN a "should"; a note is about what it leaves open.
`,
  );
});

t.test("a must that is broken fails the run, a should only strictly, what is impossible never", async (t) => {
  for (const [verdict, plain, strict] of [
    ["pass", false, false],
    ["impossible", false, false],
    ["note", false, true],
    ["warn", false, true],
    ["fail", true, true],
    ["error", true, true],
  ] as const) {
    const one = report(check(verdict, "must"));
    t.strictSame([hasFailed(one, false), hasFailed(one, true)], [plain, strict], verdict);
  }
});

t.test("JSON names section, link and how to repeat it", async (t) => {
  const { plugins, summary } = JSON.parse(renderJson(ALL));
  t.match(summary, { pass: 1, warn: 1, fail: 1, impossible: 1, error: 0 });
  t.match(plugins[0].checks[2], {
    section: "Section 2: ADD",
    link: "https://www.cni.dev/docs/spec/#add-add-container-to-network-or-apply-modifications",
    repeat: "cnictl conformance --bin /bin --plugin a --check fail",
  });
  t.equal(plugins[0].checks[2].cases[1].shell, shellLine("/bin", CALL));
  t.equal(shellLine("/bin", CALL), `printf %s '{"name":"n"}' | env CNI_COMMAND=ADD CNI_ARGS='A=it'\\''s' /bin/a`);
});

t.test("JUnit counts failures and errors, and holds no character that XML cannot", async (t) => {
  const text = renderJunit(report(...(ALL.plugins[0]?.checks ?? []), check("error", "must")));
  t.match(text, /<testsuite name="a" tests="5" failures="1" errors="1" skipped="1" time="0\.060">/);
  t.match(text, /<failure message="FAIL one &lt;thing&gt;: is &quot;wrong&quot;\ufffd/);
  t.match(text, /<skipped message="no such kernel"\/>/);
  t.match(text, /<system-out>WARN one/);
  t.notOk(text.includes("\x1b"));
});
