import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { deleteBridge, deletePorts, isOurs, putBridge, putPorts, sameBridge, samePort } from "./changes.ts";
import { Database } from "./database.ts";
import { JsonStream } from "./json-stream.ts";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const skip = existsSync(SCHEMA) ? false : "needs Debian's openvswitch-switch";

t.test("a stream is cut into values wherever its bytes are cut", async (t) => {
  const values = [{ a: 'x"}\\{' }, [1, "é€"], { "]": { b: [] } }];
  const bytes = Buffer.from(values.map((value) => JSON.stringify(value)).join(""));
  for (let size = 1; size <= bytes.length; size++) {
    const stream = new JsonStream();
    const found: unknown[] = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...stream.push(bytes.subarray(at, at + size)));
    t.strictSame(found, values, `pieces of ${size}`);
  }
  t.throws(() => new JsonStream().push(Buffer.from("{]")), SyntaxError);
});

async function startServer(t: Test): Promise<{ path: string; vsctl: (line: string) => string; server: ChildProcess }> {
  const folder = mkdtempSync(join(tmpdir(), "podwire-ovsdb-"));
  const path = join(folder, "db.sock");
  execFileSync("ovsdb-tool", ["create", join(folder, "conf.db"), SCHEMA]);
  const server = spawn("ovsdb-server", [
    join(folder, "conf.db"),
    `--remote=punix:${path}`,
    `--unixctl=${join(folder, "ctl")}`,
    "-vconsole:off",
  ]);
  t.teardown(() => {
    server.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  const vsctl = (line: string) =>
    execFileSync("ovs-vsctl", [`--db=unix:${path}`, "--no-wait", ...line.split(" ")], { encoding: "utf8" }).trim();
  vsctl("--retry init");
  return { path, vsctl, server };
}

async function openDatabase(t: Test, path: string): Promise<{ database: Database; changed: () => Promise<void> }> {
  let notify = () => {};
  const database = await Database.open({ path, onChange: () => notify() });
  t.teardown(() => database.close());
  const changed = () =>
    new Promise<void>((resolve) => {
      notify = resolve;
    });
  return { database, changed };
}

const WANTED = {
  name: "pwovsv7",
  network: "pods",
  datapathType: "netdev",
  mac: "02:00:00:00:00:01" as never,
  mtu: 1450,
} as const;
const PORT = { name: "pwo1", network: "pods", type: "vxlan", options: { key: "7", remote_ip: "192.0.2.2" } } as const;

t.test(
  "a bridge and its ports are written, followed, corrected and deleted; what is not ours stays",
  { skip },
  async (t) => {
    const { path, vsctl } = await startServer(t);
    vsctl("add-br theirs");
    const { database, changed } = await openDatabase(t, path);
    const { tables } = database;
    const theirs = tables.bridgeNamed("theirs");
    t.equal(theirs && isOurs(theirs), false);

    let news = changed();
    await database.change(putBridge(tables, WANTED));
    await news;
    const bridge = tables.bridgeNamed("pwovsv7");
    if (bridge === undefined) throw new Error("there is no bridge");
    t.ok(sameBridge(tables, bridge, WANTED));
    t.equal(
      vsctl("get bridge pwovsv7 fail_mode external_ids:podwire other_config:hwaddr"),
      'secure\npods\n"02:00:00:00:00:01"',
    );
    t.equal(vsctl("get interface pwovsv7 type mtu_request"), "internal\n1450");

    news = changed();
    await database.change(putPorts(bridge, [{ wanted: PORT }, { wanted: { ...PORT, name: "pwo2", options: {} } }]));
    await news;
    t.equal(vsctl("list-ports pwovsv7"), "pwo1\npwo2");
    const held = tables.portsOf(tables.bridgeNamed("pwovsv7") ?? bridge).find(({ port }) => port.name === "pwo1");
    t.ok(held && samePort(held, PORT));

    news = changed();
    vsctl(
      "set interface pwo1 options:remote_ip=192.0.2.9 -- set bridge pwovsv7 other_config:theirs=1 -- del-fail-mode pwovsv7",
    );
    await news;
    const [damaged] = tables
      .portsOf(tables.bridgeNamed("pwovsv7") ?? bridge)
      .filter(({ port }) => port.name === "pwo1");
    t.notOk(damaged && samePort(damaged, PORT), "somebody else's change is seen");
    t.notOk(sameBridge(tables, tables.bridgeNamed("pwovsv7") ?? bridge, WANTED));
    await database.change([...putBridge(tables, WANTED), ...putPorts(bridge, [{ wanted: PORT, held: damaged }])]);
    t.equal(vsctl("get interface pwo1 options"), '{key="7", remote_ip="192.0.2.2"}');
    t.equal(vsctl("get bridge pwovsv7 fail_mode other_config:theirs"), 'secure\n"1"', "and what they added stays");

    await database.change(deletePorts(bridge, held === undefined ? [] : [held.port]));
    t.equal(vsctl("list-ports pwovsv7"), "pwo2");
    await database.change(deleteBridge(tables, bridge));
    t.equal(vsctl("list-br"), "theirs");
    t.equal(vsctl("--columns=name list port"), "name                : theirs", "its ports went along");
  },
);

t.test("a transaction that is refused says why and changes nothing", { skip }, async (t) => {
  const { path, vsctl } = await startServer(t);
  const { database } = await openDatabase(t, path);
  vsctl("add-br pwovsv7");
  const operations = putBridge(database.tables, WANTED); // made from what was there before
  await t.rejects(database.change(operations), { message: /the database refuses: constraint violation: .*pwovsv7/ });
  t.equal(vsctl("list-br"), "pwovsv7");
});

t.test("that ovs-vswitchd does not run is said after a while, once, and then at once", { skip }, async (t) => {
  const { path, vsctl } = await startServer(t);
  const { database, changed } = await openDatabase(t, path);
  await database.applied();
  const news = changed();
  await database.change(putBridge(database.tables, WANTED));
  await news;
  const message = /ovs-vswitchd has not done in two seconds what its database says; does it run\?/;
  await t.rejects(database.applied(), { message });
  await t.rejects(database.applied(), { message });
  const waiting = changed();
  vsctl("set Open_vSwitch . cur_cfg=1 -- set bridge pwovsv7 external_ids:x=y");
  await waiting;
  await database.applied();
});

t.test("the end of the server is told, and a server that is not there", { skip }, async (t) => {
  const { path, server } = await startServer(t);
  const { database, changed } = await openDatabase(t, path);
  const ended = changed();
  server.kill("SIGKILL");
  await ended;
  t.equal(database.isOpen, false);
  await t.rejects(database.change([]), { message: "the connection to the database has ended" });
  await t.rejects(Database.open({ path, onChange() {} }), { code: "ECONNREFUSED" });
  await t.rejects(Database.open({ path: `${path}.no`, onChange() {} }), { code: "ENOENT" });
});
