import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync } from "node:fs";
import t, { type Test } from "tap";
import type { WireguardSecrets } from "../../dataplane/wireguard.ts";
import { EMPTY_LISTING } from "../../firewall/listing.ts";
import { tunnelGuard } from "../../firewall/node-rules.ts";
import { difference } from "../../firewall/ruleset.ts";
import { publicKeyOf } from "../../kernel/wireguard/keys.ts";
import { parseAddress } from "../../net/address.ts";
import { parseNetwork } from "../../net/prefix.ts";
import { wireguardPublicKey } from "../../net/wireguard-key.ts";
import type { DesiredState } from "../../overlay/state.ts";
import type { Changes } from "../../reconcile/step.ts";
import { eventually } from "./harness/eventually.ts";
import { affords, needs } from "./harness/full-kernel.ts";
import {
  applyIn,
  build,
  NODES,
  type NodeName,
  POD_CIDRS,
  podAddress,
  privateKey,
  type Setup,
  secretsOf,
  stateOf,
} from "./overlay-fixture.ts";
import { openSandbox, type Sandbox } from "./sandbox.ts";

// What WireGuard adds to what test/netns/tunnel-backends.test.ts shows of every tunnel.

const NAMES = Object.keys(NODES) as NodeName[];
const NOTHING: Changes = { added: 0, changed: 0, removed: 0 };
const SETUP: Setup = {
  backend: { type: "wireguard" },
  underlay: [4, 6],
  cidrs: [POD_CIDRS[4], POD_CIDRS[6]],
};
const DEVICE = "pwwg51820";
const keyText = (node: NodeName) => publicKeyOf(privateKey(node));

/** A test on three nodes whose pods reach each other. */
function onThreeNodes(name: string, work: (t: Test, sandbox: Sandbox) => Promise<void>, long?: "long"): void {
  if (long && !affords("wireguard")) return;
  t.test(name, needs("wireguard"), async (t) => {
    const sandbox = openSandbox(t);
    await build(sandbox, SETUP, NAMES, (node, state) => applyIn(sandbox, node, state));
    await work(t, sandbox);
  });
}

/** Until it is answered: a handshake that failed is tried again after five seconds. */
async function reaches(sandbox: Sandbox, from: NodeName, to: NodeName): Promise<boolean> {
  const address = podAddress(POD_CIDRS[4], NODES[to]);
  return await eventually(
    () => sandbox.succeeds(`ip netns exec pod-${from} ping -qc1 -W1 ${address}`),
    `the pod of ${from} reaches that of ${to}`,
  );
}

/** `wg show`, by which wg(8) says what the kernel holds. */
const show = (sandbox: Sandbox, node: NodeName, what: string) =>
  sandbox.sh(`ip netns exec ${node} wg show ${DEVICE} ${what}`).trim();
const handshake = (sandbox: Sandbox, node: NodeName, peer: NodeName) =>
  Number(
    new RegExp(`^${keyText(peer).replaceAll("+", "\\+")}\t(\\d+)`, "m").exec(
      show(sandbox, node, "latest-handshakes"),
    )?.[1],
  );

onThreeNodes(
  "wireguard: what is changed by hand is put right by one pass, and the next writes nothing",
  async (t, sandbox) => {
    const state = stateOf("red", SETUP, NAMES);
    // Without counters; the kernel lists peers and their allowed IPs in the order in which they came.
    const held = () =>
      show(sandbox, "red", "dump")
        .replace(/\t\d+\t\d+\t\d+\t(off|\d+)$/gm, "\t$1")
        .split("\n")
        .map((line) => line.split(/[\t,]/).sort())
        .sort();
    const before = held();
    const [blue, cyan] = [keyText("blue"), keyText("cyan")];
    const stranger = wireguardPublicKey(createHash("sha256").update("stranger").digest());
    for (const [what, ...commands] of [
      ["an endpoint that roamed", `peer ${blue} endpoint [2001:db8::2]:1`],
      ["allowed IPs that are missing", `peer ${blue} allowed-ips 10.244.2.0/24`],
      ["allowed IPs that are too many", `peer ${blue} allowed-ips 10.244.2.0/24,fd00:244:0:2::/64,10.99.0.0/16`],
      ["allowed IPs of another peer", `peer ${blue} allowed-ips 10.244.2.0/24,fd00:244:0:2::/64,10.244.3.0/24`],
      ["another preshared key", `peer ${blue} preshared-key <(wg genpsk)`],
      ["no preshared key", `peer ${blue} preshared-key /dev/null`],
      ["keepalives", `peer ${cyan} persistent-keepalive 7`],
      ["a peer that is gone", `peer ${cyan} remove`],
      ["a stranger", `peer ${stranger} allowed-ips 0.0.0.0/0`],
      ["another private key", "private-key <(wg genkey)"],
      ["another port", "listen-port 51999"],
      ["a mark", "fwmark 0x7"],
    ]) {
      for (const command of commands) sandbox.sh(`ip netns exec red bash -euc 'wg set ${DEVICE} ${command}'`);
      const [healed, quiet] = await applyIn(sandbox, "red", state, 2);
      t.ok((healed?.added ?? 0) + (healed?.changed ?? 0) + (healed?.removed ?? 0) > 0, `${what}: changed`);
      t.strictSame(quiet, NOTHING, `${what}: the next pass writes nothing`);
      t.strictSame(held(), before, what as string);
    }
    t.ok(await reaches(sandbox, "red", "blue"));
    t.ok(await reaches(sandbox, "cyan", "red"));
  },
  "long",
);

onThreeNodes("wireguard: nothing that pods say is seen on the underlay", async (t, sandbox) => {
  const pattern = "c0ffee15c0ffee15";
  const seen = () => sandbox.sh("stat -c %s /run/seen 2>/dev/null || echo 0").trim();
  sandbox.sh("ip netns exec blue tcpdump -nni eth0 -U -w /run/seen >/dev/null 2>&1 & echo $! >/run/tcpdump");
  await eventually(() => Number(seen()) >= 24, "tcpdump listens");
  for (const cidr of SETUP.cidrs) {
    sandbox.sh(`ip netns exec pod-red ping -qc3 -i0.2 -p ${pattern} ${podAddress(cidr, NODES.blue)}`);
  }
  const port = (51820).toString(16);
  const packets = await eventually(() => {
    const bytes = readFileSync(sandbox.file("/run/seen")).toString("hex");
    return bytes.split(`${port}${port}`).length > 12 ? bytes : undefined;
  }, "tcpdump has written what it saw");
  sandbox.sh("kill $(cat /run/tcpdump)");
  t.notOk(packets.includes(pattern), "the packets' contents");
  for (const address of ["10.244.1.2", "10.244.2.2"]) {
    const hex = Buffer.from(address.split(".").map(Number)).toString("hex");
    t.notOk(packets.includes(hex), `an inner header: ${address}`);
  }
});

onThreeNodes("wireguard: without the right preshared key nothing comes through", async (t, sandbox) => {
  const [red, blue] = [stateOf("red", SETUP, NAMES), stateOf("blue", SETUP, NAMES)];
  const wrong: WireguardSecrets = { ...secretsOf("blue"), presharedKey: secretsOf("blue", 2).presharedKey };
  await applyIn(sandbox, "blue", blue, 1, wrong);
  t.notOk(sandbox.succeeds(`ip netns exec pod-red ping -qc3 -i0.2 -W1 ${podAddress(POD_CIDRS[4], NODES.blue)}`));
  t.equal(handshake(sandbox, "red", "blue"), 0, "no handshake");
  t.ok(await reaches(sandbox, "red", "cyan"), "others are not concerned");
  const none: WireguardSecrets = { privateKey: privateKey("blue"), presharedKey: () => undefined };
  await applyIn(sandbox, "blue", blue, 1, none);
  t.notOk(
    sandbox.succeeds(`ip netns exec pod-red ping -qc3 -i0.2 -W1 ${podAddress(POD_CIDRS[4], NODES.blue)}`),
    "none",
  );
  await applyIn(sandbox, "blue", blue);
  t.ok(await reaches(sandbox, "red", "blue"), "the right one");
  t.strictSame(await applyIn(sandbox, "red", red), [NOTHING]);
});

onThreeNodes(
  "wireguard: preshared keys are rotated under a ping every 10 ms, and it loses nothing",
  async (t, sandbox) => {
    t.ok(await reaches(sandbox, "red", "blue"));
    const first = handshake(sandbox, "red", "blue");
    // In a file of ours: the sandbox's own are gone with it.
    const fd = openSync(sandbox.file("/run/ping"), "w");
    const ping = sandbox.spawn(`exec ip netns exec pod-red ping -ni 0.01 ${podAddress(POD_CIDRS[4], NODES.blue)}`, fd);
    closeSync(fd);
    const answered = () =>
      [...readFileSync(sandbox.file("/run/ping"), "utf8").matchAll(/icmp_seq=(\d+) ttl=/g)].map(([, n]) => Number(n));
    const goesOn = async () => {
      const newest = Math.max(0, ...answered());
      await eventually(() => Math.max(0, ...answered()) > newest + 50, "the ping goes on");
    };
    await goesOn();
    for (let epoch = 2; epoch < 7; epoch++) {
      for (const node of ["red", "blue"] as const) {
        const [changed, quiet] = await applyIn(sandbox, node, stateOf(node, SETUP, NAMES), 2, secretsOf(node, epoch));
        t.match(changed, { added: 0, changed: 2, removed: 0 }, `${node}: epoch ${epoch}`);
        t.strictSame(quiet, NOTHING);
        await goesOn();
      }
    }
    if (process.env.PODWIRE_TEST_LONG === "1") {
      await eventually(() => handshake(sandbox, "red", "blue") > first, "the next handshake, after two minutes");
      await goesOn();
    }
    ping.kill("SIGINT");
    const numbers = new Set(answered());
    const lost = Array.from({ length: Math.max(...numbers) }, (_, i) => i + 1).filter((number) => !numbers.has(number));
    t.strictSame(lost, [], `of ${numbers.size}`);

    // New sessions: only now do the new keys count.
    for (const node of ["red", "blue"]) sandbox.sh(`ip -n ${node} link set ${DEVICE} down`);
    for (const node of ["red", "blue"] as const) {
      await applyIn(sandbox, node, stateOf(node, SETUP, NAMES), 1, secretsOf(node, 6));
    }
    t.ok(await reaches(sandbox, "red", "blue"), "with the new keys");
  },
  "long",
);

onThreeNodes(
  "S7: wireguard: only current peers' nodes reach the port, and no pod does",
  async (t, sandbox) => {
    const PEERS = ["192.0.2.2", "2001:db8::2"].map(parseAddress);
    t.ok((await reaches(sandbox, "blue", "red")) && (await reaches(sandbox, "cyan", "red")));
    const count = (node: NodeName, hook: string, rule: string) => {
      sandbox.sh(`ip netns exec ${node} nft 'add table inet seen; add chain inet seen in { type filter hook ${hook}; };
      add rule inet seen in ${rule} counter'`);
      return () => Number(/packets (\d+)/.exec(sandbox.sh(`ip netns exec ${node} nft list chain inet seen in`))?.[1]);
    };
    const fromCyan = count("red", "input priority -290", "udp dport 51820 ip saddr 192.0.2.3");
    const fromPod = count("blue", "prerouting priority -400", "udp dport 51820 ip saddr 10.244.1.2");
    const sends = (netns: string, to: string) =>
      sandbox.sh(`ip netns exec ${netns} bash -c 'echo forged >/dev/udp/${to}/51820' || true`);
    sends("cyan", "192.0.2.1");
    sends("pod-red", "192.0.2.2");
    t.ok(fromCyan() > 0, "without the guard cyan reaches red's port");
    t.ok(fromPod() > 0, "and a pod blue's");
    const guard = tunnelGuard({ device: "eth0", tunnels: [{ port: 51820, peers: PEERS }] });
    sandbox.sh("ip netns exec red nft -f -", difference(guard, EMPTY_LISTING));
    const [cyans, pods] = [fromCyan(), fromPod()];
    sends("cyan", "192.0.2.1");
    sends("pod-red", "192.0.2.2");
    sends("pod-red", "192.0.2.1");
    t.ok(await reaches(sandbox, "red", "blue"), "a peer is heard");
    t.equal(fromCyan(), cyans, "cyan is no peer any more");
    t.equal(fromPod(), pods, "and no pod's packet leaves the node");
  },
  "long",
);

onThreeNodes(
  "S8: wireguard: a source that is not the sender's is dropped; a peer that is removed is cut",
  async (t, sandbox) => {
    t.ok((await reaches(sandbox, "blue", "red")) && (await reaches(sandbox, "cyan", "red")));
    sandbox.sh(`ip netns exec red nft 'add table inet seen; add chain inet seen in { type filter hook prerouting priority -400; };
    add rule inet seen in iifname ${DEVICE} ip saddr 10.244.3.9 counter; add rule inet seen in iifname ${DEVICE} ip saddr 10.244.2.9 counter'`);
    const counts = () =>
      [...sandbox.sh("ip netns exec red nft list chain inet seen in").matchAll(/packets (\d+)/g)].map(([, n]) =>
        Number(n),
      );
    sandbox.sh("ip -n blue address add 10.244.3.9/32 dev lo; ip -n blue address add 10.244.2.9/32 dev lo");
    for (const source of ["10.244.3.9", "10.244.2.9"]) {
      sandbox.sh(`ip netns exec blue ping -qc2 -i0.2 -W0.2 -I ${source} ${podAddress(POD_CIDRS[4], 1)} || true`);
    }
    const [stolen, own] = counts();
    t.equal(stolen, 0, "cyan's source from blue");
    t.ok((own ?? 0) > 0, "blue's own source");

    await applyIn(sandbox, "red", stateOf("red", SETUP, ["red", "blue"]));
    t.notOk(show(sandbox, "red", "peers").includes(keyText("cyan")), "the peer that left");
    t.notOk(sandbox.succeeds(`ip netns exec pod-cyan ping -qc2 -i0.2 -W0.5 ${podAddress(POD_CIDRS[4], 1)}`));
    t.ok(await reaches(sandbox, "red", "blue"));
  },
  "long",
);

/** Red's state with many more peers of both families. */
function crowd(count: number): DesiredState {
  const state = stateOf("red", SETUP, ["red"]);
  const [device] = state.wireguard;
  if (device === undefined) throw new Error("no device");
  const peers = Array.from({ length: count }, (_, i) => ({
    publicKey: wireguardPublicKey(createHash("sha256").update(`peer ${i}`).digest()),
    endpoint: { address: parseAddress(`192.0.2.${100 + (i % 100)}`), port: 51820 },
    allowedIps: [`10.${100 + (i >> 8)}.${i & 255}.0/24`, `fd00:300:${i.toString(16)}::/64`].map(parseNetwork),
  }));
  return { ...state, wireguard: [{ ...device, peers }] };
}

onThreeNodes(
  "wireguard: 5,000 peers are made, and a pass that finds them writes nothing",
  async (t, sandbox) => {
    const state = crowd(5000);
    const [made, quiet] = await applyIn(sandbox, "red", state, 2);
    t.equal(made?.added, 5000);
    t.strictSame(quiet, NOTHING);
    t.equal(show(sandbox, "red", "peers").split("\n").length, 5000);
    const [fewer] = await applyIn(sandbox, "red", crowd(10));
    t.match(fewer, { added: 0, changed: 0, removed: 4990 });
  },
  "long",
);
