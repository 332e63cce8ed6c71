import { readFileSync } from "node:fs";

/**
 * Prints "N passed, N failed, N skipped" for a TAP file that tap wrote, counting named tests, not assertions. Fails
 * when nothing ran or when a test was skipped without saying which kernel feature is missing.
 */
const [path = ""] = process.argv.slice(2);
const points = readFileSync(path, "utf8")
  .split("\n")
  .flatMap((line) => {
    const [, not, name, directive] = /^ {4}(not )?ok \d+ - (.*?)(?: # (SKIP.*|TODO.*|time=.*))?$/.exec(line) ?? [];
    return name === undefined
      ? []
      : [{ name, failed: not !== undefined, skip: directive?.startsWith("time=") ? undefined : directive }];
  });
const skipped = points.filter(({ skip }) => skip !== undefined);
const unexplained = skipped.filter(({ skip }) => !/kernel lacks/.test(skip ?? ""));
const failed = points.filter((point) => point.failed && point.skip === undefined).length;
for (const { name, skip } of unexplained) console.log(`skipped without a missing kernel feature: ${name} (${skip})`);
console.log(`${points.length - failed - skipped.length} passed, ${failed} failed, ${skipped.length} skipped`);
process.exitCode = failed > 0 || unexplained.length > 0 || points.length === 0 ? 1 : 0;
