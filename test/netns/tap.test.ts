import t from "tap";
import { attach, collect, detach, fakeIpam, kernelState } from "./bridge-fixture.ts";
import { startNode } from "./harness/node.ts";
import { linkOf, linksOf } from "./lan-fixture.ts";

const ipam = { type: "host-local", ranges: [[{ subnet: "10.22.0.0/16" }], [{ subnet: "fd00:22::/64" }]] } as const;
const CONF = { type: "tap", cniVersion: "1.1.0", name: "test", ipam } as const;

/** A program on the other end: attaches as the user, says so, and answers with the first ARP question that it gets. */
const PROGRAM = `
import fcntl, os, struct, sys
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"eth0", 0x1002))
print("attached", flush=True)
while True:
    frame = os.read(fd, 2048)
    if frame[12:14] == b"\\x08\\x06":
        print("who has", ".".join(str(byte) for byte in frame[38:42]), flush=True)
        break
`;

t.test("a program of its owner has the other end of the pod's interface; DEL takes it away", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const before = await kernelState(node);
  const conf = { ...CONF, owner: 70001, group: 70001, mtu: 1400, mac: "02:00:00:00:00:07" };
  const answer = await attach(node, pod, conf);
  t.strictSame(answer, {
    cniVersion: "1.1.0",
    interfaces: [{ name: "eth0", mac: "02:00:00:00:00:07", mtu: 1400, sandbox: pod.netns }],
    ips: [
      { address: "10.22.0.2/16", gateway: "10.22.0.1", interface: 0 },
      { address: "fd00:22::2/64", gateway: "fd00:22::1", interface: 0 },
    ],
    routes: [],
  });
  t.match(await linkOf(pod), {
    address: "02:00:00:00:00:07",
    mtu: 1400,
    ifalias: `podwire interface net=test cid=${pod.containerId} if=eth0`,
    linkinfo: { info_kind: "tun", info_data: { type: "tap", persist: true, multi_queue: false, user: "70001" } },
  });
  const as = (uid: number) => [
    "setpriv",
    `--reuid=${uid}`,
    `--regid=${uid}`,
    "--clear-groups",
    "/usr/bin/python3",
    "-c",
    PROGRAM,
  ];
  const stranger = await pod.run(as(70002));
  t.match(stranger.stderr, /Operation not permitted|Errno 1/, "nobody else may attach");
  const program = pod.spawn(as(70001));
  await program.prints(/attached/);
  await program.hears(() => pod.run(["ping", "-n", "-c", "1", "-W", "1", "10.22.0.1"]), /who has 10.22.0.1/);
  await program.stop("SIGKILL");
  t.match(await node.cni("CHECK", pod, { ...conf, prevResult: answer }), { stdout: "" });
  for (const each of [pod, pod]) await detach(node, each, conf); // twice is fine
  t.equal(await linksOf(pod), "lo");
  t.equal(await kernelState(node), before);
});

t.test("several queues, a bridge in the pod, layer 2 alone", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const conf = { ...CONF, ipam: {}, multiQueue: true, bridge: "br0" };
  const missing = await node.cni("ADD", pod, conf);
  t.match(missing.json, { code: 7, msg: /bridge: "br0" is no interface of the container/ });
  await pod.runOk(["ip", "link", "add", "br0", "type", "bridge"]);
  const prevResult = await attach(node, pod, conf, { CNI_ARGS: "MAC=02:00:00:00:00:08" });
  t.match(prevResult.interfaces, [{ mac: "02:00:00:00:00:08" }]);
  t.match(await linkOf(pod), { master: "br0", flags: /UP/, linkinfo: { info_data: { multi_queue: true } } });
  t.match(await node.cni("CHECK", pod, { ...conf, prevResult }), { stdout: "" });
  await pod.runOk(["ip", "link", "set", "eth0", "nomaster"]);
  t.match((await node.cni("CHECK", pod, { ...conf, prevResult })).json, { code: 100, msg: /bridge: want br0/ });
  await detach(node, pod, { ...conf, bridge: 7 });
  t.equal(await linksOf(pod), "lo br0");
});

t.test("P4, S15: nothing is left of a failed ADD, and what is not ours stays", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const env = await fakeIpam(node, { ips: [{ address: "ff02::7/64" }] });
  t.match((await node.cni("ADD", pod, { ...CONF, ipam: { type: "fake" } }, env)).json, { code: 7, msg: /ff02::7/ });
  for (const [keys, code, msg] of [
    [{ owner: -1 }, 7, /owner: -1/],
    [{ group: "wheel" }, 7, /group: "wheel"/],
    [{ mac: "x" }, 7, /mac: "x"/],
    [{ multiQueue: 1 }, 7, /multiQueue: 1/],
    [{ mtu: 65536 }, 7, /mtu: 65536/],
    [{ selinuxcontext: "system_u:system_r:container_t:s0" }, 101, /selinuxContext: "system_u:.*SELinux/],
  ] as const) {
    t.match((await node.cni("ADD", pod, { ...CONF, ...keys })).json, { code, msg }, JSON.stringify(keys));
  }
  t.equal(await linksOf(pod), "lo");
  await pod.runOk(["ip", "tuntap", "add", "mode", "tap", "name", "eth0"]);
  t.match((await node.cni("ADD", pod, CONF)).json, { code: 4, msg: /"eth0" exists already/ });
  await detach(node, pod, CONF);
  t.equal(await linksOf(pod), "lo eth0");
  t.match(await node.runtime.call("STATUS", undefined, CONF), { code: 0, stdout: "" });
  const status = await node.runtime.call("STATUS", undefined, { ...CONF, selinuxContext: "a" });
  t.match(status.json, { code: 50, msg: /selinuxContext/ });
  t.match(await collect(node, [], CONF), { code: 0 });
});
