import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
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

t.test("S15: install replaces another's plugin and uninstall gives it back, and nothing of ours stays", async (t) => {
  const prefix = temporary(t);
  const bin = join(prefix, "opt/cni/bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, "bridge"), "#!/bin/sh\necho theirs\n");
  writeFileSync(join(bin, "ipvlan"), "theirs too");
  install("--prefix", prefix);
  t.match(readdirSync(bin), [...PLUGIN_NAMES, "ipvlan"].sort());
  t.match(version(join(bin, "bridge")), { supportedVersions: ["0.1.0"] });
  install("--prefix", prefix); // twice is an upgrade
  install("--uninstall", "--prefix", prefix);
  t.strictSame(readdirSync(bin).sort(), ["bridge", "ipvlan"]);
  t.equal(readFileSync(join(bin, "bridge"), "utf8"), "#!/bin/sh\necho theirs\n");
  t.strictSame(readdirSync(join(prefix, "opt")), [
    "cni",
    ...(existsSync(join(prefix, "opt/podwire")) ? ["podwire"] : []),
  ]);
  t.notOk(existsSync(join(prefix, "opt/podwire/lib")));
});

t.test("a copy of a plugin elsewhere runs: native modules are found by the installed prefix", async (t) => {
  const folder = temporary(t);
  const copy = join(folder, "elsewhere", "loopback");
  mkdirSync(join(folder, "elsewhere"));
  copyFileSync("dist/bin/loopback", copy);
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
