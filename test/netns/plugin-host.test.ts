import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import t, { type Test } from "tap";
import { attach, bridgeConf, detach, FULL, fakeIpam, ipamCalls, kernelState, result } from "./bridge-fixture.ts";
import { eventually } from "./harness/eventually.ts";
import { BIN, type Node, startNode, startPluginHost } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const SOCKET = "/run/podwire/cni.sock";
const SPOOL = "/var/lib/podwire/spool";
const STORM = process.env.PODWIRE_TEST_LONG === "1" ? 300 : 60;

async function startHost(t: Test, ...flags: readonly string[]) {
  const node = await startNode(t);
  const agent = node.spawn([`${BIN}/podwire-agent`, "--controller=127.0.0.1:1", ...flags]);
  await agent.prints(/"msg":"serving CNI calls"/);
  return { node, agent };
}

/** An IPAM plugin that waits in ADD until the test opens the gate. */
function gatedIpam(node: Node): Promise<Record<string, string>> {
  const wait = "until [ -e /run/ipam/open ]; do sleep 0.05; done";
  return fakeIpam(node, { ips: [{ address: "10.22.9.9/16" }] }, wait);
}

const openGate = (node: Node) => node.sh("touch /run/ipam/open");

/** How many connections to the agent's socket it has not closed yet: the kernel lists its own ends, by the path. */
async function openCalls(node: Node): Promise<number> {
  const listed = await node.sh("grep cni.sock /proc/net/unix || true");
  return listed.split("\n").filter((line) => line !== "" && !/^\S+ \S+ \S+ 00010000 /.test(line)).length;
}

t.test("the agent makes the pod, not a process of its own, and says how long each phase took", async (t) => {
  const { node } = await startHost(t);
  const pod = await node.pod("red");
  const before = await kernelState(node);
  await node.cni("VERSION", pod, FULL);
  const traced = await node.run(["strace", "-f", "-e", "trace=execve", "-o", "/run/trace", `${BIN}/bridge`], {
    input: JSON.stringify(FULL),
    env: {
      PATH: process.env.PATH ?? "",
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: "eth0",
      CNI_PATH: BIN,
      CNI_ARGS: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0",
    },
  });
  t.equal(traced.code, 0, traced.stdout);
  t.equal((await node.sh("grep -c execve /run/trace")).trim(), "1", "the shim executes nothing");
  t.ok(await pod.pings("10.22.0.1"));
  const metrics = await eventually(async () => {
    const text = await node.runOk(["curl", "-s", "http://127.0.0.1:7446/metrics"]);
    return /calls_total\{verb="VERSION"/.test(text) && /calls_total\{verb="ADD"/.test(text) ? text : undefined;
  }, "both calls are counted, which is after their answers");
  t.match(metrics, /podwire_agent_cni_call_duration_seconds_count\{verb="ADD",plugin="bridge"\} 1\n/);
  for (const phase of ["queue", "decode", "netns", "link", "ipam", "pod", "rules", "ready", "answer"]) {
    t.match(metrics, `podwire_agent_cni_phase_duration_seconds_count{verb="ADD",plugin="bridge",phase="${phase}"} 1\n`);
  }
  t.match(metrics, /podwire_agent_cni_calls_total\{verb="VERSION",plugin="bridge",code="0"\} 1\n/);
  await detach(node, pod, FULL);
  result(await node.runtime.call("GC", undefined, { ...FULL, "cni.dev/valid-attachments": [] }));
  t.equal(await kernelState(node), before);
});

t.test("the agent rehearses in namespaces of its own, serves meanwhile, and leaves no trace of it", async (t) => {
  const node = await startNode(t);
  const before = await kernelState(node);
  const agent = node.spawn([`${BIN}/podwire-agent`, "--controller=127.0.0.1:1", "--rehearse=250"]);
  await agent.prints(/"msg":"serving CNI calls"/);
  const pod = await node.pod("early");
  for (let i = 0; i < 20; i++) {
    await attach(node, pod, FULL);
    t.ok(await pod.pings("10.22.0.1"));
    await detach(node, pod, FULL);
  }
  const [, pods] = await agent.prints(/"pods":(\d+),"msg":"rehearsed"/);
  t.ok(Number(pods) > 0);
  t.notOk(existsSync(node.path("/run/podwire/rehearsal")));
  result(await node.runtime.call("GC", undefined, { ...FULL, "cni.dev/valid-attachments": [] }));
  t.equal(await kernelState(node), before, "nothing of it in the node's namespace");
  const calls = await node.runOk([`${BIN}/cnictl`, "calls", "-o", "json"]);
  t.notMatch(calls, /rehearsal/);
  await agent.stop("SIGKILL");
  t.match(
    await node.runOk([`${BIN}/cnictl`, "calls", pod.containerId]),
    /ADD +bridge +ok/,
    "told without any agent too",
  );
});

t.test("S: only root reaches the agent's socket", async (t) => {
  const { node } = await startHost(t);
  const mode = (path: string) => (lstatSync(node.path(path)).mode & 0o7777).toString(8);
  t.equal(mode(SOCKET), "600");
  t.equal(mode("/run/podwire"), "700");
  t.equal(mode(SPOOL), "700");
  await node.sh("chmod 777 /run/podwire /run/podwire/cni.sock"); // as if somebody had opened it
  const talk = `const s = require("net").connect("${SOCKET}"); let n = 0;
    s.on("data", (d) => { n += d.length }).on("close", () => console.log("closed after", n)).on("error", () => {});
    s.write(Buffer.concat([Buffer.from([34,0,0,0]), Buffer.from("podwire 1\\0bridge\\0CNI_COMMAND=X\\0\\0{}")]));`;
  const user = await node.run(["setpriv", "--reuid=65534", "--clear-groups", "node", "-e", talk]);
  t.equal(user.stdout.trim(), "closed after 0");
  const root = await node.run(["node", "-e", talk]);
  t.match(root.stdout, /closed after [1-9]/, "the same bytes from root are answered");
});

t.test("garbage on the socket disturbs nobody", async (t) => {
  const { node } = await startHost(t);
  for (const bytes of [Buffer.alloc(0), Buffer.of(1), Buffer.alloc(70_000, 255), Buffer.from("\x02\0\0\0\0\0")]) {
    const socket = connect(node.path(SOCKET));
    const closed = new Promise((resolve) => socket.on("close", resolve).on("error", () => {}));
    socket.end(bytes);
    socket.resume();
    await closed;
  }
  await attach(node, await node.pod("red"), FULL);
});

t.test("IPAM plugins that hang hold up their own pods only", async (t) => {
  const { node } = await startHost(t);
  const slow = bridgeConf({ name: "slow", bridge: "slow0", ipam: { type: "fake" }, isDefaultGateway: false });
  const env = await gatedIpam(node);
  const pods = await Promise.all(Array.from({ length: 8 }, (_, i) => node.pod(`slow-${i}`)));
  const waiting = pods.map((pod) => node.cni("ADD", pod, slow, env));
  await eventually(async () => (await ipamCalls(node)) === pods.map(() => "ADD").join(" "), "all of them wait");
  const quick = await node.pod("quick");
  await attach(node, quick, FULL);
  await detach(node, quick, FULL);
  const again = node.cni("DEL", pods[0] as Pod, slow, env);
  await openGate(node);
  for (const called of await Promise.all(waiting)) t.equal(called.code, 0, called.stdout);
  t.equal((await again).code, 0);
  const host = await node.sh("ip -o link show type veth | wc -l");
  t.equal(host.trim(), "7", "the DEL of the first waited for its ADD, and then took it away");
});

t.test("an ADD whose caller was killed is undone", async (t) => {
  const { node } = await startHost(t);
  await attach(node, await node.pod("other"), FULL);
  const before = await kernelState(node);
  const env = await gatedIpam(node);
  const pod = await node.pod("red");
  const [command = "", ...args] = [...node.enter, `${BIN}/bridge`];
  const shim = spawn(command, args, {
    stdio: ["pipe", "ignore", "inherit"],
    env: {
      ...env,
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: "eth0",
    },
  });
  shim.stdin.end(JSON.stringify({ ...FULL, isDefaultGateway: false, ipam: { type: "fake" } }));
  await eventually(async () => (await ipamCalls(node)) === "ADD", "IPAM was called");
  t.equal(await openCalls(node), 1);
  shim.kill("SIGKILL");
  await once(shim, "exit");
  await eventually(async () => (await openCalls(node)) === 0, "the agent has noticed");
  await openGate(node);
  await eventually(async () => (await ipamCalls(node)) === "ADD DEL", "the address is given back");
  await eventually(async () => (await kernelState(node)) === before, "nothing of it is left");
});

t.test(`${STORM} ADDs at once, then ${STORM} DELs`, async (t) => {
  const { node } = await startHost(t);
  const conf = { ...FULL, macspoofchk: false };
  const first = await node.pod("first");
  await attach(node, first, conf);
  const before = await kernelState(node);
  const pods = await Promise.all(Array.from({ length: STORM }, (_, i) => node.pod(`p${i}`)));
  const answers = await Promise.all(pods.map((pod) => attach(node, pod, conf)));
  t.equal(new Set(answers.flatMap(({ ips }) => ips.map(({ address }) => address))).size, 2 * STORM);
  t.ok(await pods.at(-1)?.pings("10.22.0.2"), "the last one reaches the first one");
  await Promise.all(pods.map((pod) => detach(node, pod, conf)));
  t.equal(await kernelState(node), before);
});

t.test("DELs while no agent runs are done when it is back, before anything newer for that pod", async (t) => {
  const { node, agent } = await startHost(t);
  const [red, blue] = [await node.pod("red"), await node.pod("blue")];
  await attach(node, red, FULL);
  await detach(node, red, FULL);
  const idle = await kernelState(node);
  await attach(node, red, FULL);
  await attach(node, blue, FULL);
  await agent.stop();
  t.notOk(existsSync(node.path(SOCKET)), "a stopped agent leaves no socket");
  const withoutNode = (verb: string, { containerId, netns }: Pod) => {
    const variables = { CNI_COMMAND: verb, CNI_CONTAINERID: containerId, CNI_NETNS: netns, CNI_IFNAME: "eth0" };
    const assignments = Object.entries({ ...variables, CNI_PATH: BIN, PATH: "/nonexistent" });
    const env = assignments.map(([key, value]) => `${key}=${value}`);
    return node.run(["env", "-i", ...env, `${BIN}/bridge`], { input: JSON.stringify(FULL) });
  };
  t.match(await withoutNode("ADD", red), { code: 1, stdout: /"code": ?11/ });
  for (const pod of [red, blue, blue]) t.match(await withoutNode("DEL", pod), { code: 0, stdout: "" });
  t.equal(readdirSync(node.path(SPOOL)).filter((name) => name.endsWith(".del")).length, 3);
  await startPluginHost(node);
  await attach(node, red, FULL); // at once: comes after its DEL
  await eventually(() => readdirSync(node.path(SPOOL)).length === 0, "the spool is empty");
  t.ok(await red.pings("10.22.0.1"));
  await detach(node, red, FULL);
  t.equal(await kernelState(node), idle);
});

t.test("an agent that was killed leaves a socket in nobody's way", async (t) => {
  const { node, agent } = await startHost(t);
  await agent.stop("SIGKILL");
  t.ok(existsSync(node.path(SOCKET)));
  const pod = await node.pod("red");
  await attach(node, pod, FULL); // by the standalone plugin
  await startPluginHost(node);
  await detach(node, pod, FULL); // by the agent
  await attach(node, pod, FULL);
});
