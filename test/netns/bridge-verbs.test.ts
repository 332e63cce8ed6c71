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
} from "./bridge-fixture.ts";
import { HOSTED, startNode } from "./harness/node.ts";

/** Puts an empty file in the place of libnftables, in the node alone. */
const HIDE_NFTABLES = `for file in $(/sbin/ldconfig -p | sed -n 's/.*libnftables.so.* => //p'); do mount --bind /dev/null "$file"; done`;

t.test("P1: every verb answers, and STATUS and GC are forwarded to IPAM", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const env = await fakeIpam(node, { ips: [{ address: "10.22.0.7/16" }] });
  const conf = { ...FULL, ipam: { type: "fake" } };
  const prevResult = await attach(node, pod, conf, env);
  t.match(await node.cni("CHECK", pod, { ...conf, prevResult }, env), { code: 0, stdout: "" });
  t.match(await node.runtime.call("STATUS", undefined, conf, env), { code: 0, stdout: "" });
  const keep = { "cni.dev/valid-attachments": [{ containerID: pod.containerId, ifname: "eth0" }] };
  t.match(await node.runtime.call("GC", undefined, { ...conf, ...keep }, env), { code: 0, stdout: "" });
  t.match(await node.cni("DEL", pod, conf, env), { code: 0, stdout: "" });
  t.match(await node.cni("VERSION", pod, conf, env), { code: 0, json: { supportedVersions: /1\.1\.0/ } });
  t.equal(await ipamCalls(node), "ADD CHECK STATUS GC DEL");
});

t.test("P1: STATUS tells of a configuration, a bridge or an IPAM that cannot serve", async (t) => {
  const node = await startNode(t);
  await node.sh("ip link add veth-x type veth peer name veth-y");
  const status = async (conf: object) => (await node.runtime.call("STATUS", undefined, bridgeConf(conf))).json;
  t.match(await status({ mtu: -1 }), { code: 7, msg: /mtu: -1/ });
  t.match(await status({ bridge: "veth-x" }), { code: 50, msg: /veth-x/ });
  const tiny = { type: "host-local", ranges: [[{ subnet: "10.30.0.0/30" }]] };
  t.equal(await status({ ipam: tiny }), undefined);
  await attach(node, await node.pod("pod"), bridgeConf({ ipam: tiny }));
  t.match(await status({ ipam: tiny }), { code: 50, msg: /10\.30\.0\./ }, "an exhausted range");
});

t.test("P3, P5: DEL needs neither namespace nor prevResult nor bridge nor a sane configuration", async (t) => {
  const node = await startNode(t);
  const first = await node.pod("first");
  await attach(node, first, FULL);
  await detach(node, first, FULL);
  const idle = await kernelState(node);
  for (const [what, keys, env] of [
    ["CNI_NETNS empty", {}, { CNI_NETNS: "" }],
    ["the namespace gone", {}, {}],
    ["no key of the plugin's own", { bridge: undefined, ipMasq: undefined, macspoofchk: undefined }, { CNI_NETNS: "" }],
    ["wrong values", { bridge: "../..", mtu: "x", vlan: 9999, hairpinMode: 7 }, { CNI_NETNS: "" }],
    ["a broken prevResult", { prevResult: { ips: 7 } }, { CNI_NETNS: "" }],
  ] as const) {
    const pod = await node.pod("pod");
    await attach(node, pod, FULL);
    if (what === "the namespace gone") await pod.deleteNetns();
    t.match(await node.cni("DEL", pod, { ...FULL, ...keys }, env), { code: 0, stdout: "" }, what);
    t.equal(await kernelState(node), idle, what);
    t.match(await node.sh("ls /var/lib/cni/networks/test"), /^(?![\s\S]*10\.22)/, `${what}: the address is free`);
  }
  const pod = await node.pod("pod");
  await attach(node, pod, FULL);
  await node.sh("ip link del cni0");
  await detach(node, pod, FULL);
  t.equal(await node.sh("nft list map inet podwire egress4 | grep -c 10.22 || true"), "0\n", "the bridge gone");
});

t.test("DEL without ipam leaves IPAM alone, and DEL of what never was succeeds", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const before = await kernelState(node);
  t.match(await node.cni("DEL", pod, bridgeConf({ ipam: undefined })), { code: 0 });
  t.match(await node.cni("DEL", pod, FULL), { code: 0 });
  t.equal(await kernelState(node), before);
});

t.test("an address is given back only after link and rules are gone", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const look = `[ "$CNI_COMMAND" = DEL ] && { ip -br link show type veth; nft list ruleset | grep 10.22.0.7; } > /run/ipam/seen; true`;
  const env = await fakeIpam(node, { ips: [{ address: "10.22.0.7/16" }] });
  const conf = { ...FULL, ipam: { type: "fake" } };
  await attach(node, pod, conf, env);
  await node.sh(`sed -i '2i ${look.replaceAll("'", "'\\''")}' /run/ipam/fake`);
  await node.cni("DEL", pod, conf, env);
  t.equal(await node.sh("cat /run/ipam/seen"), "", "IPAM's DEL met neither");
});

t.test("GC removes what is not listed, link, rules and address, and leaves the rest", async (t) => {
  const node = await startNode(t);
  const [kept, stale, other] = [await node.pod("kept"), await node.pod("stale"), await node.pod("other")];
  const foreign = {
    ...FULL,
    name: "other",
    bridge: "cni1",
    ipam: { type: "host-local", ranges: [[{ subnet: "10.40.0.0/24" }]] },
  };
  const answer = await attach(node, kept, FULL);
  await attach(node, other, foreign);
  const before = await kernelState(node);
  await attach(node, stale, FULL);
  t.match(await collect(node, [kept], FULL), { code: 0, stdout: "" });
  t.equal(await kernelState(node), before);
  t.match(await node.sh("ls /var/lib/cni/networks/test"), /10\.22\.0\.2\n/);
  t.notMatch(await node.sh("ls /var/lib/cni/networks/test"), /10\.22\.0\.3\n/);
  t.match(await node.cni("CHECK", kept, { ...FULL, prevResult: answer }), { code: 0 });

  t.match(await collect(node, [], FULL), { code: 0 });
  const links = await node.sh("ip -br link; nft list ruleset");
  t.notMatch(links, /cni0|10\.22\.0/, "nothing of the network is left");
  t.match(links, /cni1[\s\S]*10\.40\.0\.2/, "the other network is as it was");
});

t.test("P17: each version's result has that version's shape", async (t) => {
  const node = await startNode(t);
  const conf = (cniVersion: string) =>
    bridgeConf({ cniVersion, mtu: 1400, ipam: { type: "host-local", ranges: [RANGE_4] } });
  for (const version of ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]) {
    const pod = await node.pod("pod");
    const answer = (await attach(node, pod, conf(version))) as unknown as Record<string, unknown>;
    const { cniVersion, interfaces, ips, routes, ...rest } = answer;
    t.equal(cniVersion, version);
    if (version < "0.3.0") {
      const { ip4, ...others } = rest;
      const four = {
        ip: /^10\.22\.0\.\d+\/16$/,
        gateway: "10.22.0.1",
        routes: [{ dst: "0.0.0.0/0", gw: "10.22.0.1" }],
      };
      t.match(ip4, four, version);
      t.strictSame(
        Object.keys(others).filter((key) => key !== "dns"),
        [],
        version,
      );
    } else {
      const keys = version === "1.1.0" ? ["mac", "mtu", "name"] : ["mac", "name"];
      for (const each of interfaces as object[]) {
        t.strictSame(
          Object.keys(each)
            .filter((key) => key !== "sandbox")
            .sort(),
          keys,
          version,
        );
      }
      const told = (ips as { version?: string }[]).map((ip) => ip.version);
      t.strictSame(told, [version < "1.0.0" ? "4" : undefined], version);
      t.strictSame(routes, [{ dst: "0.0.0.0/0", gw: "10.22.0.1" }], version);
    }
    await detach(node, pod, conf(version));
  }
});

// An agent that runs has loaded the library, and keeps it.
if (!HOSTED) {
  t.test(
    "without nftables: STATUS says so, ADD with rules leaves nothing, and networks without rules work",
    async (t) => {
      const node = await startNode(t);
      await node.sh(HIDE_NFTABLES);
      const pod = await node.pod("pod");
      const before = await kernelState(node);
      t.match((await node.runtime.call("STATUS", undefined, FULL)).json, { code: 50, msg: /nftables cannot be used/ });
      t.match(await node.cni("ADD", pod, FULL), { code: 1 });
      t.equal(await kernelState(node), before);
      t.match(await node.cni("DEL", pod, FULL), { code: 0, stderr: "" }, "the kernel has no table of ours");

      t.match(await node.runtime.call("STATUS", undefined, bridgeConf()), { code: 0 });
      await attach(node, pod, bridgeConf());
      t.match(await node.cni("DEL", pod, bridgeConf()), { code: 0, stderr: "" });
      t.match(await collect(node, [], bridgeConf()), { code: 0 });
      t.equal(await kernelState(node), before);
    },
  );

  t.test(
    "libnftables gone while a table of ours is there: DEL does not need it, GC of the last attachment says so",
    async (t) => {
      const node = await startNode(t);
      const pod = await node.pod("pod");
      await attach(node, pod, FULL);
      await node.sh(HIDE_NFTABLES);
      t.match(await node.cni("DEL", pod, FULL), { code: 0, stderr: "" });
      t.match(await collect(node, [], FULL), { code: 1, json: { msg: /rules.*libnftables1/ } });
      t.match(await collect(node, [], bridgeConf()), { code: 0, stderr: /nftables/ });
      t.notMatch(await node.sh("ls /var/lib/cni/networks/test"), "10.22.0.2");
    },
  );
}
