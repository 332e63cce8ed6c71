import { writeFileSync } from "node:fs";
import t from "tap";
import {
  attach,
  bridgeConf,
  collect,
  detach,
  FULL,
  fakeIpam,
  ipamCalls,
  kernelState,
  RANGE_4,
  result,
} from "./bridge-fixture.ts";
import { eventually } from "./harness/eventually.ts";
import { BIN, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const ONE_RANGE = { type: "host-local", ranges: [RANGE_4] };

t.test(
  "P4: of ADDs of one attachment at the same moment one succeeds, and the others leave its link alone",
  async (t) => {
    const node = await startNode(t);
    const conf = bridgeConf({ ipam: ONE_RANGE });
    await attach(node, await node.pod("keeper"), conf); // else the bridge's making sets them apart
    for (let round = 0; round < 8; round++) {
      const pod = await node.pod("pod");
      const calls = await Promise.all([1, 2, 3, 4].map(() => node.cni("ADD", pod, conf)));
      const [winner, ...more] = calls.filter(({ code }) => code === 0);
      if (winner === undefined || more.length > 0) {
        t.strictSame(calls.map(({ json }) => json?.msg ?? "attached").sort(), ["attached", "one of them"]);
        return;
      }
      for (const { code, json } of calls) if (code !== 0) t.match(json, { code: 4, msg: /exists already|is attached/ });
      t.match(await node.cni("CHECK", pod, { ...conf, prevResult: result(winner) }), { code: 0 });
      await detach(node, pod, conf);
    }
  },
);

t.test("a pod in two networks has a default route of each, as with the reference plugin", async (t) => {
  const node = await startNode(t);
  const routes = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];
  const conf = (n: number) => ({
    cniVersion: "1.0.0",
    name: `net${n}`,
    type: "bridge",
    bridge: `br${n}`,
    isGateway: true,
    ipam: { type: "host-local", ranges: [[{ subnet: `10.${n}.0.0/24` }], [{ subnet: `fd0${n}::/64` }]], routes },
  });
  const defaults = async (folder: string, pod: Pod): Promise<string> => {
    for (const n of [1, 2]) {
      const env = {
        PATH: process.env.PATH ?? "",
        CNI_COMMAND: "ADD",
        CNI_PATH: folder,
        CNI_CONTAINERID: pod.containerId,
        CNI_NETNS: pod.netns,
        CNI_IFNAME: `eth${n}`,
      };
      const { code, stdout } = await node.run([`${folder}/bridge`], { input: JSON.stringify(conf(n)), env });
      t.equal(code, 0, stdout);
    }
    return await pod.runOk(["sh", "-c", "ip -4 route show default; ip -6 route show default"]);
  };
  const ours = await defaults(BIN, await node.pod("ours"));
  t.match(ours, "default via 10.2.0.1 dev eth2");
  t.match(ours, "default via 10.1.0.1 dev eth1");
  t.equal(ours, await defaults("/usr/lib/cni", await node.pod("theirs")));
});

t.test("an address that a renamed network left in the masquerade map is taken over", async (t) => {
  const node = await startNode(t);
  const conf = { ...FULL, macspoofchk: false, ipam: ONE_RANGE };
  const lost = await node.pod("lost");
  await attach(node, lost, { ...conf, name: "before", bridge: "br1" });
  const pod = await node.pod("pod");
  t.match((await attach(node, pod, { ...conf, name: "after", bridge: "br2" })).ips, [{ address: "10.22.0.2/16" }]);
  const elements = async () => (await node.sh("nft list map inet podwire egress4")).match(/10\.22\.\S+/g);
  t.strictSame(await elements(), ["10.22.0.2"]);
  await detach(node, lost, { ...conf, name: "before", bridge: "br1" });
  t.strictSame(await elements(), ["10.22.0.2"], "its former owner's DEL leaves it");
  await detach(node, pod, { ...conf, name: "after", bridge: "br2" });
  t.equal(await elements(), null);
});

t.test("names for which the kernel would choose a number are refused, and nothing is made", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const before = await kernelState(node);
  t.match((await node.cni("ADD", pod, bridgeConf({ bridge: "cni%d" }))).json, { code: 7, msg: /bridge: "cni%d"/ });
  const called = await node.cni("ADD", pod, bridgeConf(), { CNI_IFNAME: "eth%d" });
  t.match(called.json, { code: 4, msg: /CNI_IFNAME "eth%d"/ });
  t.equal(await kernelState(node), before);
});

t.test("P4: a bridge that cannot be prepared is not left behind", async (t) => {
  const node = await startNode(t);
  await node.sh("mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys");
  const before = await kernelState(node);
  t.match((await node.cni("ADD", await node.pod("pod"), bridgeConf())).json, { msg: /EROFS.*accept_ra/ });
  t.equal(await kernelState(node), before);
});

t.test("a log that nobody reads does not stop DEL half-way", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const env = await fakeIpam(node, { ips: [{ address: "10.22.0.7/16" }] });
  const conf = { ...bridgeConf({ ipam: { type: "fake" } }), prevResult: { ips: 7 } }; // of which the log tells
  await attach(node, pod, { ...conf, prevResult: undefined }, env);
  writeFileSync(node.path("/run/conf"), JSON.stringify(conf));
  // The log's reader has ended when wait returns.
  const script = `exec 9> >(exit 0); wait $!; ${BIN}/bridge < /run/conf 2>&9`;
  const called = await node.run(["bash", "-c", script], {
    env: {
      PATH: process.env.PATH ?? "",
      ...env,
      CNI_COMMAND: "DEL",
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: "eth0",
    },
  });
  t.match(called, { code: 0, stdout: "" });
  t.equal(await ipamCalls(node), "ADD DEL");
  t.notMatch(await pod.runOk(["ip", "link"]), "eth0");
});

t.test("P4: a failed ADD takes its changes to a bridge of somebody else's back", async (t) => {
  const node = await startNode(t);
  await node.sh("ip link add cni0 address 02:00:00:00:00:01 type bridge && ip link set cni0 up");
  await node.sh("ip address add 10.22.9.9/16 dev cni0");
  const state = () => node.sh("ip -o -4 address show; ip -d link show cni0 | grep -o 'PROMISC\\|promiscuity.'");
  const before = await state();
  const env = await fakeIpam(node, {
    ips: [{ address: "10.22.0.7/16", gateway: "10.22.0.1" }],
    routes: [{ dst: "192.0.2.0/24", gw: "203.0.113.1" }],
  });
  const conf = bridgeConf({ ipam: { type: "fake" }, forceAddress: true, promiscMode: true });
  t.match((await node.cni("ADD", await node.pod("pod"), conf, env)).json, { code: 7, msg: /192\.0\.2\.0/ });
  t.equal(await state(), before);
});

t.test("an address that a new pod has is reached at its new MAC the moment ADD returns", async (t) => {
  const node = await startNode(t);
  const conf = bridgeConf();
  const blue = await node.pod("blue");
  await attach(node, blue, conf);
  // Else the kernel takes no news of a neighbour that it has learned in the last second.
  await blue.runOk(["sysctl", "-qw", "net.ipv4.neigh.eth0.locktime=0"]);
  await node.sh("sysctl -qw net.ipv4.neigh.cni0.locktime=0");
  const wanted = bridgeConf({ runtimeConfig: { ips: ["10.22.0.9", "fd00:22::9"] } });
  const neighbours = async (address: string) =>
    (await blue.runOk(["ip", "neigh", "show", address])) + (await node.sh(`ip neigh show ${address}`));
  const old = await node.pod("old");
  const before = await attach(node, old, wanted);
  const addresses = before.ips.map(({ address }) => address.split("/")[0] ?? "");
  for (const address of addresses) {
    t.ok(await blue.pings(address));
    await node.sh(`ping -c 1 -W 10 ${address}`);
    t.equal((await neighbours(address)).split(before.interfaces[2]?.mac ?? "none").length, 3, "both know the old MAC");
  }
  await detach(node, old, conf);
  t.equal(
    await node.sh(`ip neigh show dev cni0 | grep ${before.interfaces[2]?.mac} || true`),
    "",
    "the node forgot it",
  );
  const after = await attach(node, await node.pod("new"), wanted);
  t.strictSame(after.ips, before.ips);
  for (const address of addresses) {
    const news = after.interfaces[2]?.mac ?? "none";
    // Nobody has asked: only what ADD sent can tell it. On a busy machine the kernel may hand it over a moment later.
    const known = await eventually(async () => {
      const now = await neighbours(address);
      return now.includes(news) ? now : undefined;
    }, `the other pod knows the new MAC ${news} of ${address}`);
    t.notMatch(known, before.interfaces[2]?.mac ?? "none");
    t.ok(await blue.pings(address, 1));
  }
});

t.test("S4: while the path is swapped all the time, an ADD happens in one namespace alone", async (t) => {
  const node = await startNode(t);
  const conf = bridgeConf({ ipam: ONE_RANGE });
  const [red, blue] = [await node.pod("red"), await node.pod("blue")];
  await node.sh(`ln -s ${red.netns} /run/swapped`);
  const swap = `const fs = require("node:fs");
    for (;;) for (const n of ["${blue.netns}", "${red.netns}"]) {
      fs.symlinkSync(n, "/run/next");
      fs.renameSync("/run/next", "/run/swapped");
    }`;
  node.spawn([process.execPath, "-e", swap]);
  for (let round = 0; round < 12; round++) {
    await attach(node, red, conf, { CNI_NETNS: "/run/swapped" });
    const links = await Promise.all([red, blue].map((pod) => pod.runOk(["ip", "-br", "address"])));
    const made = links.filter((text) => text.includes("eth0")).join();
    t.match(made, /^lo[^,]*eth0@\S+ +UP +10\.22\.0\.\d+\/16[^,]*$/);
    await detach(node, red, conf);
  }
});

t.test("a link that was killed before it got its alias is known by name and group", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const [, host] = (await attach(node, pod, bridgeConf())).interfaces;
  await node.sh(`ip link set ${host?.name} alias ""; ip link set cni0 alias ""`);
  await node.sh("ip link add pw0123456789ab type veth peer name other");
  t.match(await collect(node, [], bridgeConf()), { code: 0 });
  const links = await node.sh("ip -br link");
  t.notMatch(links, new RegExp(`${host?.name}|cni0`));
  t.match(links, "pw0123456789ab", "another's link stays");
});
