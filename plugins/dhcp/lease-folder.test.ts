import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { callPlugin } from "../../cni/testing.ts";
import type { LeaseRecord } from "../../dhcp/record.ts";
import { parseAddress } from "../../net/address.ts";
import { parseMac } from "../../net/mac.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { fileOf, LeaseFolder } from "./lease-folder.ts";
import { makeDhcpMachine } from "./machine.ts";
import { makeDhcp } from "./plugin.ts";

const MAC = parseMac("02:00:00:00:00:01");
const LEASE: LeaseRecord = {
  ...{ network: "net", containerId: "c1", ifName: "eth0", netns: "/nonexistent", netnsInode: 1n },
  client: { mac: MAC, clientId: Uint8Array.of(0, 65), provide: new Map(), request: [3, 1], broadcast: false },
  ...{ address: parsePrefix("10.0.0.9/24"), server: parseAddress("10.0.0.1"), serverMac: MAC },
  ...{ renewAt: 100, rebindAt: 200, expiresAt: 300 },
};

function folder(t: Test): LeaseFolder {
  const parent = mkdtempSync(join(tmpdir(), "podwire-leases-"));
  t.teardown(() => rmSync(parent, { recursive: true, force: true }));
  return new LeaseFolder(join(parent, "dhcp"));
}

t.test("a lease is written for root alone, found again, and removed once", async (t) => {
  const leases = folder(t);
  t.equal(leases.read(LEASE), undefined);
  t.equal(leases.remove(LEASE), false, "without a folder, too");
  leases.put(LEASE);
  t.match(leases.read(LEASE), { address: "10.0.0.9/24" });
  t.strictSame(leases.files(), [fileOf(LEASE)]);
  t.equal(statSync(join(leases.path, fileOf(LEASE))).mode & 0o777, 0o600);
  t.equal(statSync(leases.path).mode & 0o777, 0o700);
  t.equal(leases.remove(LEASE), true);
  t.equal(leases.remove(LEASE), false);
});

t.test("who renews writes only where that very lease is still there", async (t) => {
  const leases = folder(t);
  leases.put(LEASE);
  const renewed = { ...LEASE, renewAt: 1100 };
  t.equal(leases.update(LEASE, renewed), true);
  t.equal(leases.update(LEASE, { ...LEASE, renewAt: 2100 }), false, "another process was quicker");
  t.equal(leases.read(LEASE)?.renewAt, 1100);
  leases.remove(LEASE);
  t.equal(leases.update(renewed, renewed), false, "DEL was quicker");
  t.strictSame(leases.files(), []);
});

t.test("one renews, and others can tell", async (t) => {
  const leases = folder(t);
  t.equal(leases.kept, false);
  {
    using first = leases.keep();
    t.ok(first);
    t.equal(leases.keep(), undefined);
    t.equal(leases.kept, true);
  }
  t.equal(leases.kept, false);
});

t.test("S1: what is planted in the folder is not followed, not waited for, and told", async (t) => {
  const leases = folder(t);
  mkdirSync(leases.path);
  symlinkSync("/etc/passwd", join(leases.path, "a.lease"));
  writeFileSync(join(leases.path, "b.lease"), "{}");
  mkdirSync(join(leases.path, "c.lease"));
  leases.put(LEASE);
  const own = fileOf(LEASE);
  const copied = { ...LEASE, containerId: "c2" };
  writeFileSync(join(leases.path, fileOf(copied)), "x");
  const problems = leases.list().flatMap((each) => ("problem" in each ? [each.file] : []));
  t.strictSame(problems.toSorted(), ["a.lease", "b.lease", "c.lease", fileOf(copied)].toSorted());
  t.match(leases.readFile(own), { containerId: "c1" });
});

t.test("CHECK and GC by what is written down", async (t) => {
  const leases = folder(t);
  const plugin = makeDhcp({ ...makeDhcpMachine(leases.path), now: () => 250 });
  const call = async (command: string, keys: object = {}) => {
    const stdin = { cniVersion: "1.1.0", name: "net", type: "dhcp", ipam: { type: "dhcp" }, ...keys };
    const { answer } = await callPlugin(plugin, { command, stdin, env: { CNI_CONTAINERID: "c1" } });
    return answer;
  };
  const prevResult = { ips: [{ address: "10.0.0.9/24" }] };
  t.match(await call("CHECK", { prevResult }), { code: 100, msg: /holds no lease in/ });
  leases.put(LEASE);
  t.equal(await call("CHECK", { prevResult }), undefined);
  t.match(await call("CHECK", { prevResult: { ips: [] } }), {
    code: 100,
    msg: /10\.0\.0\.9\/24, which is not in prevR/,
  });
  leases.put({ ...LEASE, expiresAt: 240, rebindAt: 230 });
  t.match(await call("CHECK", { prevResult }), {
    code: 100,
    msg: /of 10\.0\.0\.9\/24 from 10\.0\.0\.1 ended 0 s ago; see/,
  });
  leases.put({ ...LEASE, lost: "it ended" });
  t.match(await call("CHECK", { prevResult }), {
    code: 100,
    msg: /has lost its lease of 10\.0\.0\.9\/24: it ended: del/,
  });

  leases.put({ ...LEASE, network: "other" });
  leases.put({ ...LEASE, containerId: "c2" });
  const valid = [{ containerID: "c2", ifname: "eth0" }];
  t.equal(await call("GC", { "cni.dev/valid-attachments": valid }), undefined);
  t.strictSame(
    leases
      .list()
      .map((each) => ("problem" in each ? each.problem : `${each.network} ${each.containerId}`))
      .toSorted(),
    ["net c2", "other c1"],
  );
});

t.test("STATUS is 50 when leases cannot be written down", async (t) => {
  const leases = folder(t);
  writeFileSync(leases.path, "");
  const plugin = makeDhcp(makeDhcpMachine(leases.path));
  const stdin = { cniVersion: "1.1.0", name: "net", type: "dhcp", ipam: { type: "dhcp" } };
  t.match((await callPlugin(plugin, { command: "STATUS", stdin })).answer, {
    code: 50,
    msg: /leases cannot be written in/,
  });
  rmSync(leases.path);
  const able = await callPlugin(plugin, { command: "STATUS", stdin });
  t.match(able, { exitCode: 0, stdout: "", stderr: /will not be renewed, because no podwire-agent runs/ });
  t.strictSame(readdirSync(leases.path), []);
});
