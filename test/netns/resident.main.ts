import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import t from "tap";
import { runPlugin } from "../../cni/host.ts";
import { ATTACHMENT_SETS } from "../../firewall/attachment-sets.ts";
import { attachmentKey, hostVethName } from "../../kernel/mark.ts";
import { createNamedNetns } from "../../kernel/netns.ts";
import { openNftElements } from "../../kernel/nftables/elements.ts";
import { openNft } from "../../kernel/nftables/nft.ts";
import { getLink, listLinks, setLink } from "../../kernel/rtnetlink/link.ts";
import { listNeighbours, replaceNeighbour } from "../../kernel/rtnetlink/neighbour.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { parseAddress } from "../../net/address.ts";
import { parseMac } from "../../net/mac.ts";
import { makePlugins, THIS_MACHINE } from "../../plugins/all.ts";
import { makeResidentMachine } from "../../plugins/node/resident.ts";
import { BIN } from "./harness/node.ts";

// Run by resident.test.ts.

const machine = makeResidentMachine();
t.teardown(() => machine[Symbol.dispose]());
const resident = makePlugins({ ...THIS_MACHINE, node: machine });
const oneShot = makePlugins(THIS_MACHINE);
const node = openRoute();
const elements = openNftElements();

const CONF = {
  cniVersion: "1.1.0",
  name: "test",
  type: "bridge",
  isGateway: true,
  ipMasq: true,
  macspoofchk: true,
  ipam: { type: "host-local", ranges: [[{ subnet: "10.22.0.0/16" }], [{ subnet: "fd00:22::/64" }]] },
};
const RESERVATIONS = "/var/lib/cni/networks/test";

let pods = 0;
function makePod(): string {
  const name = `pod${pods++}`;
  createNamedNetns(name)[Symbol.dispose]();
  return name;
}

async function* once(value: object) {
  yield JSON.stringify(value);
}

async function call(verb: string, pod: string, conf: object = CONF, plugins = resident): Promise<Answer> {
  let out = "";
  const code = await runPlugin(plugins.bridge, {
    env: {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: pod,
      CNI_NETNS: `/run/netns/${pod}`,
      CNI_IFNAME: "eth0",
      CNI_PATH: BIN,
    },
    stdin: once(conf),
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => process.stderr.write(text) },
    builtins: plugins,
  });
  return { code, ...(out === "" ? {} : JSON.parse(out)) };
}

interface Answer {
  readonly code: number;
  readonly ips?: readonly { readonly address: string }[];
  readonly interfaces?: readonly { readonly name: string; readonly mac: string }[];
  readonly msg?: string;
}

async function mustCall(...args: Parameters<typeof call>): Promise<Answer> {
  const answer = await call(...args);
  if (answer.code !== 0) throw new Error(`${args[0]} of ${args[1]}: ${answer.msg}`);
  return answer;
}

const nameOf = (pod: string) => ({ network: "test", containerId: pod, ifName: "eth0" });

/** Whatever of the attachment can be listed at this moment. */
function traces(pod: string, added: Answer): unknown[] {
  using inside = openRoute(`/run/netns/${pod}`);
  const addresses = (added.ips ?? []).map(({ address }) => address.split("/")[0] ?? "");
  return [
    ...[getLink(node, hostVethName(nameOf(pod))), getLink(inside, "eth0")].filter((link) => link !== undefined),
    ...elements.commented(ATTACHMENT_SETS, attachmentKey(nameOf(pod))),
    ...listNeighbours(node).filter(({ address }) => addresses.includes(address)),
    ...readdirSync(RESERVATIONS).filter((file) => addresses.includes(file)),
  ];
}

/** Lines without the pods' own addresses, in an order that does not depend on who came first. */
const withoutHosts = (text: string) =>
  text
    .replaceAll(/\b(10\.22\.0\.\d+|fd00:22::\w+)(?![\w/])/g, "HOST")
    .split("\n")
    .sort();
const rules = () => execFileSync("nft", ["list", "ruleset"], { encoding: "utf8" });

t.test(
  "110 pods attached at once, and detached at once: each DEL's return finds nothing of its pod left",
  async (t) => {
    const pods = Array.from({ length: 110 }, makePod);
    const added = await Promise.all(pods.map((pod) => mustCall("ADD", pod)));
    t.equal(new Set(added.flatMap(({ ips = [] }) => ips.map(({ address }) => address))).size, 220);
    t.equal(elements.list(ATTACHMENT_SETS).length, 440);
    const left = await Promise.all(
      pods.map(async (pod, i) => {
        await mustCall("DEL", pod);
        return traces(pod, added[i] ?? { code: 0 });
      }),
    );
    t.strictSame(left.flat(), []);
    t.strictSame(listLinks(node, { kind: "veth" }), []);
    t.strictSame(elements.list(ATTACHMENT_SETS), []);
    await Promise.all(pods.map((pod) => mustCall("DEL", pod))); // twice is as good as once
  },
);

t.test("one pod after another; a namespace that vanished, and another host's work in between", async (t) => {
  for (const [adds, deletes] of [
    [resident, resident],
    [oneShot, resident],
    [resident, oneShot],
  ] as const) {
    const pod = makePod();
    const added = await mustCall("ADD", pod, CONF, adds);
    t.not(traces(pod, added).length, 0);
    await mustCall("CHECK", pod, { ...CONF, prevResult: added }, resident);
    await mustCall("DEL", pod, CONF, deletes);
    t.strictSame(traces(pod, added), []);
  }
  const pod = makePod();
  await mustCall("ADD", pod);
  node.execute({ ...deletion(getLink(node, hostVethName(nameOf(pod)))?.index ?? 0) });
  await mustCall("DEL", pod);
  t.strictSame(elements.commented(ATTACHMENT_SETS, attachmentKey(nameOf(pod))), []);
});

/** RTM_DELLINK */
function deletion(index: number): Parameters<typeof node.execute>[0] {
  const body = (to: { integer(size: 4, value: number): void }) => {
    for (const word of [0, index, 0, 0]) to.integer(4, word);
  };
  return { type: 17, body, label: "RTM_DELLINK" };
}

t.test("after nft flush ruleset the next ADD makes everything again, and CHECK says what was missing", async (t) => {
  const [red, blue] = [makePod(), makePod()];
  const added = await mustCall("ADD", red);
  const before = rules();
  execFileSync("nft", ["flush", "ruleset"]);
  const checked = await call("CHECK", red, { ...CONF, prevResult: added });
  t.match(checked.msg, /chain egress.*chain network_.*10\.22\..*mac_check/s);
  await mustCall("ADD", blue);
  await mustCall("DEL", blue);
  await mustCall("DEL", red);
  await mustCall("ADD", red);
  t.strictSame(withoutHosts(rules()), withoutHosts(before));
  await mustCall("DEL", red);
});

t.test("an address that a lost DEL left in the table is taken over by the next pod that gets it", async (t) => {
  const pod = makePod();
  const { ips = [] } = await mustCall("ADD", pod);
  await mustCall("DEL", pod);
  const address = parseAddress(ips[0]?.address.split("/")[0] ?? "");
  using nft = openNft();
  nft.run(`add chain inet podwire network_other
    add element inet podwire egress4 { ${address} comment "lost" : goto network_other }`);
  const again = makePod();
  const conf = { ...CONF, args: { cni: { ips: [address] } } };
  t.equal((await mustCall("ADD", again, conf)).ips?.[0]?.address, ips[0]?.address);
  t.strictSame(elements.commented(ATTACHMENT_SETS, "lost"), []);
  t.equal(elements.commented(ATTACHMENT_SETS, attachmentKey(nameOf(again))).length, 4);
  await mustCall("DEL", again);
  nft.run("delete chain inet podwire network_other");
});

t.test("what the node learned of a pod is forgotten by DEL, what somebody set for good is not", async (t) => {
  for (const remembered of [true, false]) {
    const pod = makePod();
    const added = await mustCall("ADD", pod);
    const bridge = getLink(node, "cni0")?.index ?? 0;
    const mac = parseMac(added.interfaces?.[2]?.mac ?? "");
    const eui = mac.split(":").map((pair) => Number.parseInt(pair, 16));
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = eui;
    const half = (high: number, low: number) => ((high << 8) | low).toString(16);
    const linkLocal = `fe80::${half(a ^ 2, b)}:${half(c, 0xff)}:${half(0xfe, d)}:${half(e, f)}`;
    for (const address of [...(added.ips ?? []).map((ip) => ip.address.split("/")[0] ?? ""), linkLocal]) {
      replaceNeighbour(node, { index: bridge, address: parseAddress(address), mac, state: "stale" });
    }
    const fixed = parseAddress("10.22.255.254");
    replaceNeighbour(node, { index: bridge, address: fixed, mac });
    await mustCall("DEL", pod, remembered ? { ...CONF, prevResult: added } : CONF);
    const left = listNeighbours(node, { index: bridge }).filter((neighbour) => neighbour.mac === mac);
    t.strictSame(
      left.map(({ address, state }) => ({ address, state })),
      [{ address: fixed, state: "permanent" }],
    );
  }
});

t.test("a link of our name that somebody else marked stays", async (t) => {
  const pod = makePod();
  await mustCall("ADD", pod);
  const host = hostVethName(nameOf(pod));
  setLink(node, host, { alias: "mine" });
  await mustCall("DEL", pod);
  t.equal(getLink(node, host)?.alias, "mine");
  setLink(node, host, { alias: "" });
  await mustCall("DEL", pod);
  t.equal(getLink(node, host), undefined);
});

t.test("GC of 250 pods that nobody detached removes them together, and keeps the valid one", async (t) => {
  const pods = Array.from({ length: 250 }, makePod);
  for (const pod of pods) await mustCall("ADD", pod);
  const [valid = ""] = pods;
  const collect = (names: readonly string[]) => ({
    ...CONF,
    "cni.dev/valid-attachments": names.map((containerID) => ({ containerID, ifname: "eth0" })),
  });
  await mustCall("GC", valid, collect([valid]));
  t.strictSame(
    listLinks(node, { kind: "veth" }).map(({ name }) => name),
    [hostVethName(nameOf(valid))],
  );
  t.equal(elements.list(ATTACHMENT_SETS).length, 4);
  await mustCall("GC", valid, collect([]));
  t.strictSame(listLinks(node, { kind: "veth" }), []);
  t.equal(getLink(node, "cni0"), undefined);
  t.equal(rules(), "");
});
