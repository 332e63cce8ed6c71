import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter } from "node:path";
import t from "tap";
import { VERSIONS } from "../../cni/version.ts";
import { attach, bridgeConf, collect, result } from "./bridge-fixture.ts";
import { BIN, type Called, type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const DATA = "/run/cni/tuning";
const TUNING = { type: "tuning", cniVersion: "1.1.0", name: "test" } as const;
const MAC = "02:00:00:00:00:77";

/** A pod with an interface of the bridge plugin, and what that answered. */
async function bridged(node: Node, cniVersion = "1.1.0"): Promise<{ pod: Pod; prevResult: object }> {
  const pod = await node.pod("pod");
  const answer = await attach(
    node,
    pod,
    bridgeConf({ cniVersion, ipam: { type: "host-local", ranges: [[{ subnet: "10.22.0.0/24" }]] } }),
  );
  return { pod, prevResult: answer };
}

interface Shown {
  readonly address: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly txqlen: number;
}

async function eth0(pod: Pod): Promise<Shown> {
  const [link] = JSON.parse(await pod.runOk(["ip", "-j", "link", "show", "eth0"])) as Shown[];
  if (link === undefined) throw new Error("no eth0");
  return link;
}

async function sysctl(pod: Pod, ...keys: readonly string[]): Promise<string> {
  return (await pod.runOk(["sysctl", "-n", ...keys])).trim().replace(/\s+/g, " ");
}

function files(node: Node, folder = DATA): readonly string[] {
  return existsSync(node.path(folder)) ? readdirSync(node.path(folder)) : [];
}

t.test("ADD changes sysctls and the interface, CHECK compares them, DEL puts them back", async (t) => {
  const node = await startNode(t);
  const { pod, prevResult } = await bridged(node);
  const before = await eth0(pod);
  const watched = ["net.ipv4.conf.eth0.arp_filter", "net.core.somaxconn", "net.ipv4.ip_local_port_range"] as const;
  const sysctlBefore = await sysctl(pod, ...watched);
  const conf = {
    ...TUNING,
    sysctl: {
      "net.ipv4.conf.IFNAME.arp_filter": "1",
      "net/core/somaxconn": "511",
      "net.ipv4.ip_local_port_range": "10000 20000",
      "net.ipv4.route.flush": "1",
    },
    mac: MAC,
    mtu: 1454,
    promisc: true,
    allmulti: true,
    txQLen: 512,
  };
  const answer = result(await node.cni("ADD", pod, { ...conf, prevResult }));
  const [bridge, host, own] = answer.interfaces;
  t.match(own, { name: "eth0", mac: MAC, mtu: 1454 }, "P16: the result has the new MTU and MAC address");
  t.strictSame(
    [bridge, host, answer.ips],
    [...(prevResult as typeof answer).interfaces.slice(0, 2), (prevResult as typeof answer).ips],
  );
  t.match(await eth0(pod), { address: MAC, mtu: 1454, txqlen: 512 });
  t.ok((await eth0(pod)).flags.includes("PROMISC") && (await eth0(pod)).flags.includes("ALLMULTI"));
  t.equal(await sysctl(pod, ...watched), "1 511 10000 20000");
  t.strictSame(files(node), [`${pod.containerId}_eth0.json`]);
  t.equal(statSync(node.path(`${DATA}/${pod.containerId}_eth0.json`)).mode & 0o777, 0o600);
  t.equal(statSync(node.path(DATA)).mode & 0o777, 0o700);

  const check = () => node.cni("CHECK", pod, { ...conf, prevResult: answer });
  t.equal((await check()).stdout, "");
  await pod.runOk(["sh", "-c", "ip link set eth0 mtu 1400 promisc off; sysctl -qw net.core.somaxconn=99"]);
  t.match((await check()).json, {
    code: 100,
    msg: /sysctl net\/core\/somaxconn: want 511, have 99; mtu of eth0: want 1454, have 1400; promisc of eth0: want true, have false$/,
  });

  for (const round of ["once", "twice"]) {
    t.equal((await node.cni("DEL", pod, { ...conf, prevResult: answer })).stdout, "", round);
    t.strictSame(await eth0(pod), before);
    t.equal(await sysctl(pod, ...watched), sysctlBefore);
    t.strictSame(files(node), []);
  }
});

t.test(
  "P16: args.cni overrides runtimeConfig, that CNI_ARGS, that the configuration; args.cni.sysctl alone will do",
  async (t) => {
    const node = await startNode(t);
    const { pod, prevResult } = await bridged(node);
    const macs = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03", "02:00:00:00:00:04"] as const;
    const layers = [
      { mac: macs[0], mtu: 1300, promisc: true, allmulti: true, txQLen: 100 },
      {},
      { runtimeConfig: { mac: macs[2] } },
      {
        args: {
          cni: {
            mac: macs[3],
            mtu: 1200,
            promisc: false,
            allmulti: false,
            txQLen: 0,
            sysctl: { "net.ipv4.ip_default_ttl": "65" },
          },
        },
      },
    ] as const;
    const env = { CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAME=web;MAC=${macs[1]}` };
    for (const [level, mac] of macs.entries()) {
      const conf = { ...TUNING, ...Object.assign({}, ...layers.slice(0, level + 1)), prevResult };
      const called = await node.cni("ADD", pod, conf, level > 0 ? env : {});
      t.match(result(called).interfaces[2], { mac, mtu: level === 3 ? 1200 : 1300 });
      t.equal((await eth0(pod)).address, mac);
      if (level === 3) t.match(await eth0(pod), { mtu: 1200, txqlen: undefined }, "ip shows no 0");
      if (level === 3) t.equal(await sysctl(pod, "net.ipv4.ip_default_ttl"), "65");
      await node.cni("DEL", pod, conf, env);
    }
    t.equal(await sysctl(pod, "net.ipv4.ip_default_ttl"), "64", "put back");
    t.match((await node.cni("ADD", pod, { ...TUNING, prevResult }, { CNI_ARGS: "MAC=nonsense" })).json, { code: 4 });
    t.match((await node.cni("ADD", pod, { ...TUNING, prevResult }, { CNI_ARGS: "OTHER=1" })).json, { code: 4 });
  },
);

t.test("S1: only sysctls below net that the allowlist names, and nothing is done otherwise", async (t) => {
  const node = await startNode(t);
  const { pod, prevResult } = await bridged(node);
  const add = (keys: object) => node.cni("ADD", pod, { ...TUNING, mtu: 1400, ...keys, prevResult });
  const foreign = [
    "kernel.ostype",
    "net...kernel.ostype",
    "net/../kernel/ostype",
    "/net/core/somaxconn",
    "net",
    "net.",
    "net.ipv4..ip_forward",
    "../../etc/passwd",
    "",
  ];
  for (const key of foreign)
    t.match((await add({ sysctl: { [key]: "1" } })).json, { code: 7, msg: /^sysctl\..* only keys such as/ }, key);
  t.match((await add({ sysctl: { "net.no.such.key": "1" } })).json, { code: 7, msg: /no \/proc\/sys\/net\/no/ });
  t.match((await add({ sysctl: { "net.ipv4.ip_forward": "x" } })).json, { code: 7, msg: /refused by the kernel/ });
  t.match((await add({ sysctl: { "net.core.somaxconn": "1", "net/core/somaxconn": "2" } })).json, {
    code: 7,
    msg: /the same/,
  });
  for (const dataDir of ["relative", "/run/../etc", "/run/a\0b"])
    t.match((await add({ dataDir })).json, { code: 7, msg: /^dataDir/ });
  t.match((await add({ mtu: 10 })).json, { code: 7, msg: /^mtu: 10 on eth0 is refused/ }, "the kernel's own limit");
  t.match((await node.cni("ADD", pod, TUNING)).json, { code: 7, msg: /^prevResult is missing/ });

  await node.sh(
    "mkdir -p /etc/cni/tuning && printf '^net.ipv4.conf.IFNAME\\n\\n  somaxconn$\\n' > /etc/cni/tuning/allowlist.conf",
  );
  const refused = { sysctl: { "net.ipv4.ip_default_ttl": "65" } };
  t.match((await add(refused)).json, { code: 7, msg: /is not allowed on this node/ });
  t.match((await node.runtime.call("STATUS", undefined, { ...TUNING, ...refused })).json, { code: 50 });
  t.match((await node.cni("ADD", pod, { ...TUNING, args: { cni: refused }, prevResult })).json, { code: 7 });
  t.equal((await eth0(pod)).mtu, 1500, "the interface is as it was");
  t.equal(await sysctl(pod, "net.ipv4.ip_default_ttl"), "64");
  t.strictSame(files(node), []);
  result(await add({ sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1", "net.core.somaxconn": "300" } }));
  t.equal(await sysctl(pod, "net.core.somaxconn", "net.ipv4.conf.eth0.arp_filter"), "300 1");
});

t.test("P3, S12: DEL and GC need neither namespace nor interface, and follow no symbolic link", async (t) => {
  const node = await startNode(t);
  const pods = await Promise.all([bridged(node), bridged(node), bridged(node)]);
  const [gone, bare, kept] = pods.map(({ pod }) => pod) as [Pod, Pod, Pod];
  const conf = { ...TUNING, mtu: 1400, dataDir: "/run/tuned", sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1" } };
  for (const { pod, prevResult } of pods) result(await node.cni("ADD", pod, { ...conf, prevResult }));
  t.equal(files(node, conf.dataDir).length, 3);

  await gone.deleteNetns();
  await bare.runOk(["ip", "link", "del", "eth0"]);
  for (const pod of [gone, bare]) t.equal((await node.cni("DEL", pod, { ...conf, mtu: "wrong" })).stdout, "");
  t.strictSame(files(node, conf.dataDir), [`${kept.containerId}_eth0.json`]);

  const victim = node.path("/run/victim");
  writeFileSync(victim, JSON.stringify({ mtu: 1300, network: "test", containerId: "evil", ifName: "eth0" }));
  symlinkSync("/run/victim", node.path("/run/tuned/evil_eth0.json"));
  writeFileSync(
    node.path("/run/tuned/other_eth0.json"),
    JSON.stringify({ mtu: 1300, network: "other", containerId: "other", ifName: "eth0" }),
  );
  writeFileSync(node.path("/run/tuned/go_eth0.json"), JSON.stringify({ mtu: 1300 }));
  t.equal((await collect(node, [kept], conf)).stdout, "");
  const foreign = ["evil_eth0.json", "go_eth0.json", "other_eth0.json"];
  t.strictSame(files(node, conf.dataDir), [...foreign, `${kept.containerId}_eth0.json`].sort(), "others' files stay");
  t.equal((await collect(node, [], conf)).stdout, "");
  t.strictSame(files(node, conf.dataDir), foreign);
  t.equal((await eth0(kept)).mtu, 1400, "GC knows no namespace");

  symlinkSync("/run/victim", node.path(`/run/tuned/${kept.containerId}_eth0.json`));
  const [, , { prevResult }] = pods as [object, object, { prevResult: object }];
  result(await node.cni("ADD", kept, { ...conf, prevResult }));
  t.match(readFileSync(victim, "utf8"), /"evil"/, "ADD replaces a link that lies there");
});

t.test("every version of the specification", async (t) => {
  const node = await startNode(t);
  const { pod, prevResult } = await bridged(node);
  const { interfaces, ips, routes } = result({ code: 0, stdout: "", stderr: "", json: { ...prevResult } });
  for (const cniVersion of VERSIONS) {
    const typed = ips.map((ip) => (cniVersion < "1.0.0" ? { version: "4", ...ip } : ip));
    const told = cniVersion < "0.3.0" ? { ip4: { ip: "10.22.0.2/24" } } : { interfaces, ips: typed, routes };
    const called = await node.cni("ADD", pod, { ...TUNING, cniVersion, mac: MAC, mtu: 1400, prevResult: told });
    t.equal(called.code, 0, `${cniVersion}: ${called.stdout}`);
    if (cniVersion < "0.3.0") t.match(called.json, told);
    else t.match(called.json, { cniVersion, interfaces: [{}, {}, { mac: MAC }], ips: typed });
    const [, , own] = (called.json?.interfaces ?? []) as { mtu?: number }[];
    t.equal(own?.mtu, cniVersion === "1.1.0" ? 1400 : undefined, "older versions cannot say an MTU");
  }
});

t.test("a chain with the empty tuning that podman writes", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const ipam = { type: "host-local", ranges: [[{ subnet: "10.22.0.0/24" }]] };
  const plugins = [
    { type: "bridge", capabilities: { mac: true }, ipam },
    { type: "tuning", capabilities: { mac: true } },
  ];
  const list = { cniVersion: "0.4.0", name: "chain", plugins };
  const options = { runtimeConfig: { mac: MAC } };
  const added = await node.runtime.add(list, pod, options);
  t.match(added.json, { interfaces: [{}, {}, { mac: MAC }] }, added.stdout);
  t.equal((await node.runtime.check(list, pod, options))?.stdout, "");
  t.equal((await node.runtime.del(list, pod, options))?.stdout, "");
  t.strictSame(files(node), []);
});

/** One ADD and one DEL by the tuning of a folder. */
async function tunedBy(node: Node, folder: string, conf: object) {
  const { pod, prevResult } = await bridged(node, "1.0.0");
  const call = (command: string, input: object): Promise<Called> =>
    node
      .run([`${folder}/tuning`], {
        input: JSON.stringify({ ...TUNING, cniVersion: "1.0.0", ...input }),
        env: {
          PATH: process.env.PATH ?? "",
          CNI_COMMAND: command,
          CNI_PATH: [folder].join(delimiter),
          CNI_CONTAINERID: pod.containerId,
          CNI_NETNS: pod.netns,
          CNI_IFNAME: "eth0",
        },
      })
      .then((finished) => ({ ...finished, json: finished.stdout === "" ? undefined : JSON.parse(finished.stdout) }));
  const added = result(await call("ADD", { ...conf, prevResult }));
  const file = JSON.parse(readFileSync(node.path(`${DATA}/${pod.containerId}_eth0.json`), "utf8"));
  const shown = await eth0(pod);
  const checked = await call("CHECK", { ...conf, prevResult: added });
  const deleted = await call("DEL", { ...conf, prevResult: added });
  const comparable = (text: object) =>
    JSON.parse(
      JSON.stringify(text)
        .replaceAll(pod.containerId, "CONTAINER")
        .replace(/"(veth|pw)[0-9a-f]+"/g, '"HOST"'),
    );
  return {
    answer: comparable({
      ...added,
      interfaces: added.interfaces.map(({ name, sandbox }) => ({ name, sandbox })),
      dns: {},
    }),
    file: { mtu: file.mtu, promisc: file.promisc, allmulti: file.allmulti, hasMac: "mac" in file },
    shown: { ...shown, ...{ ifindex: 0, link_index: 0 } },
    codes: [checked.code, deleted.code],
    after: { ...(await eth0(pod)), ...{ ifindex: 0, link_index: 0, address: "" } },
    left: files(node),
  };
}

t.test("the reference plugin 1.1.1 answers, sets up and writes down the same", async (t) => {
  const conf = { mac: MAC, mtu: 1400, promisc: true, allmulti: true };
  const [ours, theirs] = await Promise.all(
    [BIN, "/usr/lib/cni"].map(async (folder) => await tunedBy(await startNode(t), folder, conf)),
  );
  t.strictSame(ours, theirs);
});
