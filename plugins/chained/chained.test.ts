import t from "tap";
import { callPlugin } from "../../cni/testing.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { chained } from "./chained.ts";
import { hostInterfaces, ownIps, withInterface } from "./result.ts";

const PREVIOUS = {
  interfaces: [
    { name: "cni0" },
    { name: "eth0" },
    { name: "eth0", sandbox: "/run/netns/a", mtu: 1500 },
    { name: "lo", sandbox: "/run/netns/a" },
  ],
  ips: [
    { address: parsePrefix("10.0.0.2/24"), interface: 2 },
    { address: parsePrefix("127.0.0.1/8"), interface: 3 },
    { address: parsePrefix("10.9.0.2/24"), interface: 1 },
    { address: parsePrefix("fd00::2/64") },
  ],
  routes: [],
};

function run(command: string, keys: object, answer?: "changed") {
  const seen: string[] = [];
  const plugin = chained({
    name: "behind",
    async add({ conf: { prevResult } }) {
      seen.push("ADD");
      return answer === undefined ? undefined : withInterface(prevResult, "eth0", { mtu: 1400 });
    },
    async check({ conf: { prevResult } }) {
      seen.push(`CHECK ${prevResult.ips.length}`);
    },
  });
  const stdin = { cniVersion: "1.1.0", name: "test", type: "behind", ...keys };
  const env = { CNI_NETNS: "/run/netns/a", CNI_IFNAME: "eth0" };
  return callPlugin(plugin, { command, stdin, env }).then((called) => ({ ...called, seen }));
}

t.test("ADD and CHECK need prevResult, and nothing is done without", async (t) => {
  for (const command of ["ADD", "CHECK"]) {
    const { answer, seen } = await run(command, {});
    t.match(answer, { code: 7, msg: /^prevResult is missing; / }, command);
    t.strictSame(seen, []);
  }
  t.strictSame((await run("CHECK", { prevResult: PREVIOUS })).seen, ["CHECK 4"]);
});

t.test("ADD passes prevResult on as it came, or changed", async (t) => {
  const { routes: _none, ...said } = PREVIOUS;
  t.strictSame((await run("ADD", { prevResult: PREVIOUS })).answer, { cniVersion: "1.1.0", ...said });
  const { answer } = await run("ADD", { prevResult: PREVIOUS }, "changed");
  t.match(answer, { interfaces: [{}, { mtu: undefined }, { mtu: 1400 }, { mtu: undefined }] });
});

t.test("DEL, GC and STATUS need nothing", async (t) => {
  const keys = { "cni.dev/valid-attachments": [] };
  for (const command of ["DEL", "GC", "STATUS"]) {
    const { exitCode, stdout } = await run(command, keys);
    t.strictSame([exitCode, stdout], [0, ""], command);
  }
  t.strictSame((await run("DEL", { prevResult: { ips: "nonsense" } })).exitCode, 0);
});

t.test("of a result, what is the attachment's and what the host's", async (t) => {
  t.strictSame(
    ownIps(PREVIOUS, "eth0").map(({ address }) => address),
    ["10.0.0.2/24", "fd00::2/64"],
  );
  t.strictSame(
    hostInterfaces(PREVIOUS).map(({ name }) => name),
    ["cni0", "eth0"],
  );
});
