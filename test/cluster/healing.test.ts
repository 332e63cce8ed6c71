import { readFileSync } from "node:fs";
import t from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import type { Node } from "../netns/harness/node.ts";
import { Pinging } from "../netns/harness/pinging.ts";
import { startCluster, type WiredPod } from "./harness/cluster.ts";

/** So long that only the kernel's own notifications can make the agent look again. */
const NO_RESYNC = "--resync-interval=3600";

/** What the overlay put into the kernel, as text. */
function overlayState(node: Node): Promise<string> {
  return node.sh(`ip -d link show type vxlan | sed -E 's/^[0-9]+: //'; ip address show | grep -A2 'pw(vx|flow)' || true
    ip route show proto 112; ip -6 route show proto 112; ip neighbour show nud permanent; bridge fdb show | grep dst || true
    nft list table inet podwire`);
}

const STATIC_DEVICE = "pwvx1";
const BREAKAGES = [
  { name: "F5: the tunnel device", mode: "static", command: `ip link del ${STATIC_DEVICE}` },
  {
    name: "F6: the VTEP's MAC address, rewritten",
    mode: "static",
    command: `ip link set ${STATIC_DEVICE} address 02:00:00:00:00:99`,
  },
  { name: "the tunnel device, switched off", mode: "static", command: `ip link set ${STATIC_DEVICE} down` },
  {
    name: "an FDB entry",
    mode: "static",
    command: `bridge fdb show dev ${STATIC_DEVICE} | awk '/dst/{print $1; exit}' | xargs -I{} bridge fdb del {} dev ${STATIC_DEVICE}`,
  },
  { name: "a neighbour", mode: "static", command: `ip neighbour flush dev ${STATIC_DEVICE} nud permanent` },
  { name: "F8: the nft table", mode: "static", command: "nft delete table inet podwire" },
  { name: "F8: one element of a set", mode: "static", command: "nft flush set inet podwire overlay_own4" },
  { name: "F5: the tunnel device", mode: "flow", command: "ip link del pwflow4790" },
  {
    name: "a route",
    mode: "flow",
    command: "ip route show proto 112 | awk '/encap/{print $1; exit}' | xargs ip route del",
  },
  {
    name: "a route, replaced by a wrong one",
    mode: "flow",
    command:
      "ip route show proto 112 | awk '/encap/{print $1; exit}' | xargs -I{} ip route replace {} dev lo proto 112",
  },
] as const;

for (const mode of ["static", "flow"] as const) {
  t.test(`${mode}: what is taken away by hand comes back by the kernel's notification`, async (t) => {
    const cluster = await startCluster(t, {
      nodes: 2,
      controllerFlags: [`--network-mode=${mode}`],
      agentFlags: [NO_RESYNC],
    });
    const [here, there] = (await Promise.all([0, 1].map((index) => cluster.addPod(index, `pod-${index}`)))) as [
      WiredPod,
      WiredPod,
    ];
    const node = cluster.node(0);
    const whole = await overlayState(node);
    t.match(whole, mode === "static" ? /dst 192\.168\.77\.12/ : /encap ip/);
    for (const { name, command } of BREAKAGES.filter((each) => each.mode === mode)) {
      await node.sh(command);
      await eventually(async () => (await overlayState(node)) === whole || undefined, `${name} heals`).catch(
        async () => {
          t.equal(await overlayState(node), whole, name);
        },
      );
      t.ok(await here.pod.pings(there.addresses[0] ?? ""), `${name}: pods ping again`);
    }
  });
}

t.test("F7: the tunnels and routes follow the underlay's MTU", async (t) => {
  const cluster = await startCluster(t, { nodes: 2, agentFlags: [NO_RESYNC] });
  const node = cluster.node(0);
  await node.sh("ip link set eth0 mtu 1400");
  const routes = await eventually(async () => {
    const text = await node.runOk(["ip", "route", "show", "proto", "112"]);
    return text.includes("mtu 1364") ? text : undefined;
  }, "routes with the new MTU");
  t.match(routes, /encap ip .*mtu 1364/);
  await eventually(
    async () => (await node.sh("cat /run/podwire/networks/default.json")).includes("1364"),
    "the plugin is told",
  );
  const { pod } = await cluster.addPod(0, "late");
  t.match(await pod.runOk(["ip", "link", "show", "eth0"]), /mtu 1364/, "new pods have it too");
});

t.test("F8: an agent's restart loses no packet, inside or to the world", async (t) => {
  const cluster = await startCluster(t, { nodes: 2, agentFlags: [NO_RESYNC] });
  const [here, there] = (await Promise.all([0, 1].map((index) => cluster.addPod(index, `pod-${index}`)))) as [
    WiredPod,
    WiredPod,
  ];
  t.ok(await here.pod.pings(there.addresses[0] ?? "", 10), "both agents know each other");
  t.ok(await here.pod.pings("192.168.77.1"));
  const state = cluster.node(0).path("/var/lib/podwire/agent/state.json");
  await eventually(() => readFileSync(state, "utf8").includes("192.168.77.12"), "the agent has saved what it knows");
  const inside = await Pinging.start(here.pod, there.addresses[0] ?? "", 0.005);
  // Each packet to the world is a flow of its own: conntrack would carry one flow over a moment without the rule.
  const pings = `n=0; until [ -e /run/enough ]; do
    n=$((n + 1)); ping -n -q -c1 -W10 192.168.77.1 >/dev/null || echo lost $n; [ $n != 1 ] || echo begun; done`;
  const outside = here.pod.spawn(["sh", "-c", `${pings}; echo ended`]);
  await outside.prints(/begun/);
  await cluster.agents[0]?.stop("SIGKILL");
  const agent = await cluster.startAgent(0);
  await agent.prints(/"msg":"connected"/);
  await cluster.converged(2);
  t.strictSame(await inside.lost(), [], "inside");
  await cluster.node(0).sh("touch /run/enough");
  await outside.prints(/ended/);
  t.equal(outside.output, "begun\nended\n", "to the world, masqueraded");
});

t.test("F8: an agent killed before it saved all takes nothing away until a controller has spoken", async (t) => {
  const cluster = await startCluster(t, { nodes: 2, agents: 1 });
  const node = cluster.node(0);
  const folder = "/var/lib/podwire/agent";
  await node.sh(`until [ -e ${folder}/state.json ]; do :; done; mkdir ${folder}/state.json.new`);
  await cluster.startAgent(1);
  await cluster.converged(2);
  const state = await overlayState(node);
  t.match(state, "192.168.77.12", "the peer is known, and cannot be saved");
  await cluster.agents[0]?.stop("SIGKILL");
  await cluster.controller?.stop("SIGKILL");
  t.notMatch(await node.sh(`cat ${folder}/state.json`), "192.168.77.12");

  await node.sh(`rmdir ${folder}/state.json.new`);
  const agent = await cluster.startAgent(0);
  await agent.prints(/"msg":"disconnected"|not reachable/);
  const readiness = async () => (await node.run(["curl", "-s", "http://127.0.0.1:7446/readyz"])).stdout;
  t.match(await readiness(), /killed before it had saved all that it knew/);
  t.equal(await overlayState(node), state, "everything is as it was");
  await cluster.startController();
  await cluster.converged(2);
  t.equal(await overlayState(node), state);
  await eventually(async () => (await readiness()) === "ok\n" || undefined, "ready");
});

t.test("a restart, also without a controller, writes nothing to the kernel", async (t) => {
  const cluster = await startCluster(t, { nodes: 2 });
  await cluster.addPod(0, "pod");
  const node = cluster.node(0);
  const settled = async () => (await node.sh("ip -6 address show tentative")) === "" || undefined;
  await eventually(settled, "the kernel's own link-local addresses are there");
  await cluster.agents[0]?.stop();
  await cluster.controller?.stop("SIGKILL");
  const watch = [node.spawn(["ip", "monitor", "link", "route", "address", "rule"]), node.spawn(["nft", "monitor"])];
  let marks = 0;
  const mark = () =>
    node.sh(`ip route add blackhole 203.0.113.${++marks}; ip route del blackhole 203.0.113.${marks}
      nft add table inet probe; nft delete table inet probe`);
  const listening = () => Promise.all(watch.map((daemon) => daemon.hears(mark, /203\.0\.113\.|table inet probe/)));
  await listening();
  const state = await overlayState(node);
  const agent = await cluster.startAgent(0);
  await agent.prints(/"msg":"disconnected"|not reachable/);
  await eventually(
    async () => (await node.run(["curl", "-sf", "http://127.0.0.1:7446/readyz"])).stdout === "ok\n" || undefined,
    "ready from the saved state",
  );
  await listening();
  const said = watch.flatMap(({ output }) => output.split("\n").slice(0, -1));
  const noise = said.filter((line) => !/203\.0\.113\.|table inet probe|^# new generation/.test(line));
  t.strictSame(noise, [], "no notification");
  t.equal(await overlayState(node), state);
});
