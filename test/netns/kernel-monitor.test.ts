import { spawnSync } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import t, { type Test } from "tap";
import { setNetlinkDebug } from "../../kernel/netlink/debug.ts";
import { openNftMonitor } from "../../kernel/nftables/monitor.ts";
import { NftError, openNft, quoteComment } from "../../kernel/nftables/nft.ts";
import { addAddress } from "../../kernel/rtnetlink/address.ts";
import { describeRouteMessage } from "../../kernel/rtnetlink/describe.ts";
import { addLink, deleteLink, setLink } from "../../kernel/rtnetlink/link.ts";
import { openMonitor, type RouteEvent, RtnlGroup } from "../../kernel/rtnetlink/monitor.ts";
import { replaceNeighbour } from "../../kernel/rtnetlink/neighbour.ts";
import { replaceRoute } from "../../kernel/rtnetlink/route.ts";
import { parseAddress } from "../../net/address.ts";
import { parseMac } from "../../net/mac.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { eventually } from "./harness/eventually.ts";
import { type KernelNode, makeNode } from "./kernel-node.ts";

const ALL = [
  RtnlGroup.link,
  RtnlGroup.neigh,
  RtnlGroup.ipv4Address,
  RtnlGroup.ipv4Route,
  RtnlGroup.ipv6Address,
  RtnlGroup.ipv6Route,
];

/** What this process has open, by the kernel's names. */
function descriptors(kind = /./): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return kind.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false; // readdir's own
    }
  }).length;
}

const EVENT = /eventfd/; // each monitor has one
const AT_REST = descriptors(EVENT);

/** The monitors of the tests before close in their own time. */
async function othersClosed(): Promise<void> {
  await eventually(() => descriptors(EVENT) <= AT_REST, "no monitor is open");
}

/** Everything that is heard in the namespace, and a way to wait for one of it. */
function listen(t: Test, { netns }: KernelNode, restMs?: number) {
  const heard: RouteEvent[] = [];
  const waiting: (() => void)[] = [];
  const monitor = openMonitor({
    netns,
    groups: ALL,
    restMs,
    onMessages(events) {
      heard.push(...events);
      for (const look of waiting) look();
    },
    onOverrun: () => t.fail("overrun"),
  });
  t.teardown(() => monitor[Symbol.dispose]());
  const until = (wanted: (event: RouteEvent) => boolean) =>
    new Promise<RouteEvent>((resolve) => {
      const look = () => {
        const found = heard.find(wanted);
        if (found !== undefined) resolve(found);
      };
      waiting.push(look);
      look();
    });
  return { heard, until, monitor };
}

t.test("every kind of change is heard, in the words of the lists", async (t) => {
  const node = makeNode(t);
  const { rt } = node;
  const { until } = listen(t, node);
  const { index } = addLink(rt, { kind: "veth", name: "v0", up: true, peer: { name: "v1", up: true } });
  addAddress(rt, { index, address: parsePrefix("10.0.0.1/24") });
  replaceRoute(rt, { dst: parsePrefix("10.5.0.0/16"), via: parseAddress("10.0.0.2") });
  replaceNeighbour(rt, { index, address: parseAddress("10.0.0.2"), mac: parseMac("02:00:00:00:00:02") });
  t.match(await until((event) => event.type === "link" && event.link.name === "v0" && event.link.lowerUp), {
    link: { index, kind: "veth" },
  });
  t.match(await until((event) => event.type === "address"), { address: { index, address: "10.0.0.1/24" } });
  t.match(await until((event) => event.type === "route" && event.route.dst === "10.5.0.0/16"), {
    route: { via: "10.0.0.2", dev: index },
  });
  t.match(await until((event) => event.type === "neighbour" && event.neighbour.state === "permanent"), {
    neighbour: { address: "10.0.0.2", mac: "02:00:00:00:00:02" },
  });
  deleteLink(rt, "v0");
  t.match(await until((event) => event.type === "link-deleted" && event.link.name === "v0"), { link: { index } });
  t.ok(await until((event) => event.type === "address-deleted" && event.address.address === "10.0.0.1/24"));
});

t.test("waiting wakes nobody, and a change is heard", async (t) => {
  const node = makeNode(t);
  const { until } = listen(t, node);
  addLink(node.rt, { kind: "ifb", name: "ifb7" });
  await until((event) => event.type === "link");
  const turns = () => performance.nodeTiming.uvMetricsInfo.loopCount;
  const before = turns();
  await setTimeout(1000);
  t.ok(turns() - before < 30, `${turns() - before} turns of the event loop in a second of silence`);
  const removed = until((event) => event.type === "link-deleted");
  deleteLink(node.rt, "ifb7");
  await removed;
});

t.test("a stopped monitor is silent, gives its descriptors back, and may be stopped twice", async (t) => {
  const node = makeNode(t);
  await othersClosed();
  const before = descriptors();
  const { heard, monitor } = listen(t, node);
  t.ok(descriptors() > before);
  monitor[Symbol.dispose]();
  monitor[Symbol.dispose]();
  const other = listen(t, node);
  addLink(node.rt, { kind: "ifb", name: "ifb7" });
  await other.until((event) => event.type === "link");
  other.monitor[Symbol.dispose]();
  await eventually(() => descriptors() <= before, "all are given back");
  t.strictSame(heard, []);
});

t.test(
  "a monitor that rests misses nothing, and gives its descriptors back when it is stopped in its rest",
  async (t) => {
    const node = makeNode(t);
    await othersClosed();
    const before = descriptors();
    const named = (name: string) => (event: RouteEvent) => event.type === "link" && event.link.name === name;
    const [brief, long] = [listen(t, node, 20), listen(t, node, 3_600_000)];
    addLink(node.rt, { kind: "ifb", name: "ifb7" });
    await Promise.all([brief, long].map(({ until }) => until(named("ifb7"))));
    addLink(node.rt, { kind: "ifb", name: "ifb8" });
    await brief.until(named("ifb8"));
    t.notOk(long.heard.some(named("ifb8")), "it rests");
    for (const { monitor } of [brief, long]) monitor[Symbol.dispose]();
    await eventually(() => descriptors() <= before, "all are given back");
  },
);

t.test("a flood that the socket cannot hold is reported as an overrun, and the monitor goes on", async (t) => {
  const node = makeNode(t);
  const { rt, netns } = node;
  addLink(rt, { kind: "ifb", name: "ifb7" });
  let overruns = 0;
  let messages = 0;
  const overrun = new Promise<void>((resolve) => {
    const monitor = openMonitor({
      netns,
      groups: [RtnlGroup.link],
      onMessages: (events) => {
        messages += events.length;
      },
      onOverrun: () => {
        overruns++;
        resolve();
      },
    });
    t.teardown(() => monitor[Symbol.dispose]());
  });
  // All within one turn of this thread, so nothing is read meanwhile.
  for (let i = 0; i < 8000; i++) setLink(rt, "ifb7", { mtu: 1000 + (i % 2) });
  await overrun;
  t.ok(overruns >= 1);
  const seen = messages;
  setLink(rt, "ifb7", { mtu: 1400 });
  while (messages === seen) await setTimeout(5);
  t.pass("heard again after the overrun");
});

t.test(
  "process.exit works while a monitor waits, and an open monitor keeps the process alive until it is stopped",
  async (t) => {
    const monitor = new URL("../../kernel/rtnetlink/monitor.ts", import.meta.url).href;
    const run = (end: string) => {
      const script = `import { openMonitor } from "${monitor}";
      const monitor = openMonitor({ groups: [1], onMessages() {}, onOverrun() {} });
      setTimeout(() => { ${end} }, 100);`;
      return spawnSync(process.execPath, ["--import=tsx", "--input-type=module", "-e", script], { timeout: 300_000 });
    };
    t.match(run("process.exit(7)"), { status: 7 });
    t.match(run("monitor[Symbol.dispose]()"), { status: 0 });
  },
);

t.test("nft: a transaction is all or nothing, in its own namespace", async (t) => {
  const { netns, text, json } = makeNode(t);
  using nft = openNft(netns);
  nft.run(`table inet podwire {
    set pods { type ipv4_addr; comment ${quoteComment("net=pods")}; }
    chain c { type filter hook forward priority 0; ip saddr @pods counter accept; }
  }`);
  nft.run("add element inet podwire pods { 10.0.0.1, 10.0.0.2 }");
  t.match(text("nft list set inet podwire pods"), /comment "net=pods"\n.*elements = \{ 10\.0\.0\.1, 10\.0\.0\.2 \}/s);
  t.match(nft.query("list set inet podwire pods"), [
    { set: { family: "inet", name: "pods", elem: ["10.0.0.1", "10.0.0.2"] } },
  ]);
  t.equal(nft.listText("list ruleset"), text("nft list ruleset"));
  const refused = "add element inet podwire pods { 10.0.0.3 }\nadd rule inet podwire nochain accept";
  t.throws(() => nft.run(refused), { name: "NftError", message: /No such file or directory/, command: refused });
  t.throws(() => nft.run("nonsense"), NftError);
  t.match(
    json("nft -j list set inet podwire pods"),
    { nftables: [{}, { set: { elem: ["10.0.0.1", "10.0.0.2"] } }] },
    "nothing of it happened",
  );
  using elsewhere = openNft(makeNode(t).netns.path);
  t.strictSame(elsewhere.query("list tables"), []);
  t.equal(elsewhere.listText("list ruleset"), "");
  nft[Symbol.dispose]();
  t.throws(() => nft.run("list ruleset"), /closed/);
});

t.test("nft: changes are told by table, and deleting the table by hand is one", async (t) => {
  const { netns, text } = makeNode(t);
  const heard: string[] = [];
  let wake = () => {};
  using _ = openNftMonitor({
    netns,
    onChange(tables) {
      heard.push(...tables);
      wake();
    },
  });
  const next = () => new Promise<void>((resolve) => (wake = resolve));
  for (const command of ["nft add table inet podwire", "nft add table ip foreign", "nft delete table inet podwire"]) {
    const told = next();
    text(command);
    await told;
  }
  t.strictSame(heard, ["podwire", "foreign", "podwire"]);
});

t.test("nft: elements of quiet sets come and go without a word; other elements and sets do not", async (t) => {
  const { netns, text } = makeNode(t);
  const heard: string[] = [];
  let look = () => {};
  using _ = openNftMonitor({
    netns,
    quietSets: new Set(["pods"]),
    onChange(tables) {
      heard.push(...tables);
      look();
    },
  });
  const untilHeard = (table: string) =>
    new Promise<void>((resolve) => {
      look = () => heard.includes(table) && resolve();
    });
  const set = "{ type ipv4_addr; }";
  const begun = untilHeard("begun");
  for (const table of ["a", "b", "c"]) text(`nft add table ip ${table}`);
  text(`nft 'add set ip a pods ${set}; add set ip b pods ${set}; add set ip c peers ${set}'; nft add table ip begun`);
  await begun;
  const before = heard.length;
  const ended = untilHeard("ended");
  for (const verb of ["add", "delete"]) text(`nft ${verb} element ip a pods { 10.0.0.1 }`);
  text("nft 'add element ip a pods { 10.0.0.2 }; add element ip c peers { 10.0.0.1 }'");
  text("nft delete set ip b pods; nft add table ip ended");
  await ended;
  t.strictSame(heard.slice(before).sort(), ["b", "c", "ended"]);
});

t.test("NLDEBUG: requests and answers are printed in words", async (t) => {
  const { rt } = makeNode(t);
  const lines: string[] = [];
  setNetlinkDebug((line) => lines.push(line), describeRouteMessage);
  t.teardown(() => setNetlinkDebug(undefined));
  addLink(rt, { kind: "ifb", name: "ifb7" });
  t.throws(() => setLink(rt, 4242, { up: true }));
  setNetlinkDebug(undefined);
  t.match(lines[0], /^netlink -> #\d+ flags=0x605 RTM_NEWLINK \{"name":"ifb7","info":\{"kind":"ifb"\}\}$/);
  t.match(lines[1], /^netlink <- #\d+ flags=0x100 acknowledged$/);
  t.match(lines.at(-1), /error 19/);
});
