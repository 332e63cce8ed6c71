import { readFileSync } from "node:fs";
import t from "tap";
import { VERSIONS } from "../../cni/version.ts";
import { type Attached, attach, bridgeConf, collect, kernelState, result } from "./bridge-fixture.ts";
import { BIN, type Called, type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const SHAPE = { type: "bandwidth", cniVersion: "1.1.0", name: "test" } as const;
/** A megabyte a second each way, and 64 KB at once. */
const LIMITS = { ingressRate: 8_000_000, ingressBurst: 524_288, egressRate: 8_000_000, egressBurst: 524_288 } as const;
const GATEWAY = "10.22.0.1";

interface Shaped {
  readonly pod: Pod;
  readonly prevResult: Attached;
  /** Name of the host's end. */
  readonly host: string;
}

/** A pod on a bridge, not shaped yet. */
async function bridged(node: Node, cniVersion = "1.1.0", pod?: Pod, ifName = "eth0"): Promise<Shaped> {
  const where = pod ?? (await node.pod("pod"));
  const conf = bridgeConf({
    cniVersion,
    ipam: { type: "host-local", ranges: [[{ subnet: "10.22.0.0/24" }], [{ subnet: "fd00:22::/64" }]] },
  });
  const prevResult = await attach(node, where, conf, { CNI_IFNAME: ifName });
  return { pod: where, prevResult, host: prevResult.interfaces[1]?.name ?? "" };
}

async function shaped(node: Node, pod: Shaped, keys: object, ifName = "eth0"): Promise<Attached> {
  const conf = { ...SHAPE, ...keys, prevResult: pod.prevResult };
  return result(await node.cni("ADD", pod.pod, conf, { CNI_IFNAME: ifName }));
}

interface Qdisc {
  readonly kind: string;
  readonly handle: string;
  readonly root?: boolean;
  readonly options: {
    readonly rate?: number;
    readonly burst?: number;
    readonly lat?: number;
    readonly default?: string;
  };
}

async function qdiscs(node: Node, link: string): Promise<readonly Qdisc[]> {
  return JSON.parse(await node.runOk(["tc", "-j", "qdisc", "show", "dev", link])) as Qdisc[];
}

/** What tc(8) says of the link, numbers that the kernel chooses removed. */
async function traffic(node: Node, link: string): Promise<string> {
  const text = await node.sh(
    `tc qdisc show dev ${link}; tc class show dev ${link}; tc filter show dev ${link}; tc filter show dev ${link} ingress`,
  );
  return text.replace(
    / refcnt \d+| direct_packets_stat \d+| chain 0| ref \d+ bind \d+| index \d+| \(rule hit.*?\)/g,
    "",
  );
}

const ifbs = async (node: Node) =>
  (await node.sh("ip -o link show type ifb | cut -d: -f2")).split(/\s+/).filter((name) => name !== "");

/** Bytes that go from the one to the other by TCP, and the seconds until their count is back. */
async function transfer(from: Node | Pod, to: Node | Pod, address: string, bytes: number): Promise<number> {
  const count = `let n=0; s.on("data", d => n += d.length).on("end", () => s.end(String(n)))`;
  const server = to.spawn([
    process.execPath,
    "-e",
    `net.createServer({allowHalfOpen: true}, s => { ${count} }).listen(7000, "${address}", () => console.log("listening"))`,
  ]);
  await server.prints(/listening/);
  const client = `const t=process.hrtime.bigint(); let told="";
    net.connect(7000, "${address}").on("data", d => told += d).on("end", () => console.log(told, Number(process.hrtime.bigint()-t)/1e9)).end(Buffer.alloc(${bytes}))`;
  const [told, seconds] = (await from.runOk([process.execPath, "-e", client])).trim().split(" ").map(Number);
  await server.stop();
  if (told !== bytes) throw new Error(`${told} of ${bytes} bytes arrived`);
  return seconds ?? 0;
}

t.test("what a pod gets and sends is limited, CHECK compares the limits, and DEL leaves nothing", async (t) => {
  const node = await startNode(t);
  const pod = await bridged(node);
  const before = await kernelState(node);
  const trafficBefore = await traffic(node, pod.host);
  const added = await shaped(node, pod, LIMITS);
  const [ifb = ""] = await ifbs(node);
  t.match(ifb, /^pwi[0-9a-f]{12}$/);
  const { address } = JSON.parse(await node.runOk(["ip", "-j", "link", "show", ifb]))[0];
  t.strictSame(added, {
    ...pod.prevResult,
    interfaces: [...pod.prevResult.interfaces, { name: ifb, mac: address, mtu: 1500 }],
  });
  t.match(
    await node.sh(`ip -d link show ${ifb}`),
    new RegExp(`alias podwire ifb net=test cid=${pod.pod.containerId} if=eth0`),
  );
  const bucket = { kind: "tbf", handle: "7077:", root: true, options: { rate: 1_000_000, burst: 65_536, lat: 25_000 } };
  t.match(await qdiscs(node, ifb), [bucket]);
  t.match(await qdiscs(node, pod.host), [bucket, { kind: "ingress" }]);
  t.match(
    await traffic(node, pod.host),
    new RegExp(`match 00000000/00000000 at 0\\n.*Egress Redirect to device ${ifb}\\) stolen`),
  );

  // No upper bound: a slow machine may take as long as it likes.
  const bytes = 512 * 1024;
  const fastest = (bytes - 65_536) / 1_000_000;
  const podAddress = pod.prevResult.ips[0]?.address.split("/")[0] ?? "";
  const sent = await transfer(pod.pod, node, GATEWAY, bytes);
  t.ok(sent >= fastest, `the pod sends ${bytes} bytes in ${sent} s, at least ${fastest}`);
  const got = await transfer(node, pod.pod, podAddress, bytes);
  t.ok(got >= fastest, `the pod gets ${bytes} bytes in ${got} s, at least ${fastest}`);
  for (const link of [ifb, pod.host]) {
    const [{ bytes: counted = 0 } = {}] = JSON.parse(
      await node.runOk(["tc", "-j", "-s", "qdisc", "show", "dev", link]),
    );
    t.ok(counted > bytes, `${link} has counted ${counted} bytes`);
  }

  const check = () => node.cni("CHECK", pod.pod, { ...SHAPE, ...LIMITS, prevResult: added });
  t.equal((await check()).stdout, "");
  await node.sh(`tc qdisc change dev ${ifb} root handle 7077: tbf rate 16mbit burst 64kb limit 90536`);
  t.match((await check()).json, {
    code: 100,
    msg: new RegExp(`bytes a second of ${ifb}: want 1000000, have 2000000$`),
  });
  await node.sh(`tc qdisc del dev ${pod.host} root; tc qdisc del dev ${pod.host} ingress`);
  t.match((await check()).json, {
    code: 100,
    msg: /qdisc of pw\w+: want tbf, have .*redirection of pw\w+: want to link \d+, have nothing$/,
  });
  await node.sh(`ip link del ${ifb}`);
  t.match((await check()).json, { code: 100, msg: new RegExp(`link: want ${ifb}, have nothing`) });

  await shaped(node, pod, LIMITS); // again, over what is left
  t.match(await qdiscs(node, pod.host), [bucket, { kind: "ingress" }]);
  for (const round of ["once", "twice"]) {
    t.equal((await node.cni("DEL", pod.pod, { ...SHAPE, prevResult: added })).stdout, "", round);
    t.equal(await kernelState(node), before);
    t.equal(await traffic(node, pod.host), trafficBefore);
  }
  t.ok(await pod.pod.pings(GATEWAY), "nothing is redirected any more");
});

t.test("unshapedSubnets and shapedSubnets are those of the other end", async (t) => {
  const node = await startNode(t);
  await node.sh(
    "ip link add near type veth peer name far && ip addr add 192.0.2.1/24 dev near && ip addr add 2001:db8::1/64 dev near nodad && ip link set near up && ip link set far up",
  );
  const [open, limited] = [await bridged(node), await bridged(node)];
  const rows = [
    [open, { unshapedSubnets: ["192.0.2.0/24", "2001:db8::1/33"] }, "0x30", "7077:1"],
    [limited, { shapedSubnets: ["192.0.2.0/24", "2001:db8::/33"] }, "0x1", "7077:30"],
  ] as const;
  for (const [pod, keys, fallback, matched] of rows) {
    const added = await shaped(node, pod, { ...LIMITS, ...keys });
    const ifb = added.interfaces[3]?.name ?? "";
    const bytesOf = async (link: string) => {
      const text = await node.runOk(["tc", "-s", "class", "show", "dev", link]);
      const [, bytes] = new RegExp(`^class htb ${matched} .*\\n Sent (\\d+) bytes`, "m").exec(text) ?? [];
      return Number(bytes);
    };
    for (const link of [ifb, pod.host]) {
      const [qdisc] = await qdiscs(node, link);
      t.match(qdisc, { kind: "htb", handle: "7077:", options: { default: fallback } });
      const text = await traffic(node, link);
      t.match(text, /class htb 7077:30 root .*rate 8Mbit ceil 8Mbit burst 64Kb/);
      const at = link === ifb ? 16 : 12;
      t.match(text, new RegExp(`flowid ${matched}\\b.*\\n *match c0000200/ffffff00 at ${at}`));
      t.match(text, new RegExp(`match 20010db8/ffffffff at ${link === ifb ? 24 : 8}\\n *match 00000000/80000000`));
    }
    t.equal((await node.cni("CHECK", pod.pod, { ...SHAPE, ...LIMITS, ...keys, prevResult: added })).stdout, "");
    for (const [near, far] of [
      [GATEWAY, "192.0.2.1"],
      ["fd00:22::1", "2001:db8::1"],
    ] as const) {
      const before = [await bytesOf(ifb), await bytesOf(pod.host)];
      t.ok(await pod.pod.pings(far), far);
      const after = [await bytesOf(ifb), await bytesOf(pod.host)];
      t.ok(
        after.every((bytes, i) => bytes > (before[i] ?? 0)),
        `${far} goes by ${matched}: ${before} then ${after}`,
      );
      t.ok(await pod.pod.pings(near), near);
      if (near === GATEWAY) t.strictSame([await bytesOf(ifb), await bytesOf(pod.host)], after, `${near} does not`);
    }
    await node.sh(`tc filter del dev ${ifb} parent 7077: pref 16`);
    t.match((await node.cni("CHECK", pod.pod, { ...SHAPE, ...LIMITS, ...keys, prevResult: added })).json, {
      code: 100,
      msg: /^eth0 of .*filter of pwi/,
    });
    result(await node.cni("DEL", pod.pod, SHAPE));
    t.strictSame(await ifbs(node), []);
  }
});

t.test("P3, P11: each interface has its own limits, and they go without namespace, veth or prevResult", async (t) => {
  const node = await startNode(t);
  const pod = await bridged(node);
  const second = await bridged(node, "1.1.0", pod.pod, "net1");
  const before = await kernelState(node);
  const egress = { egressRate: 8_000_000, egressBurst: 80_000 };
  await shaped(node, pod, egress);
  await shaped(node, second, { runtimeConfig: { bandwidth: egress } }, "net1");
  const both = await ifbs(node);
  t.equal(both.length, 2, "one container, one network, two IFBs");
  result(await node.cni("DEL", pod.pod, { ...SHAPE, ingressRate: "wrong" }, { CNI_IFNAME: "net1" }));
  t.equal((await ifbs(node)).length, 1);
  result(await node.cni("DEL", pod.pod, SHAPE, { CNI_NETNS: "" }));
  t.equal(await kernelState(node), before);

  await shaped(node, pod, egress);
  await node.sh(`ip link del ${pod.host}`);
  result(await node.cni("DEL", pod.pod, SHAPE));
  t.strictSame(await ifbs(node), [], "the veth went first");

  await shaped(node, second, egress, "net1");
  await node.sh("ip link add foreign type ifb; ip link add pwi0123456789ab type ifb");
  t.equal((await collect(node, [], { ...SHAPE, name: "other" })).stdout, "");
  t.equal((await ifbs(node)).length, 3, "another network's GC");
  const valid = [{ containerID: pod.pod.containerId, ifname: "net1" }];
  t.equal((await node.runtime.call("GC", undefined, { ...SHAPE, "cni.dev/valid-attachments": valid })).stdout, "");
  t.equal((await ifbs(node)).length, 3, "valid");
  t.equal((await collect(node, [], SHAPE)).stdout, "");
  t.strictSame((await ifbs(node)).sort(), ["foreign", "pwi0123456789ab"], "S15: what has not our mark stays");
  t.notMatch(await traffic(node, second.host), /ingress|tbf/, "and nothing is sent into the void");
});

t.test("wrong limits are refused; what hangs there already, too, and nothing is left of a failed ADD", async (t) => {
  const node = await startNode(t);
  const pod = await bridged(node);
  const add = (keys: object, env = {}) =>
    node.cni("ADD", pod.pod, { ...SHAPE, prevResult: pod.prevResult, ...keys }, env);
  const before = await kernelState(node);
  const rows: readonly [keys: object, code: number, msg: RegExp][] = [
    [{ ingressRate: 1000 }, 7, /^ingressRate: 1000 needs ingressBurst/],
    [{ egressBurst: 1000 }, 7, /^egressBurst: 1000 needs egressRate/],
    [{ runtimeConfig: { bandwidth: { egressRate: 1 } } }, 7, /^runtimeConfig\.bandwidth\.egressRate: 1 needs/],
    [{ ...LIMITS, egressBurst: 8 * 2 ** 32 }, 7, /^egressBurst: 34359738368 is more than 4 GB/],
    [{ ...LIMITS, ingressRate: -1 }, 7, /^ingressRate: -1/],
    [{ ...LIMITS, ingressRate: 7 }, 7, /^ingressRate: 7 is less than 8/],
    [{ ...LIMITS, shapedSubnets: ["10.0.0.0/8"], unshapedSubnets: ["fd00::/8"] }, 7, /leave one of them out/],
    [{ ...LIMITS, shapedSubnets: ["nonsense"] }, 7, /^shapedSubnets\[0\]/],
    [{ ...LIMITS, prevResult: undefined }, 7, /^prevResult is missing/],
  ];
  for (const [keys, code, msg] of rows) t.match((await add(keys)).json, { code, msg }, JSON.stringify(keys));
  t.match((await add(LIMITS, { CNI_IFNAME: "lo" })).json, { code: 7, msg: /^lo is of kind none.*only a veth/ });
  t.match((await add(LIMITS, { CNI_IFNAME: "net7" })).json, { code: 4, msg: /"net7" does not exist/ });
  t.equal(await kernelState(node), before);

  await node.sh(`tc qdisc add dev ${pod.host} root handle 5: htb; tc qdisc add dev ${pod.host} clsact`);
  const foreign = await traffic(node, pod.host);
  t.match((await add(LIMITS)).json, { code: 7, msg: /somebody else's queueing discipline hangs there/ });
  t.equal(await traffic(node, pod.host), foreign);
  const { interfaces } = result(await add({ egressRate: 8_000_000, egressBurst: 80_000 }));
  t.equal(interfaces.length, 4, "a clsact qdisc will do for what the pod sends");
  t.ok(await pod.pod.pings(GATEWAY));
  result(await node.cni("DEL", pod.pod, { ...SHAPE, prevResult: pod.prevResult }));
  t.equal(await traffic(node, pod.host), foreign, "S15");
  t.strictSame(await add({}).then(result), pod.prevResult, "no limit at all: passed on");
  t.strictSame(
    await add({ ingressRate: 0, runtimeConfig: { bandwidth: LIMITS } }).then(result),
    pod.prevResult,
    "keys of its own count alone",
  );
  const zero = { cniVersion: "1.1.0", ingressRate: 100, ingressBurst: 100 };
  await node.sh(`tc qdisc del dev ${pod.host} root`);
  result(await add(zero));
  t.match(await qdiscs(node, pod.host), [{ kind: "tbf", options: { rate: 12 } }], "the bucket holds a frame at least");
});

t.test("every version of the specification", async (t) => {
  const node = await startNode(t);
  const pod = await bridged(node);
  const { interfaces, ips, routes } = pod.prevResult;
  for (const cniVersion of VERSIONS) {
    const typed = ips.map((ip) =>
      cniVersion < "1.0.0" ? { version: ip.address.includes(":") ? "6" : "4", ...ip } : ip,
    );
    const old = { ip4: { ip: "10.22.0.2/24" } };
    const prevResult = cniVersion < "0.3.0" ? old : { interfaces, ips: typed, routes };
    const called = await node.cni("ADD", pod.pod, { ...SHAPE, ...LIMITS, cniVersion, prevResult });
    t.match(called.json, cniVersion < "0.3.0" ? old : { cniVersion, ips: typed }, cniVersion);
    if (cniVersion >= "0.3.0") t.match(called.json, { interfaces: { length: 4 } });
    t.equal((await ifbs(node)).length, 1);
    t.equal((await node.cni("DEL", pod.pod, { ...SHAPE, cniVersion, prevResult })).stdout, "");
    t.strictSame(await ifbs(node), []);
  }
});

/** One ADD, CHECK and DEL by the bandwidth of a folder. */
async function shapedBy(node: Node, folder: string) {
  const { pod, prevResult, host } = await bridged(node, "1.0.0");
  const run = async (command: string, keys: object): Promise<Called> => {
    const env = { CNI_COMMAND: command, CNI_PATH: folder, CNI_CONTAINERID: pod.containerId, CNI_NETNS: pod.netns };
    const finished = await node.run([`${folder}/bandwidth`], {
      input: JSON.stringify({ ...SHAPE, ...LIMITS, cniVersion: "1.0.0", ...keys }),
      env: { PATH: process.env.PATH ?? "", CNI_IFNAME: "eth0", ...env },
    });
    return { ...finished, json: finished.stdout === "" ? undefined : JSON.parse(finished.stdout) };
  };
  const added = result(await run("ADD", { prevResult }));
  const ifb = added.interfaces[3]?.name ?? "";
  const plain = (text: string) =>
    text
      .replaceAll(host, "HOST")
      .replaceAll(ifb, "IFB")
      .replaceAll("7077:", "1:")
      .replaceAll("filter parent ffff: ", "filter ")
      .replace(/\b(pref|burst) \S+/g, "$1 N")
      .replace(/ root | fh \S+| key ht \S+ bkt \S+| order \d+|\*?flowid \S+| not_in_hw/g, "")
      .split("\n")
      .filter((line) => !/^\s*(index.*)?$|redirected|\) pass$/i.test(line)) // theirs has the redirection twice
      .join("\n");
  const text = plain((await traffic(node, host)) + (await traffic(node, ifb)));
  const [{ mtu, operstate }] = JSON.parse(await node.runOk(["ip", "-j", "link", "show", ifb]));
  const codes = [(await run("CHECK", { prevResult: added })).code, (await run("DEL", { prevResult: added })).code];
  return {
    keys: added.interfaces.map((each) => Object.keys(each)),
    text,
    mtu,
    operstate,
    codes,
    left: await ifbs(node),
  };
}

t.test("the reference plugin 1.1.1 answers and sets up the same", async (t) => {
  const [ours, theirs] = await Promise.all(
    [BIN, "/usr/lib/cni"].map(async (folder) => await shapedBy(await startNode(t), folder)),
  );
  t.strictSame(ours, theirs);
});

/** Frames of a pcap file: the kernel's time in seconds, and bytes. */
function framesOf(file: string): readonly { readonly at: number; readonly bytes: number }[] {
  const data = readFileSync(file);
  const frames: { at: number; bytes: number }[] = [];
  for (let at = 24; at + 16 <= data.length; at += 16 + data.readUInt32LE(at + 8)) {
    frames.push({ at: data.readUInt32LE(at) + data.readUInt32LE(at + 4) / 1e6, bytes: data.readUInt32LE(at + 12) });
  }
  return frames;
}

if (process.env.PODWIRE_TEST_LONG === "1") {
  t.test("40 Mbit/s are 40 Mbit/s both ways, by the kernel's own times", async (t) => {
    const node = await startNode(t);
    for (const subnets of [{}, { unshapedSubnets: ["192.0.2.0/24"] }]) {
      const pod = await bridged(node);
      const rate = 40_000_000;
      await shaped(node, pod, {
        ingressRate: rate,
        ingressBurst: 400_000,
        egressRate: rate,
        egressBurst: 400_000,
        ...subnets,
      });
      await node.sh("ethtool -K cni0 tso off gso off gro off"); // frames are counted, and each is one
      await pod.pod.runOk(["ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off"]);
      const podAddress = pod.prevResult.ips[0]?.address.split("/")[0] ?? "";
      for (const [way, from, to, address, link] of [
        ["egress", pod.pod, node, GATEWAY, "cni0"],
        ["ingress", node, pod.pod, podAddress, "eth0"],
      ] as const) {
        const dump = to.spawn(["tcpdump", "-i", link, "-s", "96", "-w", "/run/dump", "tcp", "dst", "port", "7000"]);
        await dump.prints(/listening on/);
        await transfer(from, to, address, 20_000_000);
        await dump.stop("SIGINT");
        const frames = framesOf(node.path("/run/dump"));
        const start = (frames[0]?.at ?? 0) + 0.5; // after the burst
        const end = (frames.at(-1)?.at ?? 0) - 0.2;
        const counted = frames.filter(({ at }) => at > start && at <= end);
        const bits = 8 * counted.reduce((sum, { bytes }) => sum + bytes, 0);
        const ratio = bits / (end - start) / rate;
        t.ok(Math.abs(ratio - 1) < 0.05, `${way} ${JSON.stringify(subnets)}: ${(ratio * 40).toFixed(2)} Mbit/s`);
      }
      result(await node.cni("DEL", pod.pod, SHAPE));
    }
  });
}
