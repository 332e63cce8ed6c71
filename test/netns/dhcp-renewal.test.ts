import { rmSync } from "node:fs";
import t from "tap";
import { attach, detach } from "./bridge-fixture.ts";
import { dhcpConf, leaseOf, makeLan, ScriptedServer } from "./dhcp-fixture.ts";
import { eventually } from "./harness/eventually.ts";
import { BIN, HOSTED, type Node, startNode, startPluginHost } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const skip = HOSTED ? { skip: "it has an agent of its own" } : {};
/** Seconds. */
const OFTEN = { renew: 1, rebind: 3000, lease: 3600 };

t.test("dhcp: the agent renews leases, whoever got them, and goes on after it was killed", skip, async (t) => {
  const node = await startNode(t);
  await makeLan(node);
  await using server = await ScriptedServer.start(node);
  server.grant = () => OFTEN;
  const [early, hosted, alone] = [await node.pod("early"), await node.pod("hosted"), await node.pod("alone")];
  const conf = dhcpConf();
  const before = await attach(node, early, conf);
  t.equal(server.renewals(early).length, 0, "nobody renews without an agent");

  const agent = await startPluginHost(node);
  await attach(node, hosted, conf);
  await attachAlone(node, alone, conf);
  for (const pod of [early, hosted, alone]) {
    const renewal = await eventually(() => server.renewals(pod)[0], `${pod.name} is renewed`);
    t.match(renewal, { way: "unicast", message: { ciaddr: leaseOf(node, pod).address.split("/")[0] } });
    t.notOk(renewal.message.options.has(54), "RFC 2131 section 4.3.2: without the server's identifier");
  }

  await agent.stop("SIGKILL");
  const count = server.renewals(hosted).length;
  const { renewAt } = leaseOf(node, hosted);
  const next = await startPluginHost(node);
  await eventually(() => server.renewals(hosted).length > count, "a new agent takes the leases up");
  await eventually(() => leaseOf(node, hosted).renewAt > renewAt, "and writes down what it got");
  t.match(await hosted.runOk(["ip", "-4", "addr", "show", "eth0"]), leaseOf(node, hosted).address);

  server.grant = (message) => (server.isOf(message, alone) ? { renew: 1, rebind: 2, lease: 3600 } : OFTEN);
  const seen = server.renewals(alone).length;
  await eventually(() => server.renewals(alone).length > seen, "one with a T2 soon");
  server.deafTo = (message) => server.isOf(message, alone);
  const ask = await eventually(() => server.broadcasts(alone)[0], "T2: any server is asked when one does not answer");
  t.ok(ask.message.options.has(61));
  server.deafTo = () => false;
  const { renewAt: asked } = leaseOf(node, alone);
  await eventually(() => leaseOf(node, alone).renewAt > asked, "and answers");

  await detach(node, early, { ...conf, prevResult: before });
  await eventually(() => server.releases(early)[0], "DEL gives the lease back while the agent has it");
  const gone = server.renewals(early).length;
  const others = server.renewals(hosted).length;
  await eventually(() => server.renewals(hosted).length > others + 2, "others are still renewed");
  t.equal(server.renewals(early).length, gone, "and what was given back is not");
  t.notMatch(next.output, /DHCP lease(?:s cannot| is lost| cannot)/);
});

t.test("dhcp: a lost lease takes the address from the pod, and everybody is told", skip, async (t) => {
  const node = await startNode(t);
  await makeLan(node);
  await using server = await ScriptedServer.start(node);
  const [refused, expired, kept] = [await node.pod("refused"), await node.pod("expired"), await node.pod("kept")];
  server.grant = () => OFTEN;
  const agent = await startPluginHost(node);
  const conf = dhcpConf();
  const results = new Map<Pod, object>();
  for (const pod of [refused, expired, kept]) results.set(pod, await attach(node, pod, conf));
  let granted = 0;
  server.grant = (message) => (server.isOf(message, expired) ? { renew: 1, rebind: 2, lease: 3 } : OFTEN);
  server.renew = (message) => {
    if (server.isOf(message, refused)) return "nak";
    return server.isOf(message, expired) && granted++ > 0 ? "silent" : "ack";
  };
  const addresses = (pod: Pod) => pod.runOk(["ip", "-4", "-o", "addr", "show", "dev", "eth0"]);

  for (const [pod, why] of [
    [refused, /says that \S+ is not ours/],
    [expired, /no DHCP server had given it more time/],
  ] as const) {
    await eventually(() => leaseOf(node, pod).lost !== undefined, `the lease of ${pod.name} is lost`);
    t.match(leaseOf(node, pod).lost, why);
    await eventually(async () => (await addresses(pod)) === "", "its address is not used any more");
    const prevResult = results.get(pod);
    t.match(await node.cni("CHECK", pod, { ...conf, prevResult, type: "dhcp" }), { json: { code: 100, msg: why } });
    t.match(await node.cni("CHECK", pod, { ...conf, prevResult }), { json: { code: 100 } });
  }
  t.match(agent.output, /"level":"error".*"msg":"a DHCP lease is lost, and the pod without that address"/);
  t.match(await addresses(kept), leaseOf(node, kept).address);
  t.match(await node.cni("CHECK", kept, { ...conf, prevResult: results.get(kept) }), { code: 0 });

  await detach(node, refused, conf);
  t.equal(server.releases(refused).length, 0, "what is not ours is not given back");
  await expired.deleteNetns();
  rmSync(node.path("/run/podwire/dhcp"), { recursive: true });
  await attach(node, refused, conf);
  await eventually(
    () => leaseOf(node, refused).lost !== undefined,
    "an agent whose folder was removed follows the new one",
  );
});

/** ADD by the plugin for Node.js, as it is where no agent serves calls. */
async function attachAlone(node: Node, pod: Pod, conf: object): Promise<void> {
  const program = [process.execPath, `${BIN}/.podwire/bridge`];
  const env = {
    ...{ CNI_COMMAND: "ADD", CNI_PATH: BIN, CNI_IFNAME: "eth0", PATH: process.env.PATH ?? "" },
    ...{ CNI_CONTAINERID: pod.containerId, CNI_NETNS: pod.netns },
  };
  await node.runOk(program, { env, input: JSON.stringify(conf) });
}
