import { readFileSync } from "node:fs";

/**
 * Reads the TAP files that tap wrote, prints every failing point with its diagnostics, the files that took longest, and
 * last "N passed, N failed, N skipped", counting named tests, not assertions. Fails when nothing ran, or when a test was
 * skipped everywhere: one that this machine's kernel cannot run must have run in the guest, and the other way round.
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

/** The files that took longest. Two run at a time, so the sum is about twice what all take. */
function slowest(count: number): string[] {
  const files = lines.flatMap((line) => {
    const [, file, time] = /^(?:not )?ok \d+ - (\S+) # time=([\d.]+)ms/.exec(line) ?? [];
    return file === undefined ? [] : [{ file, seconds: Number(time) / 1000 }];
  });
  const longest = files.toSorted((a, b) => b.seconds - a.seconds).slice(0, count);
  return longest.map(({ file, seconds }) => `${seconds.toFixed(0).padStart(5)} s  ${file}`);
}

const points = lines.flatMap((line) => {
  const [, not, name, directive] = /^ {4}(not )?ok \d+ - (.*?)(?: # (SKIP.*|TODO.*|time=.*))?$/.exec(line) ?? [];
  if (name === undefined) return [];
  return [{ name, failed: not !== undefined, skip: directive?.startsWith("time=") ? undefined : directive }];
});
const ran = points.filter(({ skip }) => skip === undefined);
const failed = ran.filter((point) => point.failed);
const names = new Set(ran.map(({ name }) => name));
const skipped = points.filter(({ name }) => !names.has(name)); // elsewhere, too

console.log(failures().join("\n"));
console.log(`slowest:\n${slowest(12).join("\n")}`);
for (const { name } of failed) console.log(`failed: ${name}`);
for (const { name, skip } of skipped) console.log(`ran nowhere: ${name} (${skip})`);
console.log(`${ran.length - failed.length} passed, ${failed.length} failed, ${skipped.length} skipped`);
process.exitCode = failed.length > 0 || skipped.length > 0 || points.length === 0 ? 1 : 0;
