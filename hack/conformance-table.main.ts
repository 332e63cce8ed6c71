import { readFileSync } from "node:fs";

/**
 * Prints the tables of docs/conformance.md from reports of `cnictl conformance --json`:
 * node --import=tsx hack/conformance-table.main.ts REPORT.json…
 * A plugin's check counts from the first report in which it was possible.
 */
interface Case {
  readonly name: string;
  readonly verdict: string;
  readonly section: string;
  readonly link: string;
  readonly message: string;
}
interface Check {
  readonly id: string;
  readonly verdict: string;
  readonly repeat: string;
  readonly cases: readonly Case[];
}
interface Report {
  readonly plugins: readonly { readonly name: string; readonly checks: readonly Check[] }[];
}

const reports = process.argv.slice(2).map((file) => JSON.parse(readFileSync(file, "utf8")) as Report);
const plugins = new Map<string, Map<string, Check>>();
for (const { name, checks } of reports.flatMap((report) => report.plugins)) {
  const known = plugins.get(name) ?? new Map<string, Check>();
  for (const check of checks) {
    const before = known.get(check.id);
    if (before === undefined || before.verdict === "impossible") known.set(check.id, check);
  }
  plugins.set(name, known);
}

const cell = (text: string) => text.replaceAll("|", "\\|").replace(/\s+/g, " ").slice(0, 240);
for (const [verdict, title] of [
  ["fail", 'What breaks a "must"'],
  ["warn", 'What breaks a "should"'],
] as const) {
  console.log(`### ${title}\n\n| plugin | check | what | section |\n| --- | --- | --- | --- |`);
  for (const [name, checks] of [...plugins].sort()) {
    for (const { id, cases } of checks.values()) {
      for (const { name: what, message, section, link } of cases.filter((each) => each.verdict === verdict)) {
        console.log(`| ${name} | \`${id}\` | ${cell(what)}: ${cell(message)} | [${section}](${link}) |`);
      }
    }
  }
  console.log("");
}
