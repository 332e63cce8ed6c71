import t from "tap";
import type { SetNetworkRequest } from "../proto/gen/podwire/v1/SetNetworkRequest.ts";
import { ExitCode } from "./exit.ts";
import { parseSettings, setNetwork } from "./network-set.ts";
import { fakeAdmin, fakeContext, networks, subnets } from "./testdata/cluster.ts";

const [network] = networks;
if (network === undefined) throw new Error("no network");

t.test("network set: KEY=VALUE, and a sentence for what is not", async (t) => {
  t.strictSame(parseSettings(["backend=gre", "mode=static", "vni=7", "direct-routing=true"]), {
    type: "gre",
    mode: "static",
    vni: 7,
    directRouting: true,
  });
  t.throws(() => parseSettings(["gre"]), { message: /gre: give KEY=VALUE, such as backend=gre/ });
  t.throws(() => parseSettings(["colour=red"]), { message: /"colour" is none of backend, mode, tunnel, vni/ });
  t.throws(() => parseSettings(["__proto__=1"]), { message: /"__proto__" is none of/ });
  t.throws(() => parseSettings(["mtu=much"]), { message: /mtu=much: give a whole number/ });
  t.throws(() => parseSettings(["direct-routing=on"]), { message: /direct-routing=on: give true or false/ });
});

t.test("network set: another type begins with its defaults, progress is shown until all have moved", async (t) => {
  const asked: SetNetworkRequest[] = [];
  const changing = { ...network, generation: 1, required: 1, previous: network.backend };
  let step = 0;
  const admin = fakeAdmin({
    setNetwork: async (request) => {
      asked.push(request);
      return { ...changing, backend: { ...network.backend, type: "gre" } as typeof network.backend };
    },
    listNetworks: async () => [[network, changing, changing, { ...changing, previous: null }][step++] ?? network],
    listSubnets: async () =>
      subnets
        .filter(({ nodeName, network: name }) => nodeName !== "" && name === "default")
        .map((subnet) => ({ ...subnet, receives: 1, sends: step > 2 && subnet.nodeName === "node-1" ? 1 : 0 })),
    async *watch() {
      for (;;) yield;
    },
  });
  const context = fakeContext(admin);
  t.equal(await setNetwork(context, "default", ["backend=gre"], { wait: 60_000 }), ExitCode.ok);
  t.match(asked[0]?.backend, { type: "gre", directRouting: false, mtu: 0 });
  t.equal(asked[0]?.backend?.vni, undefined, "the VNI of vxlan is none of gre's");
  t.match(context.printed, /being changed from vxlan\/flow to gre\/flow\nnetwork\/default changed\n/);
  t.match(
    context.noted,
    /^\d of \d nodes receive, 0 send, waiting for .*\n\d of \d nodes receive, 1 send, waiting for/,
  );
});

t.test("network set: what does not end in time says how to take it back", async (t) => {
  const changing = { ...network, generation: 1, required: 1, previous: network.backend };
  let now = 0;
  let asked = 0;
  const admin = fakeAdmin({
    setNetwork: async () => changing,
    listNetworks: async () => (asked++ === 0 ? [network] : [changing]),
    async *watch() {
      yield;
      now = 120_000;
      throw new Error("deadline");
    },
  });
  const context = { ...fakeContext(admin), now: () => now };
  let noted = "";
  context.note = (text) => {
    noted += text;
  };
  t.equal(await setNetwork(context, "default", ["mtu=1400"], { wait: 60_000 }), ExitCode.notConverged);
  t.match(noted, /It goes on; to take it back: cnictl network set default backend=vxlan mode=flow/);
});
