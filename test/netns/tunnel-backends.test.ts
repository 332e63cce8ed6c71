import t from "tap";
import { EMPTY_LISTING } from "../../firewall/listing.ts";
import { tunnelGuard } from "../../firewall/node-rules.ts";
import { difference } from "../../firewall/ruleset.ts";
import { parseAddress } from "../../net/address.ts";
import type { Changes } from "../../reconcile/step.ts";
import {
  applyIn,
  build,
  lackingKernel,
  NODES,
  type NodeName,
  POD_CIDRS,
  podAddress,
  type Setup,
  stateOf,
} from "./overlay-fixture.ts";
import { openSandbox, type Sandbox } from "./sandbox.ts";

const NAMES = Object.keys(NODES) as NodeName[];
const BOTH = [POD_CIDRS[4], POD_CIDRS[6]];
const NOTHING: Changes = { added: 0, changed: 0, removed: 0 };
const UNDERLAYS = { IPv4: [4], IPv6: [6], both: [4, 6] } as const;

/** The largest packet of a pod over an underlay link of 1500 bytes, by underlay. */
const MTU = {
  "vxlan flow": { IPv4: 1464, IPv6: 1444, both: 1464 },
  "vxlan static": { IPv4: 1450, IPv6: 1430, both: 1430 },
  "gre flow": { IPv4: 1476, IPv6: 1456, both: 1476 },
  "gre static": { IPv4: 1472, IPv6: 1452, both: 1472 },
  wireguard: { IPv4: 1440, IPv6: 1420, both: 1440 },
  "ipip flow": { IPv4: 1480 },
  "ipip static": { IPv4: 1480, both: 1480 },
} as const;

const SETUPS = Object.entries(MTU).flatMap(([what, byUnderlay]) => {
  const [type = "", mode = ""] = what.split(" ");
  const cidrs = type === "ipip" ? [POD_CIDRS[4]] : BOTH;
  return Object.entries<number>(byUnderlay).map(([name, mtu]) => {
    const underlay = UNDERLAYS[name as keyof typeof UNDERLAYS];
    return { name: `${what} over ${name}`, mtu, setup: { backend: { type, mode }, underlay, cidrs } as Setup };
  });
});

function ping(sandbox: Sandbox, netns: string, size: number, address: string, wait = 30): boolean {
  return sandbox.succeeds(`ip netns exec ${netns} ping -qc1 -W${wait} -M do -s ${size} ${address}`);
}

for (const { name, mtu, setup } of SETUPS) {
  t.test(
    `F7: ${name}, as the agent makes it: pods of three nodes reach each other with packets of ${mtu} bytes`,
    async (t) => {
      const sandbox = openSandbox(t);
      const lacking = lackingKernel(sandbox, setup);
      if (lacking !== false) {
        const message =
          /link pw.*: this kernel has no devices of kind (gre|ip6gre|ipip|wireguard); .*CONFIG_(NET_IPGRE|IPV6_GRE|NET_IPIP|WIREGUARD)/;
        await build(sandbox, setup, ["red"], async (node) => {
          await t.rejects(applyIn(sandbox, node, stateOf(node, setup, NAMES)), { message }, lacking.said);
        });
        return;
      }
      const passes: Changes[][] = [];
      await build(sandbox, setup, NAMES, async (node, state) => {
        t.equal(state.podMtu.pods, mtu);
        t.strictSame(state.refusals, []);
        passes.push(await applyIn(sandbox, node, state, 2));
      });
      for (const [first, second] of passes) {
        t.ok((first?.added ?? 0) > 0);
        t.strictSame(second, NOTHING, "a second pass writes nothing");
      }
      for (const cidr of setup.cidrs) {
        const headers = cidr.includes(":") ? 48 : 28;
        for (const from of NAMES) {
          for (const to of NAMES.filter((node) => node !== from)) {
            const address = podAddress(cidr, NODES[to]);
            t.ok(
              ping(sandbox, `pod-${from}`, mtu - headers, address),
              `pod of ${from} to pod of ${to} in ${cidr}, full size`,
            );
            t.ok(ping(sandbox, from, 56, address), `${from} itself to the pod of ${to} in ${cidr}`);
          }
        }
        const one = podAddress(cidr, 2);
        t.notOk(ping(sandbox, "pod-red", mtu - headers + 1, one, 0.2), "one byte more does not fit");
      }

      // What was changed by hand comes back; a node that leaves takes its route (and device) along.
      const [device = ""] = stateOf("red", setup, NAMES).links.map((link) => link.name);
      sandbox.sh(`ip -n red link del ${device}`);
      const [healed, quiet] = await applyIn(sandbox, "red", stateOf("red", setup, NAMES), 2);
      t.ok((healed?.added ?? 0) > 1, "a device removed by hand is back, with its routes");
      t.strictSame(quiet, NOTHING);
      const [left] = await applyIn(sandbox, "red", stateOf("red", setup, ["red", "blue"]));
      t.ok((left?.removed ?? 0) >= setup.cidrs.length, "what led to cyan is gone");
      for (const cidr of setup.cidrs) {
        const headers = cidr.includes(":") ? 48 : 28;
        t.ok(ping(sandbox, "pod-red", mtu - headers, podAddress(cidr, 2)), "and blue is reached still");
        t.notOk(ping(sandbox, "pod-red", 56, podAddress(cidr, 3), 0.2));
      }
    },
  );
}

const PEERS = ["192.0.2.2", "2001:db8::2"].map(parseAddress);
for (const [type, underlay] of [
  ["gre", 4],
  ["gre", 6],
  ["ipip", 4],
] as const) {
  t.test(`S7: ${type} over IPv${underlay}: a stranger's packets are dropped, and those that a pod makes`, async (t) => {
    const sandbox = openSandbox(t);
    const setup: Setup = {
      backend: { type, mode: "flow" },
      underlay: [underlay],
      cidrs: type === "ipip" ? [POD_CIDRS[4]] : BOTH,
    };
    const lacking = lackingKernel(sandbox, setup);
    if (lacking !== false) {
      t.plan(0, lacking.said);
      return;
    }
    await build(sandbox, setup, NAMES);
    const reaches = (node: string) =>
      sandbox.succeeds(`ip netns exec pod-${node} ping -qc1 -W3 ${podAddress(POD_CIDRS[4], 1)}`);
    // The pod's own tunnel to blue's node: red forwards what it carries, as any other packet of a pod.
    const [kind, local, remote] =
      underlay === 4 ? [type, "10.244.1.2", "192.0.2.2"] : [`ip6${type}`, "fd00:244:0:1::2", "2001:db8::2"];
    sandbox.sh(`ip -n pod-red link add own0 type ${kind} local ${local} remote ${remote}
      ip -n pod-red address add 198.51.100.1/24 dev own0; ip -n pod-red link set own0 up
      ip netns exec blue nft 'add table inet seen; add chain inet seen in { type filter hook prerouting priority -400; };
        add rule inet seen in meta l4proto ${type === "gre" ? 47 : 4} ip${underlay === 4 ? "" : "6"} saddr ${local} counter'`);
    const forged = () => {
      sandbox.succeeds("ip netns exec pod-red ping -qc1 -W0.5 198.51.100.2");
      return Number(/packets (\d+)/.exec(sandbox.sh("ip netns exec blue nft list chain inet seen in"))?.[1]);
    };
    t.ok(reaches("blue") && reaches("cyan"), "without the guard all reach red");
    const before = forged();
    t.ok(before > 0, "and a pod's tunnel packets reach blue");

    const guard = tunnelGuard({ device: "eth0", tunnels: [], protocols: [{ name: type, peers: PEERS }] });
    const text = difference(guard, EMPTY_LISTING);
    sandbox.sh("ip netns exec red nft -f -", text);
    t.ok(reaches("blue"), "a peer is heard");
    t.notOk(reaches("cyan"), "cyan is no peer any more");
    t.equal(forged(), before, "no more of the pod's");
  });
}
