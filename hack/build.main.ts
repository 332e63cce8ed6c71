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
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { OUR_MARK } from "../cni/delegate.ts";
import { PLUGIN_NAMES } from "../plugins/names.ts";
import { compileShims } from "./shim.ts";

/** Packages that are not bundled: they hold native code, or read files beside themselves. */
const UNBUNDLED = ["koffi", "lmdb", "etcd3"] as const;
/** Parts of those packages that no executable needs. */
const NOT_SHIPPED = /\/(vendor|doc|docs|test|tests|dependencies)(\/|$)|\.(ts|md|map|cc|cpp|c|h|hh|gyp|tar\.gz)$/;

const PROGRAMS = [
  { entry: "plugins/main.ts", names: PLUGIN_NAMES, mark: OUR_MARK },
  // A daemon on every node, and on small ones: V8 may not keep 32 MB of short-lived objects before it collects them, and
  // has two threads to compile and collect in beside the program, not four with a heap of malloc's each.
  {
    entry: "agent/main.ts",
    names: ["podwire-agent"],
    mark: "// podwire program",
    node: "-S node --max-semi-space-size=2 --v8-pool-size=2",
  },
  { entry: "controller/main.ts", names: ["podwire-controller"], mark: "// podwire program" },
  { entry: "cnictl/main.ts", names: ["cnictl"], mark: "// podwire program" },
] as const satisfies readonly Program[];

interface Program {
  readonly entry: string;
  readonly names: readonly string[];
  /** The executable's second line. */
  readonly mark: string;
  /** What env(1) is told to start it with. */
  readonly node?: string;
}

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
  const link = fresh(join(outdir, "lib"));
  symlinkSync(name, link);
  renameSync(link, join(outdir, "lib"));
}

/** A name for what will be renamed to the path: no glob matches it, and no other build that runs now uses it. */
function fresh(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.new`);
}

/** One file under all the names in the folder, by rename: whoever executes one meanwhile finds the old or the new. */
function place(file: string, folder: string, names: readonly string[]): void {
  for (const name of names) {
    const path = join(folder, name);
    linkSync(file, fresh(path));
    renameSync(fresh(path), path);
  }
}

async function bundle({ entry, names, mark, node = "node" }: Program): Promise<void> {
  const shims = entry === "plugins/main.ts" ? compileShims(root, outdir) : undefined;
  const bin = join(outdir, "bin");
  const beside = join(bin, ".podwire"); // where the shim looks for the plugins of Node.js
  const folder = shims?.native === undefined ? bin : beside;
  mkdirSync(folder, { recursive: true });
  const outfile = fresh(join(folder, `bundle.${names[0]}`)); // they are built at the same time
  await build({
    entryPoints: [join(root, entry)],
    outfile,
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
    banner: { js: `#!/usr/bin/env ${node}\n${mark}\nvar __PODWIRE_PREFIX__ = ${JSON.stringify(outdir)};` },
  });
  chmodSync(outfile, 0o755);
  place(outfile, folder, names);
  rmSync(outfile);
  if (shims === undefined) return;
  if (shims.native !== undefined) place(shims.native, bin, names);
  else rmSync(beside, { recursive: true, force: true });
  console.log(shims.told);
}

mkdirSync(join(outdir, "bin"), { recursive: true });
writeFileSync(join(outdir, "package.json"), '{ "type": "commonjs" }\n'); // the bundles have no file extension
copyUnbundled();
const programs = PROGRAMS.filter(({ entry }) => values.only === undefined || entry.startsWith(`${values.only}/`));
await Promise.all(programs.map(bundle));
console.log(`built ${programs.flatMap(({ names }) => names).join(", ")} in ${outdir}`);
