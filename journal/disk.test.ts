import { execFileSync } from "node:child_process";
import { join } from "node:path";
import t from "tap";

const NODE = `"${process.execPath}" --import=tsx`;

/** Runs a shell script as root of a mount namespace of its own, which needs no root outside. */
function inMountNamespace(script: string): string {
  return execFileSync("unshare", ["--user", "--map-root-user", "--mount", "sh", "-ec", script], {
    encoding: "utf8",
    cwd: join(import.meta.dirname, ".."),
  });
}

t.test("a full disk is said once and counted; freed, it goes on; a journal that is there needs no room", async (t) => {
  const mount = join(t.testdir({ mnt: {} }), "mnt");
  const script = `mount -t tmpfs -o size=256k t "${mount}"; ${NODE} journal/testdata/full-disk.ts "${mount}"`;
  t.match(JSON.parse(inMountNamespace(script)), {
    full: { warnings: [/^ENOSPC/], failures: 300 },
    freed: "web-301",
    filled: { newest: "web-900", warnings: 1, failures: 300 },
  });
});

t.test("a read-only file system is said once and counted", async (t) => {
  const mount = join(t.testdir({ mnt: {} }), "mnt");
  const program = `
    import { callNumber, openWriter } from "./journal/testdata/calls.ts";
    const { writer, warnings } = openWriter("${mount}/podwire/calls");
    for (let n = 1; n <= 3; n++) writer.append(callNumber(n));
    process.stdout.write(JSON.stringify({ warnings, failures: writer.failures }));`;
  const script = `mount -t tmpfs t "${mount}"; mkdir "${mount}/podwire"; mount -o remount,ro "${mount}"; ${NODE} --input-type=module -e '${program}'`;
  t.match(JSON.parse(inMountNamespace(script)), { warnings: [/^EROFS/], failures: 3 });
});
