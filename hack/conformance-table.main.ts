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

/** One line of a table: what several plugins, or several inputs of one, do alike. */
interface Row {
  readonly id: string;
  readonly what: string;
  readonly section: string;
  readonly plugins: Set<string>;
  readonly inputs: Set<string>;
  readonly example: string;
}

/** Without what differs between two containers, links, plugins or runs. */
function general(text: string): string {
  return text
    .replace(/: exit \d+, code (\d+|undefined)[\s\S]*/, (_, code) => `: code ${code}`)
    .replace(/kit\d+(-0123[0-9a-f]*)?/g, "…")
    .replace(/\b[0-9a-f]{6,}\b|\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, "…")
    .replace(/^killed after \d+ % of its time/, "killed in the middle")
    .replace(/^result of 0\.[34]\.\d/, "result of 0.3.0, 0.3.1, 0.4.0")
    .replace(/^result of 0\.[12]\.0/, "result of 0.1.0, 0.2.0")
    .replace(/\s+/g, " ");
}

function rowsOf(verdict: string): Row[] {
  const rows = new Map<string, Row>();
  for (const [plugin, checks] of [...plugins].sort()) {
    for (const { id, cases } of checks.values()) {
      for (const { name, message, section, link, ...each } of cases) {
        if (each.verdict !== verdict) continue;
        const isInput = id === "malformed" && !name.startsWith("nothing");
        const what = isInput
          ? general(message)
          : `${general(name)}${id === "leaks" || id === "version" || id === "error" ? `: ${general(message)}` : ""}`;
        const key = `${id} ${isInput ? plugin : ""} ${what}`;
        const row = rows.get(key) ?? {
          id,
          what,
          section: `[${section}](${link})`,
          plugins: new Set(),
          inputs: new Set(),
          example: message,
        };
        row.plugins.add(plugin);
        if (isInput) row.inputs.add(name);
        rows.set(key, row);
      }
    }
  }
  return [...rows.values()];
}

const cell = (text: string) => text.replaceAll("|", "\\|").replace(/\s+/g, " ");
const shorten = (text: string) => (text.length > 200 ? `${text.slice(0, 200)}…` : text);
for (const [verdict, title] of [
  ["fail", 'What breaks a "must"'],
  ["warn", 'What breaks a "should"'],
  ["note", "What the specification leaves open"],
] as const) {
  console.log(
    `### ${title}\n\n| \`--check\` | \`--plugin\` | what | found | section |\n| --- | --- | --- | --- | --- |`,
  );
  for (const { id, what, section, plugins, inputs, example } of rowsOf(verdict)) {
    const names = [...inputs];
    const told =
      names.length === 0
        ? what
        : `${names.length} input${names.length === 1 ? "" : "s"}: ${names.slice(0, 6).join("; ")}${names.length > 6 ? "; …" : ""}`;
    console.log(`| \`${id}\` | ${[...plugins].join(", ")} | ${cell(told)} | ${cell(shorten(example))} | ${section} |`);
  }
  console.log("");
}
