import * as fs from "node:fs";
import { join } from "node:path";
import t from "tap";
import { addressesOf, withEachHost } from "./fixture.ts";

const DUAL = { ranges: [[{ subnet: "10.22.0.0/24" }], [{ subnet: "fd00::/64" }]] };
const NEWEST = { cniVersion: "1.1.0" };

withEachHost(t, "ADD answers addresses, gateways, routes and dns", async (t, makeNetwork) => {
  const net = makeNetwork(t);
  const resolvConf = join(net.dataDir, "resolv.conf");
  fs.writeFileSync(
    resolvConf,
    "# ours\nnameserver 192.0.2.53\nnameserver fd00::53\ndomain a\nsearch a b\noptions ndots:5 rotate\n",
  );
  const routes = [
    { dst: "0.0.0.0/0" },
    { dst: "10.0.0.0/8", gw: "10.22.0.7", mtu: 1400, advmss: 1360, priority: 5, table: 100, scope: 0 },
  ];
  const { answer } = await net.ours("ADD", { conf: NEWEST, ipam: { ...DUAL, routes, resolvConf } });
  t.strictSame(answer, {
    cniVersion: "1.1.0",
    ips: [
      { address: "10.22.0.2/24", gateway: "10.22.0.1" },
      { address: "fd00::2/64", gateway: "fd00::1" },
    ],
    routes,
    dns: { nameservers: ["192.0.2.53", "fd00::53"], domain: "a", search: ["a", "b"], options: ["ndots:5", "rotate"] },
  });
});

withEachHost(t, "DEL succeeds with nothing there and with a configuration that ADD refuses", async (t, makeNetwork) => {
  const net = makeNetwork(t);
  t.equal((await net.ours("DEL")).exitCode, 0);
  t.notOk(fs.existsSync(net.folder), "and makes nothing");
  await net.ours("ADD");
  const broken = { ranges: [[{ subnet: "rubbish" }]], routes: "x", resolvConf: 5, rangeStart: "10.0.0.0" };
  t.match(await net.ours("ADD", { id: "pod2", ipam: broken }), { exitCode: 1 });
  t.match(await net.ours("DEL", { ipam: broken }), { exitCode: 0, stdout: "" });
  t.strictSame(net.onDisk(), {});
  t.equal((await net.ours("DEL")).exitCode, 0);
});

withEachHost(t, "a second ADD is refused and the first reservation stays", async (t, makeNetwork) => {
  const net = makeNetwork(t, DUAL);
  await net.ours("ADD");
  const before = net.onDisk();
  const msg = /CNI_CONTAINERID pod1 with CNI_IFNAME eth0 holds 10\.22\.0\.2, fd00::2 already/;
  t.match(await net.ours("ADD"), { exitCode: 1, answer: { code: 4, msg } });
  t.strictSame(net.onDisk(), before);
  t.strictSame(addressesOf(await net.ours("ADD", { ifName: "net1" })), ["10.22.0.3/24", "fd00::3/64"]);
});

withEachHost(t, "CHECK compares the reservation with prevResult", async (t, makeNetwork) => {
  const net = makeNetwork(t, DUAL);
  const added = await net.ours("ADD");
  const check = (ips: unknown) => net.ours("CHECK", { conf: { prevResult: { cniVersion: "1.0.0", ips } } });
  t.match(await check(added.answer?.ips), { exitCode: 0, stdout: "" });
  t.match(await check([{ address: "10.22.0.9/24" }, { address: "fd00::2/64" }]), {
    answer: { code: 100, msg: /does not hold 10\.22\.0\.9 of prevResult\.ips/ },
  });
  t.match(await check([{ address: "10.22.0.2/24" }]), {
    answer: { code: 100, msg: /holds fd00::2 in .* not in prevResult/ },
  });
  fs.rmSync(join(net.folder, "fd00::2"));
  t.match(await check(added.answer?.ips), { answer: { code: 100, msg: /does not hold fd00::2/ } });
  await net.ours("DEL");
  t.match(await check(added.answer?.ips), { answer: { code: 100, msg: /holds no address in/ } });
});

withEachHost(t, "P1: GC frees what is not listed and keeps what is", async (t, makeNetwork) => {
  const net = makeNetwork(t, DUAL);
  for (const id of ["a", "b", "c"]) await net.ours("ADD", { id });
  await net.ours("ADD", { id: "b", ifName: "net1" });
  fs.writeFileSync(join(net.folder, "10.22.0.200"), "b"); // an old file: its container is still there
  const valid = [{ containerID: "b", ifname: "eth0" }];
  t.match(await net.ours("GC", { conf: { ...NEWEST, "cni.dev/valid-attachments": valid } }), {
    exitCode: 0,
    stdout: "",
  });
  t.strictSame(net.onDisk(), { "10.22.0.200": "b", "10.22.0.3": "b\r\neth0", "fd00::3": "b\r\neth0" });
});

withEachHost(t, "P1: STATUS is 50 with the counts when a range is exhausted, and ADD is 11", async (t, makeNetwork) => {
  const net = makeNetwork(t, { ranges: [[{ subnet: "10.22.0.0/29" }], [{ subnet: "fd00::/64" }]] });
  t.match(await net.ours("STATUS", { conf: NEWEST }), { exitCode: 0, stdout: "" });
  t.notOk(fs.existsSync(net.folder), "STATUS makes nothing");
  const warned: boolean[] = [];
  for (let pod = 1; pod <= 5; pod++) {
    t.match(await net.ours("STATUS", { conf: NEWEST }), { exitCode: 0 });
    const { stderr } = await net.ours("ADD", { id: `pod${pod}` });
    warned.push(stderr.includes("range set is nearly exhausted"));
  }
  t.strictSame(warned, [false, false, false, false, true]);
  t.match(await net.ours("STATUS", { conf: NEWEST }), {
    exitCode: 1,
    answer: {
      code: 50,
      msg: /no address is left in 10\.22\.0\.1-10\.22\.0\.6 \(5 of 5 addresses taken\): delete attachments/,
    },
  });
  t.match(await net.ours("ADD", { id: "pod6" }), {
    exitCode: 1,
    answer: { code: 11, msg: /range set 0 is exhausted/ },
  });
  await net.ours("DEL", { id: "pod3" });
  t.match(await net.ours("STATUS", { conf: NEWEST }), { exitCode: 0 });
});

withEachHost(t, "STATUS is 50 when reservations cannot be kept", async (t, makeNetwork) => {
  const net = makeNetwork(t);
  fs.writeFileSync(join(net.dataDir, "file"), "");
  const ipam = { dataDir: join(net.dataDir, "file", "below") };
  t.match(await net.ours("STATUS", { conf: NEWEST, ipam }), {
    answer: { code: 50, msg: /ipam\.dataDir: reservations cannot be written in/ },
  });
});

withEachHost(t, "S1: hostile names touch nothing outside the data folder", async (t, makeNetwork) => {
  const net = makeNetwork(t);
  const hostile = ["../up", "a/b", "..", ".", "a\0b", "a b", "-x", "%2e%2e", "a\nb"];
  const before = fs.readdirSync(join(net.dataDir, ".."));
  for (const text of hostile) {
    for (const command of ["ADD", "DEL"]) {
      t.match((await net.ours(command, { id: text })).answer?.code, 4);
      t.match((await net.ours(command, { conf: { name: text } })).answer?.code, 7);
      t.match((await net.ours(command, { ipam: { dataDir: text } })).answer?.code, 7, text);
    }
  }
  t.strictSame(fs.readdirSync(net.dataDir), []);
  t.strictSame(fs.readdirSync(join(net.dataDir, "..")), before);
});
