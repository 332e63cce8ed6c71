import { readFileSync } from "node:fs";

/**
 * Reads the TAP files that tap wrote, prints every failing point with its diagnostics, and last "N passed, N failed,
 * N skipped", counting named tests, not assertions. Fails when nothing ran, or when a test was skipped without saying
 * which kernel feature is missing.
 */
const lines = process.argv.slice(2).flatMap((path) => readFileSync(path, "utf8").split("\n"));

/** The failing points of the given depth and deeper, each with the YAML block behind it. */
function failures(): string[] {
  const found: string[] = [];
  let inside = false;
  for (const line of lines) {
    if (/^ {8,}not ok /.test(line)) inside = true;
    else if (/^ *(not )?ok |^ *# Subtest/.test(line)) inside = false;
    if (inside) found.push(line);
    if (/^ +\.\.\.$/.test(line)) inside = false;
  }
  return found;
}

const points = lines.flatMap((line) => {
  const [, not, name, directive] = /^ {4}(not )?ok \d+ - (.*?)(?: # (SKIP.*|TODO.*|time=.*))?$/.exec(line) ?? [];
  if (name === undefined) return [];
  return [{ name, failed: not !== undefined, skip: directive?.startsWith("time=") ? undefined : directive }];
});
const skipped = points.filter(({ skip }) => skip !== undefined);
const unexplained = skipped.filter(({ skip }) => !/kernel lacks/.test(skip ?? ""));
const failed = points.filter((point) => point.failed && point.skip === undefined);

console.log(failures().join("\n"));
for (const { name } of failed) console.log(`failed: ${name}`);
for (const { name, skip } of unexplained) console.log(`skipped without a missing kernel feature: ${name} (${skip})`);
console.log(
  `${points.length - failed.length - skipped.length} passed, ${failed.length} failed, ${skipped.length} skipped`,
);
process.exitCode = failed.length > 0 || unexplained.length > 0 || points.length === 0 ? 1 : 0;
