import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import t from "tap";
import { addressOf, attach, collect, detach, result } from "./bridge-fixture.ts";
import { type Called, type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const CONF = { type: "vxlan-overlay", cniVersion: "1.1.0", name: "over" } as const;
const FOLDER = "/run/podwire/networks";
const LEASE = {
  network: "over",
  state: "held",
  ready: true,
  subnets: ["10.244.5.0/24", "fd00:244:0:5::/64"],
  cidrs: ["10.244.0.0/16", "fd00:244::/48"],
  mtu: 1464,
};

/** What the agent writes. A text is written as it is. */
function writeLease(node: Node, lease: object | string, name = "over"): void {
  mkdirSync(node.path(FOLDER), { recursive: true, mode: 0o700 });
  const text = typeof lease === "string" ? lease : JSON.stringify(lease);
  writeFileSync(node.path(`${FOLDER}/${name}.json`), text, { mode: 0o600 });
}

/**
 * The node's state, without the lease itself and the lock file that stays where nftables was asked.
 */
async function made(node: Node): Promise<string> {
  const files = /^\/run\/podwire\/(nft\.lock|networks\/over\.json)\n?/gm;
  return (await node.snapshot()).replace(files, "").trim();
}

const status = (node: Node, conf: object = CONF) => node.runtime.call("STATUS", undefined, conf);
const check = (node: Node, pod: Pod, prevResult: unknown, conf: object = CONF) =>
  node.cni("CHECK", pod, { ...conf, prevResult });

t.test("no lease: ADD 11, STATUS 50, CHECK 11, each with the reason; DEL and GC do not mind", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const before = await made(node);
  const reason =
    /no subnet in network "over" yet: \/run\/podwire\/networks\/over\.json is not there; is podwire-agent running/;
  t.match((await node.cni("ADD", pod, CONF)).json, { cniVersion: "1.1.0", code: 11, msg: reason });
  t.match((await status(node)).json, { code: 50, msg: reason });
  const prevResult = { cniVersion: "1.1.0", ips: [{ address: "10.244.5.2/24" }] };
  t.match((await check(node, pod, prevResult)).json, { code: 11, msg: reason });
  t.match(await node.cni("DEL", pod, CONF), { code: 0, stdout: "" });
  t.match(await collect(node, [], CONF), { code: 0, stdout: "" });
  t.equal(await made(node), before, "nothing was made");
});

for (const [what, lease, statusCode, msg] of [
  [
    "a fenced lease",
    { state: "fenced", reason: "node-3 holds 10.244.5.0/24 since noon" },
    51,
    /cannot take a pod.*node-3 holds 10\.244\.5\.0\/24/,
  ],
  ["a fenced lease without a word", { state: "fenced", ready: true }, 51, /network "over"/],
  [
    "no subnet yet",
    { state: "none", ready: false, subnets: [], reason: "the network is full" },
    50,
    /the network is full/,
  ],
  ["not programmed yet", { ready: false }, 50, /has not programmed its tunnels and routes yet/],
  [
    "routes that could not be made",
    { ready: false, reason: "route 10.244.6.0/24: EEXIST" },
    50,
    /10\.244\.6\.0\/24: EEXIST/,
  ],
] as const) {
  t.test(`${what}: STATUS ${statusCode}, ADD 11; pods that are there can be removed`, async (t) => {
    const node = await startNode(t);
    writeLease(node, LEASE);
    const [first, second] = [await node.pod("first"), await node.pod("second")];
    await attach(node, first, CONF);
    t.match(await status(node), { code: 0, stdout: "" });
    writeLease(node, { ...LEASE, ...lease });
    const before = await made(node);
    t.match((await node.cni("ADD", second, CONF)).json, { code: 11, msg });
    t.match((await status(node)).json, { code: statusCode, msg });
    t.equal(await made(node), before, "a refused ADD leaves nothing");
    await detach(node, first, CONF);
    t.notMatch(await node.runOk(["ip", "-br", "link"]), /^pw[0-9a-f]{12}/m);
    t.equal(
      await node.sh("ls /var/lib/cni/networks/over | grep -c '\\.\\|:' || true"),
      "2\n",
      "last_reserved_ip.0 and .1",
    );
  });
}

const deep = "[".repeat(20_000);
const BROKEN = [
  ["empty", "", 6],
  ["no JSON", "held", 6],
  ["half a file", JSON.stringify(LEASE).slice(0, 60), 6],
  ["a list", "[]", 6],
  ["null", "null", 6],
  ["brackets without end", deep, 6],
  ["no key", "{}", 6],
  ["a subnet that is a text", { ...LEASE, subnets: "10.244.5.0/24" }, 6],
  ["a subnet with host bits", { ...LEASE, subnets: ["10.244.5.9/24"] }, 6],
  ["a subnet that is a path", { ...LEASE, subnets: ["../../etc/passwd"] }, 6],
  ["a subnet that is an object", { ...LEASE, subnets: [{ toString: 1 }] }, 6],
  ["an MTU that is a text", { ...LEASE, mtu: "1464" }, 6],
  ["an MTU too small", { ...LEASE, mtu: 1 }, 6],
  ["an MTU that is no number", '{"network":"over","state":"held","ready":true,"subnets":[],"cidrs":[],"mtu":1e999}', 6],
  ["an unknown state", { ...LEASE, state: "maybe" }, 6],
  ["ready as a text", { ...LEASE, ready: "yes" }, 6],
  ["a reason that is a list", { ...LEASE, state: "fenced", reason: ["x"] }, 6],
  ["another network's", { ...LEASE, network: "other" }, 6],
  ["a prototype", `{"__proto__":${JSON.stringify(LEASE)}}`, 6],
  ["a megabyte", " ".repeat(1_000_000) + JSON.stringify(LEASE), 5],
] as const;

t.test(
  "broken and hostile lease files: a code and a sentence that names the file, no crash, nothing made",
  async (t) => {
    const node = await startNode(t);
    const pod = await node.pod("pod");
    writeLease(node, LEASE, "elsewhere");
    const path = node.path(`${FOLDER}/over.json`);
    const before = await made(node);
    const refused = async (what: string, code: number, msg: RegExp = /\/run\/podwire\/networks\/over\.json/) => {
      for (const answer of [await node.cni("ADD", pod, CONF), await status(node)]) {
        t.match(answer, { code: 1, json: { code, msg } }, `${what}: ${JSON.stringify(answer.json).slice(0, 200)}`);
        t.notMatch(answer.stdout, /at \w+ \(|node:internal/, "no stack");
      }
      t.match(await node.cni("DEL", pod, CONF), { code: 0, stdout: "" }, `${what}: DEL`);
      t.match(await collect(node, [], CONF), { code: 0, stdout: "" }, `${what}: GC`);
      t.equal(await made(node), before, `${what}: nothing was made`);
    };
    for (const [what, lease, code] of BROKEN) {
      writeLease(node, lease);
      await refused(what, code);
    }
    await node.sh(`rm ${FOLDER}/over.json`);
    for (const [what, make] of [
      ["a symbolic link to a good lease", () => symlinkSync(`${FOLDER}/elsewhere.json`, path)],
      ["a dangling symbolic link", () => symlinkSync("/nowhere", path)],
      ["a folder", () => mkdirSync(path)],
      ["a FIFO that nobody writes to", () => node.sh(`mkfifo ${FOLDER}/over.json`)],
      [
        "a socket",
        () =>
          node.sh(`${process.execPath} -e 'net.createServer().listen("${FOLDER}/over.json", () => process.exit())'`),
      ],
      ["a device", () => node.sh(`mknod ${FOLDER}/over.json c 1 5`)],
    ] as const) {
      await make();
      await refused(what, 5);
      await node.sh(`rm -rf ${FOLDER}/over.json`);
    }
  },
);

t.test("a network's name decides which file is read, and can be no path", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  writeLease(node, { ...LEASE, network: "passwd", subnets: ["10.9.9.0/24"] }, "../../../etc/passwd");
  for (const network of ["../../../etc/passwd", "a/b", "", ".", "-x"]) {
    const { json } = await node.cni("ADD", pod, { ...CONF, network });
    t.match(json, { code: 7 }, `${network}: ${JSON.stringify(json)}`);
  }
  writeLease(node, { ...LEASE, network: "blue" }, "blue");
  const { ips } = await attach(node, pod, { ...CONF, network: "blue" });
  t.match(ips[0], { address: /^10\.244\.5\./, gateway: "10.244.5.1" });
  t.match(await node.runOk(["ip", "-br", "link", "show", "type", "bridge"]), /^pw-blue /m);
});

t.test("P1: STATUS says 50 with counts when the subnet is nearly used up, and when it is", async (t) => {
  const node = await startNode(t);
  writeLease(node, { ...LEASE, subnets: ["10.244.5.0/29"] });
  const pods: Pod[] = [];
  const add = async () => {
    const pod = await node.pod(`pod-${pods.length}`);
    const { ips } = await attach(node, pod, CONF);
    pods.push(pod);
    return ips[0]?.address;
  };
  for (let i = 0; i < 3; i++) await add();
  t.match(await status(node), { code: 0, stdout: "" }, "two of five left");
  await add();
  t.match((await status(node)).json, { code: 50, msg: /10\.244\.5\.0\/29 has 1 of 5 addresses left/ });
  t.equal(await add(), "10.244.5.6/29", "a pod on its way still gets the last one");
  t.match((await status(node)).json, { code: 50, msg: /10\.244\.5\.1-10\.244\.5\.6 \(5 of 5 addresses taken\)/ });
  const late = await node.pod("late");
  const before = await made(node);
  t.match((await node.cni("ADD", late, CONF)).json, { code: 11, msg: /5 of 5 addresses taken/ });
  t.equal(await made(node), before, "a refused ADD leaves nothing");
  for (const pod of pods.slice(0, 2)) await detach(node, pod, CONF);
  t.match(await status(node), { code: 0, stdout: "" }, "room again");
});

t.test("CHECK finds a pod whose address is not of the node's subnet any more, and tells what to do", async (t) => {
  const node = await startNode(t);
  writeLease(node, LEASE);
  const pod = await node.pod("pod");
  const prevResult = await attach(node, pod, CONF);
  t.match(await check(node, pod, prevResult), { code: 0, stdout: "" });
  const address = addressOf(prevResult, 4).replaceAll(".", "\\.");
  for (const [what, lease, msg] of [
    [
      "moved",
      { ...LEASE, subnets: ["10.244.9.0/24"] },
      new RegExp(`pod has ${address}/24, .*"over" are 10\\.244\\.9\\.0/24.*restart the pod`),
    ],
    [
      "moved in one family",
      { ...LEASE, subnets: ["10.244.5.0/24", "fd00:244:0:9::/64"] },
      /pod has fd00:244:0:5::2\/64/,
    ],
    ["fenced", { ...LEASE, state: "fenced", ready: false, subnets: [] }, /subnets in network "over" are none/],
  ] as const) {
    writeLease(node, lease);
    t.match((await check(node, pod, prevResult)).json, { code: 100, msg }, what);
  }
  writeLease(node, LEASE);
  await pod.runOk(["ip", "route", "del", "default"]);
  t.not((await check(node, pod, prevResult)).code, 0, "the bridge's own CHECK is asked too");
  await pod.runOk(["ip", "route", "add", "default", "via", "10.244.5.1"]);
  t.match(await check(node, pod, prevResult), { code: 0 });
  await pod.runOk(["ip", "address", "del", prevResult.ips[0]?.address ?? "", "dev", "eth0"]);
  t.match((await check(node, pod, prevResult)).json, { code: 100, msg: new RegExp(address) });
  t.match((await check(node, pod, undefined)).json, { code: 7, msg: /prevResult/ });
});

t.test("GC removes exactly what is not valid, with and without a lease; no list is an error", async (t) => {
  const node = await startNode(t);
  writeLease(node, LEASE);
  const [kept, stale, gone] = [await node.pod("kept"), await node.pod("stale"), await node.pod("gone")];
  const prevResult = await attach(node, kept, CONF);
  const idle = await made(node);
  await attach(node, stale, CONF);
  await attach(node, gone, CONF);
  await gone.deleteNetns();
  t.match((await node.runtime.call("GC", undefined, CONF)).json, { code: 7, msg: /valid-attachments/ });
  await node.sh(`rm -r ${FOLDER}`);
  t.match(await collect(node, [kept], CONF), { code: 0, stdout: "" });
  await stale.deleteNetns();
  writeLease(node, LEASE);
  t.equal(await made(node), idle);
  t.match(await check(node, kept, prevResult), { code: 0 }, "the valid one is whole");
  t.ok(await kept.pings("10.244.5.1"));
  t.match(await collect(node, [], CONF), { code: 0 });
  t.notMatch(await node.runOk(["ip", "-br", "link"]), /^pw/m, "the last one takes the bridge along");
});

t.test(
  "P15: two interfaces of a container do not collide, and a lost scratch file cannot be: there is none",
  async (t) => {
    const node = await startNode(t);
    writeLease(node, LEASE);
    const pod = await node.pod("pod");
    const files = () =>
      node.sh("find /run /var/lib -type f ! -path '/run/netns/*' ! -path '*/networks/over*' 2>/dev/null | sort");
    const before = await files();
    const eth0 = await attach(node, pod, CONF);
    const net1 = await attach(node, pod, CONF, { CNI_IFNAME: "net1" });
    t.equal(await files(), before, "no file but host-local's");
    t.not(addressOf(eth0, 4), addressOf(net1, 4));
    t.match(
      (await node.cni("ADD", pod, CONF)).json,
      { code: /4|7/, msg: /eth0/ },
      "a second ADD of one interface is refused",
    );
    t.match(await check(node, pod, eth0), { code: 0 }, "and leaves the first whole");
    await node.sh(`rm -rf /run/podwire`);
    result(await node.cni("DEL", pod, CONF, { CNI_IFNAME: "net1" }));
    t.equal(await node.sh("ls /var/lib/cni/networks/over | grep '^10'"), `${addressOf(eth0, 4)}\n`);
    writeLease(node, LEASE);
    t.match(await check(node, pod, eth0), { code: 0 }, "eth0 is untouched");
    result(await node.cni("DEL", pod, CONF, { CNI_NETNS: "" }));
    t.equal(await node.sh("ls /var/lib/cni/networks/over | grep -c '^10\\|^fd' || true"), "0\n");
    t.notMatch(await node.runOk(["ip", "-br", "link"]), /^pw[0-9a-f]{12}/m);
  },
);

interface OldResult {
  readonly cniVersion: string;
  readonly ips?: readonly { readonly version?: string; readonly address: string }[];
  readonly interfaces?: readonly Record<string, unknown>[];
}

for (const cniVersion of ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const) {
  t.test(`P17: CNI ${cniVersion}: all its verbs, and results of its shape alone`, async (t) => {
    const node = await startNode(t);
    writeLease(node, LEASE);
    const conf = { ...CONF, cniVersion };
    const pod = await node.pod("pod");
    const added = result(await node.cni("ADD", pod, conf)) as unknown as OldResult & ReturnType<typeof result>;
    t.equal(added.cniVersion, cniVersion);
    t.strictSame(
      added.ips?.map(({ version }) => version),
      cniVersion.startsWith("0.") ? ["4", "6"] : [undefined, undefined],
      "ips[].version before 1.0.0 alone",
    );
    t.equal(
      added.interfaces?.some((each) => "mtu" in each),
      cniVersion === "1.1.0",
      "interfaces[].mtu since 1.1.0",
    );
    t.match(
      added.interfaces?.map(({ name }) => name),
      ["pw-over", /^pw[0-9a-f]{12}$/, "eth0"],
    );
    const { mtu } = JSON.parse(await pod.runOk(["ip", "-j", "link", "show", "eth0"]))[0];
    t.equal(mtu, 1464, "the lease's MTU");
    t.ok(await pod.pings("10.244.5.1"), "the gateway answers");
    t.match(await pod.runOk(["ip", "route"]), /default via 10\.244\.5\.1/);
    t.match(await pod.runOk(["ip", "-6", "route"]), /default via fd00:244:0:5::1/);

    const unknown = (answer: Called) => t.match(answer.json, { code: 1 }, "a verb that the version does not have");
    if (cniVersion === "0.3.1") unknown(await check(node, pod, added, conf));
    else t.match(await check(node, pod, added, conf), { code: 0, stdout: "" });
    if (cniVersion === "1.1.0") {
      t.match(await status(node, conf), { code: 0, stdout: "" });
      t.match(await collect(node, [pod], conf), { code: 0, stdout: "" });
    } else {
      unknown(await status(node, conf));
      unknown(await collect(node, [pod], conf));
    }
    t.match(await node.cni("VERSION", pod, { ...CONF, cniVersion }), {
      code: 0,
      json: { supportedVersions: /1\.1\.0/ },
    });
    t.match(await node.cni("DEL", pod, { ...conf, prevResult: added }), { code: 0, stdout: "" });
    t.match(await node.cni("DEL", pod, { ...conf, prevResult: added }), { code: 0, stdout: "" }, "twice");
  });
}

t.test("a configuration that is wrong: code 7 with key and value, before anything is made", async (t) => {
  const node = await startNode(t);
  writeLease(node, LEASE);
  const pod = await node.pod("pod");
  const before = await made(node);
  for (const [keys, msg] of [
    [{ mtu: 7 }, /mtu: 7 is not an integer in 68\.\.65535/],
    [{ hairpinMode: "yes" }, /hairpinMode: "yes"/],
    [{ delegate: { type: "macvlan" } }, /delegate\.type: "macvlan" is not "bridge"/],
    [{ delegate: [] }, /delegate: \[\]/],
    [{ bridge: "a/b" }, /bridge.*a\/b/],
    [{ ipam: { dataDir: "relative" } }, /ipam\.dataDir.*relative/],
    [{ ipam: { dataDir: "/var/lib/../../etc" } }, /ipam\.dataDir/],
    [{ network: 7 }, /network: 7/],
  ] as const) {
    const { json } = await node.cni("ADD", pod, { ...CONF, ...keys });
    t.match(json, { code: 7, msg }, JSON.stringify(json));
  }
  t.equal(await made(node), before);
  const elsewhere = { ...CONF, ipam: { dataDir: "/var/lib/mine" } };
  await attach(node, pod, elsewhere);
  t.equal(await node.sh("ls /var/lib/mine/over | grep -c '^10'"), "1\n", "ipam.dataDir is heard");
  await detach(node, pod, elsewhere);
  t.equal(await node.sh("ls /var/lib/mine/over | grep -c '^10' || true"), "0\n", "by DEL too");
});
