import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { PLUGIN_NAMES } from "../../plugins/names.ts";

if (!existsSync("dist/bin/podwire-agent")) throw new Error("dist/ holds no build: run hack/build first");

/** Not tap's own folder for that: it lies within this package, whose type would be the plugins' too. */
function temporary(t: { teardown(work: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), "podwire-install-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function install(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync("hack/install", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`hack/install ${args.join(" ")}: exit ${status}\n${stdout}${stderr}`);
  return stdout;
}

function version(executable: string) {
  const { stdout } = spawnSync(executable, [], {
    encoding: "utf8",
    env: { PATH: process.env.PATH, CNI_COMMAND: "VERSION" },
  });
  return JSON.parse(stdout);
}

/** Everything that files are called below the folder, and which of them are one file. */
function inodes(folder: string): Map<string, number> {
  return new Map(readdirSync(folder).map((name) => [name, statSync(join(folder, name)).ino]));
}

t.test("S15: install replaces another's plugin and uninstall gives it back, and nothing of ours stays", async (t) => {
  const prefix = temporary(t);
  const bin = join(prefix, "opt/cni/bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, "bridge"), "#!/bin/sh\necho theirs\n");
  copyFileSync("/usr/bin/true", join(bin, "loopback")); // a binary, as the reference plugins are
  writeFileSync(join(bin, "whereabouts"), "theirs too");
  install("--prefix", prefix);
  t.strictSame(readdirSync(bin).sort(), [".podwire", ...PLUGIN_NAMES, "whereabouts"].sort());
  t.match(version(join(bin, "bridge")), { supportedVersions: ["0.1.0"] });
  install("--prefix", prefix); // twice is an upgrade
  install("--uninstall", "--prefix", prefix);
  t.strictSame(readdirSync(bin).sort(), ["bridge", "loopback", "whereabouts"]);
  t.equal(readFileSync(join(bin, "bridge"), "utf8"), "#!/bin/sh\necho theirs\n");
  t.ok(readFileSync(join(bin, "loopback")).equals(readFileSync("/usr/bin/true")));
  t.strictSame(readdirSync(join(prefix, "opt")), [
    "cni",
    ...(existsSync(join(prefix, "opt/podwire")) ? ["podwire"] : []),
  ]);
  t.notOk(existsSync(join(prefix, "opt/podwire/lib")));
});

t.test(
  "one shim under each name, one plugin for Node.js under each name beside it, byte for byte as built",
  async (t) => {
    const prefix = temporary(t);
    const bin = join(prefix, "opt/cni/bin");
    install("--prefix", prefix);
    const shims = inodes(bin);
    t.equal(new Set(PLUGIN_NAMES.map((name) => shims.get(name))).size, 1);
    t.ok(readFileSync(join(bin, "bridge")).equals(readFileSync("dist/bin/bridge")), "the shim");
    t.strictSame([...inodes(join(bin, ".podwire")).keys()].sort(), [...PLUGIN_NAMES].sort());
    t.equal(new Set(inodes(join(bin, ".podwire")).values()).size, 1);
    const prefixed = readFileSync(join(bin, ".podwire/bridge"), "utf8").split("\n")[2];
    t.equal(prefixed, `var __PODWIRE_PREFIX__ = "${prefix}/opt/podwire";`);
    t.equal(statSync(join(bin, "bridge")).mode & 0o777, 0o755);
  },
);

t.test("an upgrade never takes a plugin away, not even for a moment", async (t) => {
  const prefix = temporary(t);
  const bin = join(prefix, "opt/cni/bin");
  install("--prefix", prefix);
  const before = inodes(bin);
  const lost = `while [ -x "$0" ]; do [ -e "$0.stop" ] && exit 0; done; exit 1`;
  const watcher = spawn("sh", ["-c", lost, join(bin, "bridge")]);
  install("--prefix", prefix);
  writeFileSync(join(bin, "bridge.stop"), "");
  t.strictSame(await once(watcher, "exit"), [0, null]);
  for (const name of PLUGIN_NAMES) t.not(inodes(bin).get(name), before.get(name), `${name} is a new file`);
});

t.test("without a compiler the plugins for Node.js are the executables, and replace installed shims", async (t) => {
  const folder = temporary(t);
  const [path, dist, prefix] = ["path", "dist", "prefix"].map((name) => join(folder, name)) as [string, string, string];
  mkdirSync(path);
  symlinkSync(process.execPath, join(path, "node"));
  const build = ["--import=tsx", "hack/build.main.ts", "--outdir", dist, "--only", "plugins"];
  const { stdout, status } = spawnSync(process.execPath, build, { encoding: "utf8", env: { PATH: path } });
  t.equal(status, 0);
  t.match(stdout, /^no shim for \S+, so the plugins for Node.js stand in its place: no C compiler is installed$/m);
  t.strictSame(readdirSync(join(dist, "bin")).sort(), [...PLUGIN_NAMES].sort());
  t.match(readFileSync(join(dist, "bin/bridge"), "utf8"), /^#!\/usr\/bin\/env node\n\/\/ podwire plugin\n/);

  for (const name of ["podwire-agent", "podwire-controller", "cnictl"])
    copyFileSync(`dist/bin/${name}`, join(dist, "bin", name));
  const bin = join(prefix, "opt/cni/bin");
  install("--prefix", prefix); // this one has shims
  install("--prefix", prefix, "--from", dist);
  t.strictSame(readdirSync(bin).sort(), [...PLUGIN_NAMES].sort());
  t.match(version(join(bin, "bridge")), { supportedVersions: ["0.1.0"] });
  install("--prefix", prefix);
  t.strictSame(readdirSync(bin).sort(), [".podwire", ...PLUGIN_NAMES].sort());
  install("--uninstall", "--prefix", prefix);
  t.strictSame(readdirSync(bin), []);
});

t.test("a copy of a plugin for Node.js elsewhere runs: native modules are found by the installed prefix", async (t) => {
  const folder = temporary(t);
  const copy = join(folder, "elsewhere", "loopback");
  mkdirSync(join(folder, "elsewhere"));
  copyFileSync("dist/bin/.podwire/loopback", copy);
  chmodSync(copy, 0o755);
  const { stdout } = spawnSync("unshare", ["--net", copy], {
    encoding: "utf8",
    input: JSON.stringify({ cniVersion: "1.0.0", name: "n", type: "loopback" }),
    env: {
      PATH: process.env.PATH,
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: "c",
      CNI_IFNAME: "lo",
      CNI_NETNS: "/proc/self/ns/net",
      CNI_NETNS_OVERRIDE: "1",
      CNI_PATH: "/opt/cni/bin",
    },
  });
  t.match(JSON.parse(stdout), { interfaces: [{ name: "lo" }] });
});
