import { sectionLink, sectionTitle } from "./spec.ts";
import {
  type Call,
  type Case,
  type CheckReport,
  type PluginReport,
  type Report,
  VERDICTS,
  type Verdict,
} from "./verdict.ts";

/** How a verdict is called in the table. */
const WORDS: Readonly<Record<Verdict, string>> = {
  pass: "pass",
  note: "note",
  warn: "WARN",
  fail: "FAIL",
  impossible: "not possible here",
  error: "ERROR",
};

/** Whether somebody asked to be told: a "must" is broken, or the kit went wrong; strictly, anything but a pass counts. */
export function hasFailed(report: Report, strict: boolean): boolean {
  const bad: readonly Verdict[] = strict ? ["error", "fail", "warn", "note"] : ["error", "fail"];
  return report.plugins.some(({ checks }) => checks.some(({ verdict }) => bad.includes(verdict)));
}

/** How many checks ended with each verdict. */
export function countVerdicts(report: Report): Readonly<Record<Verdict, number>> {
  const all = report.plugins.flatMap(({ checks }) => checks.map(({ verdict }) => verdict));
  return Object.fromEntries(
    VERDICTS.map((verdict) => [verdict, all.filter((each) => each === verdict).length]),
  ) as Record<Verdict, number>;
}

/** A line a check, below it a line for each case that did not pass, and at the end what the words mean. */
export function renderTable(report: Report): string {
  const parts = report.plugins.map((plugin) => renderPlugin(plugin));
  const others = report.notJudged.map(({ name, reason }) => `${name}: not judged: ${reason}\n`);
  const counts = countVerdicts(report);
  const total = VERDICTS.filter((verdict) => counts[verdict] > 0).map(
    (verdict) => `${counts[verdict]} ${WORDS[verdict]}`,
  );
  const sample = report.quick ? " (a sample of each check: --quick)" : "";
  return [
    ...parts,
    ...others,
    `${report.bin} on Linux ${report.kernel}, by CNI ${report.spec}: ${total.join(", ") || "nothing to judge"}${sample}\n`,
    'FAIL breaks a "must" of the specification, WARN a "should"; a note is about what it leaves open.\n',
  ].join("\n");
}

function renderPlugin({ name, supportedVersions, checks, times }: PluginReport): string {
  const width = Math.max(0, ...checks.map(({ id }) => id.length));
  const lines = checks.map((check) => renderCheck(check, width));
  const spent = Object.entries(times).map(
    ([verb, { count, median, maximum }]) => `${verb} ${median} ms (${count}, at most ${maximum})`,
  );
  return `${name}   supports ${supportedVersions.join(", ") || "no version that it tells"}\n${lines.join("")}  times: ${spent.join(", ")}\n`;
}

function renderCheck({ id, title, verdict, reason, cases }: CheckReport, width: number): string {
  const passed = cases.filter((each) => each.verdict === "pass").length;
  const count = cases.length === 0 ? "" : ` (${passed} of ${cases.length})`;
  const head = `  ${id.padEnd(width)}   ${WORDS[verdict]}${count}${reason === "" ? "" : `: ${reason}`}   ${verdict === "pass" ? "" : title}`;
  const bad = cases.filter((each) => each.verdict !== "pass");
  return [head, ...bad.map((each) => `    ${renderCase(each)}`)].map((line) => `${line.trimEnd()}\n`).join("");
}

function renderCase({ name, verdict, section, message }: Case): string {
  return `${WORDS[verdict]} ${name}: ${message} [${sectionTitle(section)}]`;
}

/** The report with the titles and addresses of its sections, and for each case that did not pass a line of sh(1) that repeats the call. */
export function renderJson(report: Report): string {
  const plugins = report.plugins.map((plugin) => ({
    ...plugin,
    checks: plugin.checks.map((check) => ({
      ...check,
      section: sectionTitle(check.section),
      link: sectionLink(check.section),
      repeat: repeat(report, plugin, check),
      cases: check.cases.map(({ call, ...each }) => ({
        ...each,
        section: sectionTitle(each.section),
        link: sectionLink(each.section),
        ...(call === undefined ? {} : { call, shell: shellLine(report.bin, call) }),
      })),
    })),
  }));
  return `${JSON.stringify({ ...report, summary: countVerdicts(report), plugins }, null, 2)}\n`;
}

/** The command that makes the check again. */
export function repeat(
  { bin }: Pick<Report, "bin">,
  { name }: Pick<PluginReport, "name">,
  { id }: Pick<CheckReport, "id">,
): string {
  return `cnictl conformance --bin ${bin} --plugin ${name} --check ${id}`;
}

/** The call as it can be made by hand, in namespaces like those of the kit. */
export function shellLine(bin: string, { plugin, env, stdin }: Call): string {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${quote(value)}`);
  return `printf %s ${quote(stdin)} | env ${variables.join(" ")} ${bin}/${plugin}`;
}

function quote(text: string): string {
  return /^[\w./:,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A test suite a plugin, a test case a check. What breaks no "must" is told in the output, as JUnit knows no warnings. */
export function renderJunit(report: Report): string {
  const suites = report.plugins.map((plugin) => renderSuite(report, plugin));
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="CNI conformance of ${xmlText(report.bin)}">\n${suites.join("")}</testsuites>\n`;
}

function renderSuite(report: Report, plugin: PluginReport): string {
  const { name, checks } = plugin;
  const count = (...verdicts: readonly Verdict[]) => checks.filter(({ verdict }) => verdicts.includes(verdict)).length;
  const seconds = (milliseconds: number) => (milliseconds / 1000).toFixed(3);
  const whole = seconds(checks.reduce((sum, { milliseconds }) => sum + milliseconds, 0));
  const cases = checks.map((check) => {
    const head = `    <testcase classname="${xmlText(name)}" name="${xmlText(`${check.id}: ${check.title}`)}" time="${seconds(check.milliseconds)}">`;
    return `${head}\n${renderOutcome(report, plugin, check)}    </testcase>\n`;
  });
  const numbers = `tests="${checks.length}" failures="${count("fail")}" errors="${count("error")}" skipped="${count("impossible")}"`;
  return `  <testsuite name="${xmlText(name)}" ${numbers} time="${whole}">\n${cases.join("")}  </testsuite>\n`;
}

function renderOutcome(report: Report, plugin: PluginReport, check: CheckReport): string {
  const bad = check.cases.filter(({ verdict }) => verdict !== "pass");
  const text = [...bad.map(renderCase), ...(bad.length === 0 ? [] : [repeat(report, plugin, check)])].join("\n");
  if (check.verdict === "impossible") return `      <skipped message="${xmlText(check.reason)}"/>\n`;
  if (check.verdict === "error") return `      <error message="${xmlText(check.reason)}">${xmlText(text)}</error>\n`;
  if (check.verdict === "fail") {
    const first = bad.find(({ verdict }) => verdict === "fail");
    return `      <failure message="${xmlText(first === undefined ? "" : renderCase(first))}">${xmlText(text)}</failure>\n`;
  }
  return text === "" ? "" : `      <system-out>${xmlText(text)}</system-out>\n`;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Text in XML; characters that XML cannot hold become U+FFFD. */
function xmlText(text: string): string {
  const known = text.replace(/[&<>"]/g, (char) => ENTITIES[char] ?? char);
  return known.replace(/(?![\t\n\r])[\p{Cc}\ufffe\uffff]|\p{Cs}/gu, "\ufffd");
}
