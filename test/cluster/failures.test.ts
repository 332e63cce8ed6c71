import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import t from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import { startCluster, type WiredPod } from "./harness/cluster.ts";

t.test(
  "controller gone: existing pods go on, new pods start on leased nodes, and it comes back with the same leases",
  async (t) => {
    const cluster = await startCluster(t, { nodes: 2 });
    const [here, there] = (await Promise.all([0, 1].map((index) => cluster.addPod(index, `pod-${index}`)))) as [
      WiredPod,
      WiredPod,
    ];
    const before = JSON.parse((await cluster.cnictl("get", "subnets", "-o", "json")).stdout);
    await cluster.controller?.stop("SIGKILL");
    t.ok(await here.pod.pings(there.addresses[0] ?? ""));
    const late = await cluster.addPod(0, "late");
    t.ok(await late.pod.pings(there.addresses[0] ?? ""));
    t.equal(
      (await cluster.node(0).runtime.status({ ...cluster.conflist(0), cniVersion: "1.1.0" }))?.code,
      0,
      "STATUS is fine",
    );

    await cluster.startController();
    await cluster.converged(2);
    const after = JSON.parse((await cluster.cnictl("get", "subnets", "-o", "json")).stdout);
    const leases = (list: typeof before) =>
      list.items.map((item: { metadata: { name: string }; spec: unknown }) => item.metadata.name).sort();
    t.strictSame(leases(after), leases(before));
    const pods = await eventually(async () => {
      const { stdout } = await cluster.cnictl("get", "pods", "-o", "name");
      return stdout.includes("late") ? stdout : undefined;
    }, "the new controller hears of the pods");
    t.match(pods, /pod-1/);
  },
);

t.test("F4: a node whose address changes keeps its subnet, and peers follow", async (t) => {
  const cluster = await startCluster(t, { nodes: 2 });
  const [here, there] = (await Promise.all([0, 1].map((index) => cluster.addPod(index, `pod-${index}`)))) as [
    WiredPod,
    WiredPod,
  ];
  const node = cluster.node(0);
  await node.sh(
    "ip address del 192.168.77.11/24 dev eth0; ip address add 192.168.77.99/24 dev eth0; ip route replace default via 192.168.77.1",
  );
  await eventually(
    async () =>
      (await cluster.node(1).runOk(["ip", "route", "show", "proto", "112"])).includes("dst 192.168.77.99") || undefined,
    "the peer's route goes to the new address",
  );
  t.ok(await there.pod.pings(here.addresses[0] ?? "", 10), "pods ping again");
  t.ok(await here.pod.pings(there.addresses[0] ?? "", 10));
  const { stdout } = await cluster.cnictl("get", "nodes", "-o", "json");
  t.match(stdout, /192\.168\.77\.99/);
  t.notMatch(stdout, /192\.168\.77\.11"/);
});

t.test("F11: a second node with a taken address is refused with a sentence that names the holder", async (t) => {
  const cluster = await startCluster(t, { nodes: 2 });
  const clone = cluster.node(1);
  await cluster.agents[1]?.stop();
  await cluster.node(0).sh("true");
  await clone.sh(
    "ip address add 192.168.77.11/32 dev eth0; ip address del 192.168.77.12/24 dev eth0; ip route replace 192.168.77.0/24 dev eth0 src 192.168.77.11; ip -6 address flush dev eth0",
  );
  // The bridge in the middle must know the clone by its own MAC: answer for the address from there.
  await cluster.underlay.hub.sh(
    "ip neighbour flush dev under; bridge link set dev up0 isolated on || true; ip link set up0 down",
  );
  const agent = await cluster.startAgent(1);
  await agent.prints(/"reason":.*"msg":"refused"/).catch(() => t.comment(agent.output));
  t.match(agent.output, /192\.168\.77\.11/);
  t.match(agent.output, /node-1/, "the sentence names who holds it");
  await eventually(
    async () => (await clone.run(["curl", "-s", "http://127.0.0.1:7446/readyz"])).stdout.includes("refuses this node"),
    "readyz tells",
  );
});

t.test("a cloned machine, with another's node id, is refused with a sentence that says what to delete", async (t) => {
  const cluster = await startCluster(t, { nodes: 2, agents: 1 });
  const [original, clone] = [cluster.node(0), cluster.node(1)];
  const path = "/var/lib/podwire/agent/node-id";
  mkdirSync(dirname(clone.path(path)), { recursive: true });
  copyFileSync(original.path(path), clone.path(path));
  const agent = await cluster.startAgent(1);
  await agent.prints(/in use by another machine/);
  t.match(agent.output, /node-1|192\.168\.77\.11/);
  t.match(agent.output, /node-id/);
  t.notOk(cluster.hasConflist(1), "no pod is invited");
  t.equal((await original.run(["curl", "-s", "http://127.0.0.1:7446/readyz"])).stdout, "ok\n", "the original goes on");
});

t.test("agent killed -9, and its lease files lost: DEL and GC still leave nothing", async (t) => {
  const cluster = await startCluster(t, { nodes: 1 });
  const list = cluster.conflist(0);
  const node = cluster.node(0);
  const first = await cluster.addPod(0, "first");
  await cluster.addPod(0, "second");
  await cluster.agents[0]?.stop("SIGKILL");
  rmSync(node.path("/run/podwire"), { recursive: true });
  await first.pod.deleteNetns();
  t.equal((await node.runtime.del(list, first.pod))?.code, 0);
  t.equal((await node.runtime.gc({ ...list, cniVersion: "1.1.0" }, []))?.code, 0, "GC of the second");
  const veths = await node.runOk(["ip", "-br", "link", "show", "type", "veth"]);
  t.notMatch(veths, /^pw/m);
  const reserved = await node.sh("ls /var/lib/cni/networks/default | grep -c '^10\\.' || true");
  t.equal(reserved.trim(), "0");
  const refused = await node.runtime.add(list, await node.pod("third"));
  t.match(refused.json, { code: 11, msg: /podwire-agent running/ }, "ADD without a lease is 'try again later'");
  t.match((await node.runtime.status({ ...list, cniVersion: "1.1.0" }))?.json, { code: 50 });
});

t.test(
  "F2: a node that was away too long is fenced and says who holds its subnet; without pods it gets another",
  async (t) => {
    const cluster = await startCluster(t, { nodes: 3, agents: 2, controllerFlags: ["--network-cidr=10.244.0.0/22"] });
    const list = { ...cluster.conflist(0), cniVersion: "1.1.0" };
    const node = cluster.node(0);
    const { pod, addresses } = await cluster.addPod(0, "stranded");
    const subnet = `${addresses[0]?.replace(/\d+$/, "0")}/24`;
    const subnets = JSON.parse((await cluster.cnictl("get", "subnets", "-o", "json")).stdout).items;
    const taken = subnets.map((item: { metadata: { name: string } }) => item.metadata.name);
    const spare = [0, 1, 2, 3].map((third) => `10.244.${third}.0/24`).filter((each) => !taken.includes(each));
    const admin = async (...args: readonly string[]) =>
      t.match(await cluster.cnictl("subnet", ...args, "--network", "default"), { code: 0 });
    for (const each of spare) await admin("reserve", each);

    await cluster.agents[0]?.stop("SIGKILL");
    await admin("release", subnet, "--force");
    await (await cluster.startAgent(2)).prints(/LEASE_STATE_HELD/);
    const agent = await cluster.startAgent(0);
    await agent.prints(/LEASE_STATE_FENCED/);
    const status = await eventually(async () => {
      const answer = await node.runtime.status(list);
      return answer?.code === 0 ? undefined : answer;
    }, "STATUS tells");
    t.match(status.json, { code: 51, msg: /node-3/ });
    t.match((await node.runtime.add(list, await node.pod("new"))).json, { code: 11, msg: /node-3/ });

    t.equal((await node.runtime.del(list, pod))?.code, 0);
    await agent.prints(/LEASE_STATE_NONE/);
    await eventually(
      async () => (await node.runtime.status(list))?.json?.code === 50,
      "STATUS tells that the network is full",
    );
    await admin("release", spare[0] ?? "");
    await eventually(
      async () => (await node.runtime.status(list))?.code === 0 || undefined,
      "a subnet once there is one",
    );
    const fresh = await cluster.addPod(0, "fresh");
    t.equal(fresh.addresses[0]?.replace(/\d+$/, "0/24"), spare[0]);
  },
);

t.test("S12: what the agent and controller write is root's alone", async (t) => {
  const cluster = await startCluster(t, { nodes: 1 });
  const node = cluster.node(0);
  await cluster.agents[0]?.prints(/"msg":"serving CNI calls"/);
  // A file that is being replaced may go away while find looks.
  const find = "-printf '%m %u %y %p\\n' 2>/dev/null || true";
  const listing = await node.sh(`find /var/lib/podwire /run/podwire ${find}`);
  t.match(listing, /600 root s \/run\/podwire\/cni\.sock\n/);
  for (const line of listing.trim().split("\n")) t.match(line, /^(700 root d|600 root [fs]) /);
  const asUser = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
  t.not((await node.run([...asUser, "cat", "/run/podwire/networks/default.json"])).code, 0);
  t.not((await node.run([...asUser, "ls", "/var/lib/podwire/agent"])).code, 0);
  const controllerFiles = await cluster.underlay.hub.sh(`find /var/lib/podwire ${find}`);
  for (const line of controllerFiles.trim().split("\n")) t.match(line, /^(700 root [ds]|600 root f) /);
  t.match(readFileSync(node.path("/etc/cni/net.d/10-podwire.conflist"), "utf8"), /"cniVersion": "1\.0\.0"/);
});
