import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import t from "tap";
import {
  type Answer,
  addressesOf,
  type Call,
  makeNetwork,
  makeResident,
  type Network,
  openNetwork,
} from "./fixture.ts";
import { thisMachine } from "./machine.ts";

/** The peer, from Debian's containernetworking-plugins. */
const REFERENCE = "/usr/lib/cni/host-local";
const skip = existsSync(REFERENCE) ? {} : { skip: "containernetworking-plugins is not installed" };

function reference(net: Network, command: string, call?: Call): Answer {
  const { stdin, env } = net.input(command, call);
  const run = spawnSync(REFERENCE, { input: JSON.stringify(stdin), env, encoding: "utf8" });
  return { exitCode: run.status, answer: run.stdout === "" ? undefined : JSON.parse(run.stdout) };
}

t.test(
  "ours and the reference plugin walk a fresh range in the same order, and write the same files",
  skip,
  async (t) => {
    for (const ipam of [
      { ranges: [[{ subnet: "10.22.0.0/29" }]] },
      { ranges: [[{ subnet: "10.22.0.0/28", rangeStart: "10.22.0.5", rangeEnd: "10.22.0.7", gateway: "10.22.0.6" }]] },
      { ranges: [[{ subnet: "10.22.0.0/30" }, { subnet: "10.23.0.0/29", rangeStart: "10.23.0.3" }]] },
      { ranges: [[{ subnet: "10.22.0.0/30" }], [{ subnet: "fd00:0:0:1::/126" }]], routes: [{ dst: "0.0.0.0/0" }] },
      { ranges: [[{ subnet: "10.22.0.0/29", gateway: "169.254.1.1" }]] },
      { subnet: "10.22.0.0/30", ranges: [[{ subnet: "2001:db8:0:0:1:0:0:0/125" }]] },
    ]) {
      const [ours, theirs] = [makeNetwork(t, ipam), makeNetwork(t, ipam)];
      for (let pod = 0; pod < 8; pod++) {
        const [left, right] = [
          await ours.ours("ADD", { id: `pod${pod}` }),
          reference(theirs, "ADD", { id: `pod${pod}` }),
        ];
        t.equal(left.exitCode === 0, right.exitCode === 0, `pod${pod}`);
        if (right.exitCode === 0) t.strictSame({ dns: {}, ...left.answer }, { dns: {}, ...right.answer });
        if (pod % 3 === 2) {
          for (const command of ["DEL", "DEL"]) {
            t.equal((await ours.ours(command, { id: `pod${pod - 1}` })).exitCode, 0);
            reference(theirs, command, { id: `pod${pod - 1}` });
          }
        }
        t.strictSame(ours.onDisk(), theirs.onDisk());
      }
    }
  },
);

for (const host of ["one-shot", "resident"] as const) {
  t.test(`the two take turns on one folder (${host})`, skip, async (t) => {
    using resident = makeResident(t);
    const machine = host === "resident" ? resident : thisMachine;
    const net = makeNetwork(t, { ranges: [[{ subnet: "10.22.0.0/28" }], [{ subnet: "fd00:0:0:1::/64" }]] }, machine);
    const seen = [
      await net.ours("ADD", { id: "a" }),
      reference(net, "ADD", { id: "b" }),
      await net.ours("ADD", { id: "c" }),
      reference(net, "ADD", { id: "d" }),
    ].map(addressesOf);
    t.strictSame(seen, [
      ["10.22.0.2/28", "fd00:0:0:1::2/64"],
      ["10.22.0.3/28", "fd00:0:0:1::3/64"],
      ["10.22.0.4/28", "fd00:0:0:1::4/64"],
      ["10.22.0.5/28", "fd00:0:0:1::5/64"],
    ]);
    await refusesDuplicates(net);
    const del = { b: () => net.ours("DEL", { id: "b" }), c: () => reference(net, "DEL", { id: "c" }) };
    t.equal((await del.b()).exitCode, 0);
    t.equal(del.c().exitCode, 0);
    t.strictSame(Object.keys(net.onDisk()), ["10.22.0.2", "10.22.0.5", "fd00:0:0:1::2", "fd00:0:0:1::5"]);
    t.strictSame(addressesOf(await net.ours("ADD", { id: "c" })), ["10.22.0.6/28", "fd00:0:0:1::6/64"]);
    t.strictSame(addressesOf(reference(net, "ADD", { id: "b" })), ["10.22.0.7/28", "fd00:0:0:1::7/64"]);

    async function refusesDuplicates(net: Network): Promise<void> {
      const before = net.onDisk();
      t.match(await net.ours("ADD", { id: "b" }), { exitCode: 1, answer: { code: 4, msg: /holds 10\.22\.0\.3/ } });
      t.not(reference(net, "ADD", { id: "c" }).exitCode, 0);
      t.strictSame(net.onDisk(), before);
    }
  });
}

t.test("CHECK of either sees what the other reserved", skip, async (t) => {
  using resident = makeResident(t);
  const net = makeNetwork(t, undefined, resident);
  const prevResult = { cniVersion: "1.0.0", ips: [{ address: "10.22.0.2/24" }] };
  reference(net, "ADD", { id: "theirs" });
  t.equal((await net.ours("CHECK", { id: "theirs", conf: { prevResult } })).exitCode, 0);
  await net.ours("ADD", { id: "ours" });
  t.equal(reference(net, "CHECK", { id: "ours", conf: { prevResult } }).exitCode, 0);
  reference(net, "DEL", { id: "ours" });
  t.equal((await net.ours("CHECK", { id: "ours", conf: { prevResult } })).exitCode, 1);
  await net.ours("DEL", { id: "theirs" });
  t.not(reference(net, "CHECK", { id: "theirs", conf: { prevResult } }).exitCode, 0);
});

t.test("60 ADDs and DELs by three in turn never give an address twice and leave nothing", skip, async (t) => {
  using resident = makeResident(t);
  const ipam = { ranges: [[{ subnet: "10.22.0.0/27" }]] };
  const net = makeNetwork(t, ipam);
  const stays = openNetwork(net.dataDir, ipam, resident);
  const held = new Map<string, string>();
  let seed = 11;
  const by = (command: string, id: string): Promise<Answer> | Answer => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    const turn = (seed >> 8) % 6;
    if (turn === 0) resident.flush();
    if (turn < 3) return stays.ours(command, { id });
    return turn < 5 ? reference(net, command, { id }) : net.ours(command, { id });
  };
  for (let turn = 0; turn < 60; turn++) {
    const id = `pod${turn}`;
    const [address] = addressesOf(await by("ADD", id)) as [string];
    t.notOk(held.has(address), `${address} was free`);
    held.set(address, id);
    if (held.size < 20) continue;
    const [[oldest, owner] = ["", ""]] = held;
    held.delete(oldest);
    t.equal((await by("DEL", owner)).exitCode, 0);
  }
  t.strictSame(Object.keys(net.onDisk()).sort(), [...held.keys()].map((address) => address.replace(/\/.*/, "")).sort());
  for (const owner of held.values()) await by("DEL", owner);
  t.strictSame(net.onDisk(), {});
});

t.test("what the reference plugin refuses, ours refuses too, with code 7", skip, async (t) => {
  const rows: readonly object[] = [
    { ranges: [] },
    { ranges: [[]] },
    { ranges: [[{ subnet: "10.22.0.0/31" }]] },
    { ranges: [[{ subnet: "10.22.0.1/24" }]] },
    { ranges: [[{ subnet: "10.22.0.0/24", rangeStart: "10.23.0.1" }]] },
    { ranges: [[{ subnet: "10.22.0.0/24", rangeStart: "10.22.0.9", rangeEnd: "10.22.0.8" }]] },
    { ranges: [[{ subnet: "10.22.0.0/24" }, { subnet: "fd00::/64" }]] },
    { ranges: [[{ subnet: "10.22.0.0/24" }, { subnet: "10.22.0.0/25" }]] },
    { ranges: [[{ subnet: "10.22.0.0/24" }], [{ subnet: "10.22.0.0/16" }]] },
    { ranges: [[{ subnet: "10.22.0.0/24" }]], routes: [{ dst: "default" }] },
  ];
  for (const ipam of rows) {
    const net = makeNetwork(t, ipam);
    t.not(reference(net, "ADD").exitCode, 0, JSON.stringify(ipam));
    const { exitCode, answer } = await net.ours("ADD");
    t.match({ exitCode, code: answer?.code }, { exitCode: 1, code: 7 }, JSON.stringify(answer?.msg));
    t.strictSame(net.onDisk(), {});
  }
});
