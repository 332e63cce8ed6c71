import t from "tap";
import { startNode } from "./harness/node.ts";

const conf = { type: "bridge", isGateway: true, ipam: { type: "host-local", subnet: "10.22.0.0/24" } };

t.test("two pods of a bridge ping each other, and DEL leaves the node as it was", async (t) => {
  const node = await startNode(t); // fresh namespaces, gone after the test
  const [red, blue] = [await node.pod("red"), await node.pod("blue")];
  await node.cni("ADD", red, conf); // the bridge stays when its last pod goes, so make it first
  await node.cni("DEL", red, conf);
  const before = await node.snapshot(); // ip and nft text, random parts removed

  t.match((await node.cni("ADD", red, conf)).json, { ips: [{ address: "10.22.0.3/24" }] });
  t.match((await node.cni("ADD", blue, conf)).json, { ips: [{ address: "10.22.0.4/24" }] });
  t.ok(await red.pings("10.22.0.4"));

  for (const pod of [red, blue, blue]) t.match(await node.cni("DEL", pod, conf), { code: 0 }); // twice is no error
  t.equal(await node.snapshot(), before);
});
