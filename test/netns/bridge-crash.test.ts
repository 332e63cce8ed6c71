import t from "tap";
import { attach, bridgeConf, collect, detach, FULL, kernelState, seededRandom } from "./bridge-fixture.ts";
import { BIN, type Node, startNode } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

const LONG = process.env.PODWIRE_TEST_LONG === "1";
const seed = Number(process.env.PODWIRE_TEST_SEED ?? Date.now() % 1_000_000);

/** ADD that gets SIGKILL after so many seconds. Whether it had come to its end. */
async function addAndKill(node: Node, pod: Pod, seconds: number): Promise<boolean> {
  const { code } = await node.run(["timeout", "-s", "KILL", seconds.toFixed(4), `${BIN}/bridge`], {
    input: JSON.stringify(FULL),
    env: {
      PATH: process.env.PATH ?? "",
      CNI_COMMAND: "ADD",
      CNI_PATH: BIN,
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: "eth0",
    },
  });
  return code === 0;
}

t.test(
  `an ADD that is killed at any moment leaves nothing that DEL or GC does not remove (seed ${seed})`,
  async (t) => {
    const node = await startNode(t);
    const random = seededRandom(seed);
    const keeper = await node.pod("first");
    const started = performance.now();
    await attach(node, keeper, FULL);
    let usual = (performance.now() - started) / 1000; // follows the machine's load
    const quiet = await kernelState(node);
    const seen = { nothing: 0, partly: 0, complete: 0 };
    for (let i = 0; i < (LONG ? 200 : 24); i++) {
      const pod = await node.pod("pod");
      const complete = await addAndKill(node, pod, usual * (0.8 + 0.4 * random()));
      const links = (await node.sh("ip -br link show type veth")).trim().split("\n").length;
      const outcome = complete ? "complete" : links === 1 ? "nothing" : "partly";
      seen[outcome]++;
      usual *= { complete: 0.85, nothing: 1.1, partly: 1 }[outcome];
      if (i % 2 === 0) await detach(node, pod, FULL);
      else t.match(await collect(node, [keeper], FULL), { code: 0, stdout: "" });
      t.equal(await kernelState(node), quiet, i % 2 === 0 ? "after DEL" : "after GC");
      const leases = await node.sh("ls /var/lib/cni/networks/test");
      t.strictSame(
        leases.match(/^\S*[.:]\S*\d$/gm)?.filter((file) => !file.startsWith("last")),
        ["10.22.0.2", "fd00:22::2"],
      );
    }
    t.comment(seen);
    t.ok(seen.partly > 0, "some were killed half-way");
  },
);

t.test("a link that was killed before it got its alias is known by name and group", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("pod");
  const [, host] = (await attach(node, pod, bridgeConf())).interfaces;
  await node.sh(`ip link set ${host?.name} alias ""; ip link set cni0 alias ""`);
  await node.sh("ip link add pw0123456789ab type veth peer name other");
  t.match(await collect(node, [], bridgeConf()), { code: 0 });
  const links = await node.sh("ip -br link");
  t.notMatch(links, new RegExp(`${host?.name}|cni0`));
  t.match(links, "pw0123456789ab", "another's link stays");
});
