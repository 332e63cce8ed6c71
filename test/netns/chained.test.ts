import { readFileSync } from "node:fs";
import t from "tap";
import { kernelState } from "./bridge-fixture.ts";
import { needs } from "./harness/full-kernel.ts";
import { startNode } from "./harness/node.ts";
import type { ConfList } from "./harness/runtime.ts";

/** The first configuration in the plugin's README. */
function example(plugin: string): ConfList {
  const text = readFileSync(new URL(`../../plugins/${plugin}/README.md`, import.meta.url), "utf8");
  const [, json = ""] = /```json\n([\s\S]*?)```/.exec(text) ?? [];
  return JSON.parse(json);
}

for (const plugin of ["tuning", "sbr", "vrf", "bandwidth"]) {
  t.test(`the example of ${plugin}'s README works`, plugin === "vrf" ? needs("vrf") : {}, async (t) => {
    const node = await startNode(t);
    const list = { ...example(plugin), cniVersion: "1.1.0" };
    const pod = await node.pod("pod");
    await node.runtime.loopback(pod);
    t.equal((await node.runtime.status(list))?.stdout, "");
    const added = await node.runtime.add(list, pod);
    t.equal(added.code, 0, added.stdout);
    t.equal((await node.runtime.check(list, pod))?.stdout, "");
    const { ips } = added.json as { ips: readonly { gateway: string }[] };
    const words = plugin === "vrf" ? ["-I", "blue"] : ["-I", "eth0"];
    t.equal((await pod.run(["ping", "-c1", "-W10", ...words, ips[0]?.gateway ?? ""])).code, 0);
    t.equal((await node.runtime.del(list, pod))?.stdout, "");
    t.equal((await node.runtime.gc(list, []))?.stdout, "");
  });
}

t.test("P3: a chain of all of them, and what is left when the namespace goes first", async (t) => {
  const node = await startNode(t);
  const before = await kernelState(node);
  const [bridge] = example("tuning").plugins;
  const [tuning, sbr, bandwidth] = ["tuning", "sbr", "bandwidth"].map((name) => example(name).plugins[1]);
  const plugins = [bridge, tuning, bandwidth, sbr].flatMap((plugin) => (plugin === undefined ? [] : [plugin]));
  const list = { cniVersion: "1.1.0", name: "all", plugins };
  const pods = [await node.pod("red"), await node.pod("blue")] as const;
  for (const pod of pods) {
    const added = await node.runtime.add(list, pod);
    t.match(added.json, { interfaces: [{}, {}, { name: "eth0", mtu: 1454 }, { mtu: 1500 }] }, added.stdout);
    t.equal((await node.runtime.check(list, pod))?.stdout, "");
  }
  const [red, blue] = pods;
  await red.deleteNetns();
  t.equal((await node.runtime.del(list, red))?.stdout, "");
  await blue.deleteNetns();
  t.equal((await node.runtime.gc(list, []))?.stdout, "");
  t.equal(await kernelState(node), before);
  t.equal((await node.sh("find /run/cni /var/lib/cni/networks -name '*.json' -o -name '10.*'")).trim(), "");
});
