import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { type CallInput, callPlugin } from "../../cni/testing.ts";
import { atLeast, VERSIONS } from "../../cni/version.ts";
import { call } from "../../kernel/ffi/libc.ts";
import { createNamedNetns, currentNetns, deleteNamedNetns, openNetns } from "../../kernel/netns.ts";
import { getLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { loopback } from "../../plugins/loopback/plugin.ts";
import { checkPodNetns, findPodNetns, openPodNetns } from "../../plugins/pod-netns.ts";

/** CLONE_NEWNET, <linux/sched.h> */
const CLONE_NEWNET = 0x40000000;
// "Our own namespace" is one of this test's, so that a plugin that is wrong about it takes no machine's loopback down.
call("unshare", [CLONE_NEWNET]);

interface Place {
  readonly dir: string;
  readonly netns: string;
}

/** A namespace in a folder of the test's own. */
function makePod(t: Test): Place {
  const dir = mkdtempSync(join(tmpdir(), "podwire-loopback-"));
  createNamedNetns("pod", join(dir, "netns"))[Symbol.dispose]();
  t.teardown(() => {
    deleteNamedNetns("pod", join(dir, "netns"), { missingOk: true });
    spawn("umount", ["-l", join(dir, "netns")]).on("close", () => rmSync(dir, { recursive: true, force: true }));
  });
  return { dir, netns: join(dir, "netns/pod") };
}

function run(command: string, netns: string, conf: object = {}, env: CallInput["env"] = {}) {
  const stdin = { cniVersion: "1.0.0", name: "cni-loopback", type: "loopback", ...conf };
  const input = { command, stdin, env: { CNI_NETNS: netns, CNI_IFNAME: "lo", ...env } };
  return callPlugin(loopback, input, { checkNetns: checkPodNetns });
}

function isUp(netns: string): boolean | undefined {
  using rt = openRoute(netns);
  return getLink(rt, "lo")?.up;
}

for (const cniVersion of VERSIONS) {
  t.test(`ADD brings lo up and DEL takes it down, ${cniVersion}`, async (t) => {
    const { netns } = makePod(t);
    t.equal(isUp(netns), false);
    const added = await run("ADD", netns, { cniVersion });
    t.equal(isUp(netns), true, added.stdout);
    const old = { ip4: { ip: "127.0.0.1/8" }, ip6: { ip: "::1/128" } };
    const rich = {
      interfaces: [{ name: "lo", mac: "00:00:00:00:00:00", sandbox: netns }],
      ips: [
        { address: "127.0.0.1/8", interface: 0 },
        { address: "::1/128", interface: 0 },
      ],
    };
    t.match(added.answer, { cniVersion, ...(atLeast(cniVersion, "0.3.0") ? rich : old) });

    for (const round of ["once", "twice"]) {
      const deleted = await run("DEL", netns, { cniVersion });
      t.equal(deleted.exitCode, 0, `DEL ${round}: ${deleted.stdout}`);
      t.equal(isUp(netns), false);
    }
  });
}

t.test("CHECK fails when lo is down or has lost an address", async (t) => {
  const { netns } = makePod(t);
  const { answer: prevResult } = await run("ADD", netns);
  t.equal((await run("CHECK", netns, { prevResult })).exitCode, 0);
  await run("DEL", netns);
  const down = await run("CHECK", netns, { prevResult });
  t.match(down.answer, { code: 100, msg: `lo in ${netns} is not up` });
  await run("ADD", netns);
  const lost = { ips: [{ address: "127.0.0.1/8" }, { address: "127.0.0.53/8" }, { address: "10.1.1.1/8" }] };
  const lacking = await run("CHECK", netns, { prevResult: lost });
  t.match(lacking.answer, { code: 100, msg: `lo in ${netns} lacks 127.0.0.53/8` }, "10.1.1.1 is not ours to check");
});

t.test("in a chain prevResult passes through, and CNI_IFNAME does not matter", async (t) => {
  const { netns } = makePod(t);
  const prevResult = { cniVersion: "1.0.0", ips: [{ address: "10.0.0.2/24" }] };
  const { answer } = await run("ADD", netns, { prevResult }, { CNI_IFNAME: "eth7" });
  t.strictSame(answer, prevResult);
  t.equal(isUp(netns), true);
});

t.test("GC and STATUS succeed and say nothing", async (t) => {
  const conf = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [] };
  for (const command of ["GC", "STATUS"]) {
    const { exitCode, stdout } = await run(command, "", conf);
    t.equal(exitCode, 0, stdout);
    t.equal(stdout, "");
  }
});

t.test("S4: what is no namespace, or our own, is refused by ADD and CHECK and not touched by DEL", async (t) => {
  const { dir } = makePod(t);
  writeFileSync(join(dir, "file"), "");
  symlinkSync("/proc/self/ns/net", join(dir, "own"));
  const rows: readonly [netns: string, code: number][] = [
    [join(dir, "own"), 8],
    ["/proc/self/ns/net", 8],
    ["/proc/self/ns/mnt", 8],
    [join(dir, "file"), 8],
    [dir, 8],
    [join(dir, "absent"), 4],
    ["netns/pod", 4],
  ];
  for (const [netns, code] of rows) {
    for (const command of ["ADD", "CHECK"]) {
      const { exitCode, answer } = await run(command, netns, { prevResult: {} });
      t.equal(exitCode, 1);
      t.match(answer, { code, msg: /^CNI_NETNS / }, `${command} ${netns}`);
    }
    const before = isUp("/proc/self/ns/net");
    t.equal((await run("DEL", netns)).exitCode, 0, `DEL ${netns}`);
    t.equal(isUp("/proc/self/ns/net"), before, "our own lo stays as it is");
  }
});

t.test("CNI_NETNS_OVERRIDE=1 allows our own namespace", async (t) => {
  t.doesNotThrow(() => checkPodNetns("/proc/self/ns/net", { allowOwn: true }));
  using opened = openPodNetns({ netns: "/proc/self/ns/net", allowOwnNetns: true });
  using own = currentNetns();
  t.equal(opened.inode, own.inode);
});

t.test("S4: a path that is swapped all the time never yields our own namespace, nor a file", async (t) => {
  const { dir, netns } = makePod(t);
  using pod = openNetns(netns);
  const path = join(dir, "swapped");
  symlinkSync(netns, path);
  const swapper = swapInALoop(t, dir, path, [netns, "/proc/1/ns/net", "/proc/self/ns/net", "/etc/passwd", "/absent"]);
  await once(swapper.stdout as NonNullable<typeof swapper.stdout>, "data"); // it has begun
  const seen = { pod: 0, refused: 0, other: 0 };
  while (seen.other === 0 && (seen.pod < 200 || seen.refused < 200)) {
    using found = findPodNetns({ netns: path });
    if (found === undefined) seen.refused++;
    else if (found.inode === pod.inode) seen.pod++;
    else seen.other++;
  }
  t.equal(seen.other, 0, `${seen.pod} times the pod's, ${seen.refused} times refused`);
});

/** Another process that puts one target after another under the path, by rename, as fast as it can. */
function swapInALoop(t: Test, dir: string, path: string, targets: readonly string[]): ChildProcess {
  const program = `
    const { renameSync, symlinkSync } = require("node:fs");
    const [next, path, ...targets] = process.argv.slice(1);
    console.log("begun");
    for (;;) for (const target of targets) { symlinkSync(target, next); renameSync(next, path); }`;
  const argv = ["--pdeathsig", "KILL", process.execPath, "-e", program, join(dir, "next"), path, ...targets];
  const swapper = spawn("setpriv", argv, { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => void swapper.kill("SIGKILL"));
  return swapper;
}
