import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { PLUGIN_NAMES } from "../plugins/names.ts";

/** Packages that are not bundled: they hold native code, or read files beside themselves. */
const UNBUNDLED = ["koffi", "lmdb", "etcd3"] as const;
/** Parts of those packages that no executable needs. */
const NOT_SHIPPED = /\/(vendor|doc|docs|test|tests|dependencies)(\/|$)|\.(ts|md|map|cc|cpp|c|h|hh|gyp|tar\.gz)$/;

const PROGRAMS = [
  { entry: "plugins/main.ts", names: PLUGIN_NAMES, mark: "// podwire plugin" },
  { entry: "agent/main.ts", names: ["podwire-agent"], mark: "// podwire program" },
  { entry: "controller/main.ts", names: ["podwire-controller"], mark: "// podwire program" },
  { entry: "cnictl/main.ts", names: ["cnictl"], mark: "// podwire program" },
] as const;

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const { values } = parseArgs({
  options: { outdir: { type: "string", default: join(root, "dist") }, only: { type: "string" } },
});
const outdir = resolve(values.outdir);

/** The package and all that it depends on, each once. */
function closure(names: readonly string[], from = root, seen = new Map<string, string>()): Map<string, string> {
  for (const name of names) {
    const folder = [join(from, "node_modules", name), join(root, "node_modules", name)].find((path) =>
      existsSync(path),
    );
    if (folder === undefined || seen.has(name)) continue; // absent: an optional package for another platform
    seen.set(name, folder);
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(
      readFileSync(join(folder, "package.json"), "utf8"),
    );
    closure([...Object.keys(dependencies), ...Object.keys(optionalDependencies)], folder, seen);
  }
  return seen;
}

/** Into a folder of their own for each set of versions, behind a link: what runs meanwhile keeps what it loaded. */
function copyUnbundled(): void {
  const key = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .update(String(NOT_SHIPPED));
  const name = `lib.${key.digest("hex").slice(0, 12)}`;
  const target = join(outdir, name);
  if (!existsSync(target)) {
    for (const [packageName, folder] of closure(UNBUNDLED)) {
      cpSync(folder, join(`${target}.new`, "node_modules", packageName), {
        recursive: true,
        filter: (source) => !NOT_SHIPPED.test(source.slice(folder.length)),
      });
    }
    renameSync(`${target}.new`, target);
  }
  rmSync(join(outdir, "lib.link"), { force: true });
  symlinkSync(name, join(outdir, "lib.link"));
  renameSync(join(outdir, "lib.link"), join(outdir, "lib"));
}

async function bundle({ entry, names, mark }: (typeof PROGRAMS)[number]): Promise<void> {
  const [first, ...others] = names;
  const target = join(outdir, "bin", first);
  await build({
    entryPoints: [join(root, entry)],
    outfile: `${target}.new`,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    minifySyntax: true,
    minifyWhitespace: true, // a third less to compile at every call; names stay, for stack traces
    legalComments: "none",
    logLevel: "warning",
    logOverride: { "empty-import-meta": "silent" },
    external: [...UNBUNDLED],
    banner: { js: `#!/usr/bin/env node\n${mark}\nvar __PODWIRE_PREFIX__ = ${JSON.stringify(outdir)};` },
  });
  chmodSync(`${target}.new`, 0o755);
  renameSync(`${target}.new`, target);
  for (const name of others) {
    const path = join(outdir, "bin", name);
    rmSync(path, { force: true });
    linkSync(target, path);
  }
}

mkdirSync(join(outdir, "bin"), { recursive: true });
writeFileSync(join(outdir, "package.json"), '{ "type": "commonjs" }\n'); // the bundles have no file extension
copyUnbundled();
const programs = PROGRAMS.filter(({ entry }) => values.only === undefined || entry.startsWith(`${values.only}/`));
await Promise.all(programs.map(bundle));
console.log(`built ${programs.flatMap(({ names }) => names).join(", ")} in ${outdir}`);
