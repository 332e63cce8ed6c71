import { spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { OUR_MARK } from "../cni/delegate.ts";
import { LARGEST_DOCUMENT } from "../cni/json.ts";
import { NEWEST, VERSIONS } from "../cni/version.ts";

/** Flags with which the shim must compile without a warning. */
export const SHIM_FLAGS = [
  ..."-std=gnu11 -O2 -Wall -Wextra -static -no-pie -s".split(" "),
  ..."-ffunction-sections -fdata-sections -Wl,--gc-sections".split(" "),
  `-DVERSIONS=${JSON.stringify(JSON.stringify(VERSIONS))}`,
  `-DNEWEST=${JSON.stringify(NEWEST)}`,
  `-DLARGEST_DOCUMENT=${LARGEST_DOCUMENT}`,
] as const;

/** Cross compilers by machine, as uname(1) calls it. */
const CROSS = {
  x86_64: ["x86_64-linux-musl-gcc", "x86_64-linux-gnu-gcc"],
  aarch64: ["aarch64-linux-musl-gcc", "aarch64-linux-gnu-gcc"],
} as const;
type Machine = keyof typeof CROSS;

/** musl first: a static program of glibc starts 0.2 ms later, which every call would pay. */
const NATIVE = ["musl-gcc", "cc", "gcc", "clang"] as const;
const OWN_MACHINE: string = { x64: "x86_64", arm64: "aarch64" }[process.arch as string] ?? process.arch;

export interface Shims {
  /** The one for this machine. */
  readonly native: string | undefined;
  /** What was compiled and with what, or why nothing was. */
  readonly told: string;
}

/** Compiles plugins/shim/shim.c into OUTDIR/shim/MACHINE/shim for each machine that a compiler is installed for. */
export function compileShims(root: string, outdir: string): Shims {
  const built: string[] = [];
  const problems: string[] = [];
  for (const machine of new Set([OWN_MACHINE, ...Object.keys(CROSS)])) {
    const cross = CROSS[machine as Machine] ?? [];
    const compilers = machine === OWN_MACHINE ? [...NATIVE, ...cross] : cross;
    const folder = join(outdir, "shim", machine);
    const used = compilers.find((compiler) => {
      const problem = compile(compiler, root, folder);
      if (problem !== undefined && problem !== "") problems.push(`${compiler}: ${problem}`);
      return problem === undefined;
    });
    if (used === undefined) rmSync(folder, { recursive: true, force: true });
    else built.push(`${machine} by ${used}`);
  }
  const native = built.some((name) => name.startsWith(`${OWN_MACHINE} `))
    ? join(outdir, "shim", OWN_MACHINE, "shim")
    : undefined;
  const reason = problems.length > 0 ? problems.join("; ") : "no C compiler is installed";
  const missing = `no shim for ${OWN_MACHINE}, so the plugins for Node.js stand in its place: ${reason}`;
  return { native, told: native === undefined ? missing : `compiled the shim for ${built.join(" and for ")}` };
}

/** @returns undefined when it worked, "" when there is no such compiler, or the first thing that it complains of */
function compile(compiler: string, root: string, folder: string): string | undefined {
  mkdirSync(folder, { recursive: true });
  const fresh = join(folder, `.shim.${process.pid}.new`);
  const args = [...SHIM_FLAGS, "-o", fresh, join(root, "plugins/shim/shim.c")];
  const { status, error, stderr } = spawnSync(compiler, args, { encoding: "utf8" });
  if (error !== undefined) return "";
  if (status !== 0) {
    rmSync(fresh, { force: true });
    return /^.*\b(?:error|cannot)\b.*$/m.exec(stderr)?.[0] ?? `exit ${status}`;
  }
  appendFileSync(fresh, `\n${OUR_MARK}\n`);
  renameSync(fresh, join(folder, "shim"));
  return undefined;
}
