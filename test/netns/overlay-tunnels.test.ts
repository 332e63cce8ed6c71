import t from "tap";
import { EMPTY_LISTING } from "../../firewall/listing.ts";
import { tunnelGuard } from "../../firewall/node-rules.ts";
import { difference } from "../../firewall/ruleset.ts";
import { parseAddress } from "../../net/address.ts";
import { build, POD_CIDRS, podAddress, type Setup } from "./overlay-fixture.ts";
import { openSandbox } from "./sandbox.ts";

const flow = { type: "vxlan", mode: "flow" };
const still = { type: "vxlan", mode: "static" };
const both = [POD_CIDRS[4], POD_CIDRS[6]];
const SETUPS: Record<string, Setup & { readonly mtu: number }> = {
  "flow over IPv4": { backend: flow, underlay: [4], cidrs: both, mtu: 1464 },
  "flow over IPv6": { backend: flow, underlay: [6], cidrs: both, mtu: 1444 },
  "flow over both": { backend: flow, underlay: [4, 6], cidrs: both, mtu: 1464 },
  "flow with directRouting": { backend: { ...flow, directRouting: true }, underlay: [4], cidrs: both, mtu: 1464 },
  "static over IPv4": { backend: still, underlay: [4], cidrs: both, mtu: 1450 },
  "static over IPv6": { backend: still, underlay: [6], cidrs: both, mtu: 1430 },
  "static over both": { backend: still, underlay: [4, 6], cidrs: both, mtu: 1430 },
  "host-gw over both": { backend: { type: "host-gw" }, underlay: [4, 6], cidrs: both, mtu: 1500 },
};

for (const [name, setup] of Object.entries(SETUPS)) {
  t.test(`F7: ${name}: pods of both families reach each other with packets as large as their MTU`, async (t) => {
    const sandbox = openSandbox(t);
    await build(sandbox, setup, ["red", "blue"]);
    const ping = (netns: string, size: number, address: string, limit = "-w30") =>
      sandbox.succeeds(`ip netns exec ${netns} ping -qc1 ${limit} -M do -s ${size} ${address}`);
    for (const cidr of setup.cidrs) {
      const headers = cidr.includes(":") ? 48 : 28;
      t.ok(ping("pod-red", setup.mtu - headers, podAddress(cidr, 2)), `pod to pod in ${cidr}`);
      t.notOk(ping("pod-red", setup.mtu - headers + 1, podAddress(cidr, 2), "-W0.2"), "one byte more does not fit");
      t.ok(ping("red", 56, podAddress(cidr, 2)), "node to the other node's pod");
    }
    // Without a pod there is no bridge: the default route must not get the packets.
    sandbox.sh("ip -n blue link del pod0; ip -n blue route add default dev eth0; ip -n blue route add ::/0 dev eth0");
    for (const cidr of setup.cidrs) {
      const said = sandbox.sh(`ip netns exec pod-red ping -c1 -w30 ${podAddress(cidr, 2)} || true`);
      t.match(said, /unreachable|No route/i, "an address of no pod is answered, and not sent on");
    }
  });
}

t.test("S7: with the guard a stranger's and a removed node's tunnel packets are dropped", async (t) => {
  const sandbox = openSandbox(t);
  const setup = { backend: flow, underlay: [4, 6] as const, cidrs: both };
  await build(sandbox, setup, ["red", "blue", "cyan"]);
  sandbox.sh(`ip netns exec red nft 'add table inet seen; add set inet seen from { type ipv4_addr; };
    add chain inet seen in { type filter hook forward priority 0; };
    add rule inet seen in iifname pwflow4790 add @from { ip saddr }'`);
  const seen = () => {
    sandbox.sh("ip netns exec red nft flush set inet seen from");
    for (const node of ["blue", "cyan"]) {
      sandbox.succeeds(`ip netns exec pod-${node} ping -qc1 -W5 ${podAddress(POD_CIDRS[4], 1)}`);
    }
    return (
      sandbox
        .sh("ip netns exec red nft list set inet seen from")
        .match(/10\.244\.\d\.\d/g)
        ?.sort() ?? []
    );
  };
  for (const node of ["blue", "cyan"])
    sandbox.sh(`ip netns exec pod-${node} ping -qc1 -w30 ${podAddress(POD_CIDRS[4], 1)}`);
  t.strictSame(seen(), ["10.244.2.2", "10.244.3.2"]);
  const peers = ["192.0.2.2", "2001:db8::2"].map(parseAddress);
  const guard = difference(tunnelGuard({ device: "eth0", tunnels: [{ port: 4790, peers }] }), EMPTY_LISTING);
  sandbox.sh("ip netns exec red nft -f -", guard);
  t.strictSame(seen(), ["10.244.2.2"], "cyan is no peer any more");
});
