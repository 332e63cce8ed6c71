import t from "tap";
import type { Changes } from "../../reconcile/step.ts";
import { lackingFeatures, needs } from "./harness/full-kernel.ts";
import {
  applyIn,
  build,
  kindsOf,
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

/** Without --long, of what only a full kernel has, these: the rest is in the short form of test/cluster/backends.test.ts. */
const SHORT = ["gre static over IPv6", "ipip static over both"];
const LONG = process.env.PODWIRE_TEST_LONG === "1";

const SETUPS = Object.entries(MTU).flatMap(([what, byUnderlay]) => {
  const [type = "", mode = ""] = what.split(" ");
  const cidrs = type === "ipip" ? [POD_CIDRS[4]] : BOTH;
  return Object.entries<number>(byUnderlay).map(([name, mtu]) => {
    const underlay = UNDERLAYS[name as keyof typeof UNDERLAYS];
    return { name: `${what} over ${name}`, mtu, setup: { backend: { type, mode }, underlay, cidrs } as Setup };
  });
});

/** The script of one ping in the namespace: silent, and what it is for on a line when it has no answer. */
function ping(netns: string, size: number, address: string): string {
  const what = `${netns} to ${address}, ${size} bytes`;
  return `ip netns exec ${netns} ping -qc1 -w30 -M do -s ${size} ${address} >&2 || echo "${what}"`;
}

/** Pods to pods with packets of the size, and nodes themselves to pods: those without an answer. */
function unanswered(sandbox: Sandbox, setup: Setup, nodes: readonly NodeName[], mtu: number): string {
  const scripts = setup.cidrs.flatMap((cidr) =>
    nodes.flatMap((from) =>
      nodes
        .filter((node) => node !== from)
        .map((to) => podAddress(cidr, NODES[to]))
        .flatMap((address) => [ping(`pod-${from}`, payload(mtu, cidr), address), ping(from, 56, address)]),
    ),
  );
  return sandbox.sh(scripts.join("\n"));
}

const payload = (mtu: number, cidr: string) => mtu - (cidr.includes(":") ? 48 : 28);

function passes(sandbox: Sandbox, size: number, address: string): boolean {
  return sandbox.succeeds(`ip netns exec pod-red ping -qc1 -W0.2 -M do -s ${size} ${address}`);
}

t.test("a kernel without a tunnel's devices: what it lacks, and what to set, is said", async (t) => {
  for (const kind of lackingFeatures()) {
    const found = SETUPS.find(({ setup }) => kindsOf(setup).includes(kind));
    if (found === undefined) continue;
    const sandbox = openSandbox(t);
    const message =
      /link pw.*: this kernel has no devices of kind (gre|ip6gre|ipip|wireguard); .*CONFIG_(NET_IPGRE|IPV6_GRE|NET_IPIP|WIREGUARD)/;
    await build(sandbox, found.setup, ["red"], async (node) => {
      await t.rejects(applyIn(sandbox, node, stateOf(node, found.setup, NAMES)), { message }, kind);
    });
  }
});

for (const { name, mtu, setup } of SETUPS) {
  const isShort = setup.backend.type === "vxlan" || SHORT.includes(name);
  if (!LONG && !isShort) continue;
  t.test(
    `F7: ${name}, as the agent makes it: pods of three nodes reach each other with packets of ${mtu} bytes`,
    needs(...kindsOf(setup)),
    async (t) => {
      const sandbox = openSandbox(t);
      const made: Changes[][] = [];
      await build(sandbox, setup, NAMES, async (node, state) => {
        t.equal(state.podMtu.pods, mtu);
        t.strictSame(state.refusals, []);
        made.push(await applyIn(sandbox, node, state, 2));
      });
      for (const [first, second] of made) {
        t.ok((first?.added ?? 0) > 0);
        t.strictSame(second, NOTHING, "a second pass writes nothing");
      }
      t.equal(unanswered(sandbox, setup, NAMES, mtu), "", "all have an answer");
      for (const cidr of setup.cidrs)
        t.notOk(passes(sandbox, payload(mtu, cidr) + 1, podAddress(cidr, 2)), "one byte more does not fit");

      // What was changed by hand comes back; a node that leaves takes its route (and device) along.
      const [device = ""] = stateOf("red", setup, NAMES).links.map((link) => link.name);
      sandbox.sh(`ip -n red link del ${device}`);
      const [healed, quiet] = await applyIn(sandbox, "red", stateOf("red", setup, NAMES), 2);
      t.ok((healed?.added ?? 0) > 1, "a device removed by hand is back, with its routes");
      t.strictSame(quiet, NOTHING);
      const [left] = await applyIn(sandbox, "red", stateOf("red", setup, ["red", "blue"]));
      t.ok((left?.removed ?? 0) >= setup.cidrs.length, "what led to cyan is gone");
      t.equal(unanswered(sandbox, setup, ["red", "blue"], mtu), "", "and blue is reached still");
      for (const cidr of setup.cidrs) t.notOk(passes(sandbox, 56, podAddress(cidr, 3)), "cyan is not");
    },
  );
}
