import t, { type Test } from "tap";
import { applyRulesets, nodeRulesets } from "../../dataplane/node-rules.ts";
import { inNetns } from "../../kernel/netns.ts";
import { type Address, parseAddress } from "../../net/address.ts";
import { bare, type Forged, gpe, gre, send, vxlan, type Wrapping } from "./forgery.ts";
import { eventually } from "./harness/eventually.ts";
import { affords, needs } from "./harness/full-kernel.ts";
import {
  build,
  inputOf,
  kindsOf,
  NODES,
  type NodeName,
  POD_CIDRS,
  podAddress,
  type Setup,
  stateOf,
  underlayAddress,
} from "./overlay-fixture.ts";
import { openSandbox, type Sandbox } from "./sandbox.ts";

const LONG = process.env.PODWIRE_TEST_LONG === "1";
/** Of vxlan without --long: each mode, and each family of the underlay. */
const SHORT = ["flow 4", "static 6"];
const NAMES = Object.keys(NODES) as NodeName[];
const SETUPS = (["vxlan", "gre", "ipip"] as const).flatMap((type) =>
  (["flow", "static"] as const).flatMap((mode) =>
    (type === "ipip" ? ([4] as const) : ([4, 6] as const)).map((family) => {
      const cidrs = type === "ipip" ? [POD_CIDRS[4]] : [POD_CIDRS[4], POD_CIDRS[6]];
      return { type, mode, family, cidrs, backend: { type, mode }, underlay: [family], masquerade: true };
    }),
  ),
) satisfies readonly Setup[];

/** A packet on its way to red's pod: whether it arrives where nobody guards, and where red and blue do. */
interface Attempt {
  readonly what: string;
  readonly in: string;
  readonly outer: readonly [string, string];
  readonly inner: string;
  readonly fragmented?: boolean;
  readonly arrives: boolean;
}

function attempts(family: 4 | 6, cidr: string): Attempt[] {
  const [red, blue, cyan] = [1, 2, 3].map((i) => underlayAddress(family, i)) as [string, string, string];
  const stranger = underlayAddress(family, 66);
  const other = underlayAddress(family, 101);
  const own = cidr.includes(":") ? "fd00:244:0:2::" : "10.244.2.0";
  const pod = (i: number) => podAddress(cidr, i, 9);
  const podOf = (i: number) => podAddress(family === 4 ? POD_CIDRS[4] : POD_CIDRS[6], i);
  return [
    { what: "a peer's pod", in: "blue", outer: [blue, red], inner: pod(2), arrives: true },
    { what: "a peer itself", in: "blue", outer: [blue, red], inner: own, arrives: true },
    { what: "another peer's pod", in: "cyan", outer: [cyan, red], inner: pod(3), arrives: true },
    {
      what: "a peer's pod, in fragments",
      in: "blue",
      outer: [blue, red],
      inner: pod(2),
      fragmented: true,
      arrives: true,
    },
    { what: "a peer as another's pod", in: "blue", outer: [blue, red], inner: pod(3), arrives: false },
    { what: "the same, in fragments", in: "blue", outer: [blue, red], inner: pod(3), fragmented: true, arrives: false },
    { what: "a peer as our own pod", in: "blue", outer: [blue, red], inner: pod(1), arrives: false },
    {
      what: "a peer as the world",
      in: "blue",
      outer: [blue, red],
      inner: cidr.includes(":") ? "2001:db8:99::1" : "198.51.100.1",
      arrives: false,
    },
    { what: "a stranger as a peer's pod", in: "cyan", outer: [stranger, red], inner: pod(2), arrives: false },
    { what: "a peer to another address of ours", in: "blue", outer: [blue, other], inner: pod(2), arrives: false },
    {
      what: "a peer's pod that wraps by itself",
      in: "pod-blue",
      outer: [podOf(2), red],
      inner: pod(2),
      arrives: false,
    },
    { what: "the same to another address", in: "pod-blue", outer: [podOf(2), other], inner: pod(2), arrives: false },
    { what: "our own pod as a peer", in: "pod-red", outer: [blue, red], inner: pod(2), arrives: false },
  ];
}

/** Only what comes from a peer to the address that it knows has a device of its own. */
const hasDevice = ({ outer }: Attempt, family: 4 | 6) =>
  outer[1] === underlayAddress(family, 1) && [2, 3].some((i) => outer[0] === underlayAddress(family, i));

/** Whether it arrives where nobody guards. Where there are no ports, NAT finds no room for a second flow between two nodes. */
function isPossible(attempt: Attempt, { type, mode, family }: (typeof SETUPS)[number]): boolean {
  if (type === "vxlan") return true;
  return attempt.in !== "pod-blue" && (mode === "flow" || hasDevice(attempt, family));
}

function wrappingOf(setup: (typeof SETUPS)[number]): Wrapping {
  const [link] = stateOf("red", setup, NAMES).links;
  switch (link?.kind) {
    case "vxlan": {
      const { port = 0, id = 0 } = link.vxlan;
      const mac = stateOf("blue", setup, NAMES).links[0]?.mac ?? "";
      return { protocol: 17, port, header: link.mac === undefined ? gpe : vxlan(id, link.mac, mac) };
    }
    case "ipip":
      return { protocol: 4, header: bare };
    case "gre":
    case "ip6gre":
      return { protocol: 47, header: gre(link.gre.outputKey) };
    default:
      throw new Error(`${link?.kind} carries no plain packets`);
  }
}

/** The numbers of those that came out of red's tunnel. */
function arrived(sandbox: Sandbox): number[] {
  const listed = sandbox.sh("ip netns exec red nft list set inet seen ids");
  return [...(/elements = \{([\s\S]*?)\}/.exec(listed)?.[1] ?? "").matchAll(/\d+/g)].map(Number).sort((a, b) => a - b);
}

function forged(attempt: Attempt, id: number, cidr: string, wrapping: Wrapping): Forged {
  const pair = (src: string, dst: string): { src: Address; dst: Address } => ({
    src: parseAddress(src),
    dst: parseAddress(dst),
  });
  const { outer, inner, fragmented = false } = attempt;
  return { id, outer: pair(...outer), inner: pair(inner, podAddress(cidr, 1)), wrapping, fragmented };
}

/** Sends all; resolves when those have arrived that should. @returns those that have */
async function trySend(sandbox: Sandbox, packets: readonly (readonly [string, Forged])[], expected: readonly number[]) {
  sandbox.sh("ip netns exec red nft flush set inet seen ids");
  for (const netns of new Set(packets.map(([where]) => where))) {
    send(
      sandbox,
      netns,
      packets.filter(([where]) => where === netns).map(([, packet]) => packet),
    );
  }
  await eventually(() => expected.every((id) => arrived(sandbox).includes(id)), "they arrive").catch(() => {});
  return arrived(sandbox);
}

/** One pass over the rules of a node. */
function guard(sandbox: Sandbox, node: NodeName, setup: Setup, nodes: readonly NodeName[], only?: "masquerade"): void {
  const rulesets = nodeRulesets(inputOf(node, setup, nodes));
  inNetns(sandbox.netns(node), () => applyRulesets(only === undefined ? rulesets : rulesets.slice(0, 1)));
}

/** Nodes without any other protection: the reverse path is checked nowhere. */
async function unprotected(t: Test, setup: (typeof SETUPS)[number]): Promise<Sandbox> {
  const sandbox = openSandbox(t);
  await build(sandbox, setup, NAMES);
  for (const node of NAMES) {
    sandbox.sh(`ip netns exec ${node} bash -euc 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done
      sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1'`);
  }
  return sandbox;
}

for (const setup of SETUPS) {
  const { type, mode, family, cidrs } = setup;
  if (type !== "vxlan" && !affords(...kindsOf(setup))) continue;
  if (type === "vxlan" && !LONG && !SHORT.includes(`${mode} ${family}`)) continue;
  t.test(
    `S7, S8, F14: ${type} ${mode} over IPv${family}: what is not from a peer, or not of its subnet, is dropped`,
    needs(...kindsOf(setup)),
    async (t) => {
      const sandbox = await unprotected(t, setup);
      sandbox.sh(`ip -n red address add ${underlayAddress(family, 101)}/${family === 4 ? "24" : "64 nodad"} dev eth0
      ip netns exec red nft 'add table inet seen; add set inet seen ids { type inet_service; };
        add chain inet seen out { type filter hook forward priority 0; };
        add rule inet seen out udp dport 20000-20999 add @ids { udp dport }'`);
      const wrapping = wrappingOf(setup);
      const all = cidrs.flatMap((cidr, i) =>
        attempts(family, cidr).map((attempt, j) => ({ ...attempt, id: 20000 + 100 * i + j, cidr })),
      );
      const packets = all.map((each) => [each.in, forged(each, each.id, each.cidr, wrapping)] as const);
      const idsOf = (some: readonly { readonly id: number }[]) => some.map(({ id }) => id);
      const named = (ids: readonly number[]) =>
        all.filter(({ id }) => ids.includes(id)).map(({ what, cidr }) => `${what} (${cidr})`);

      guard(sandbox, "blue", setup, NAMES, "masquerade");
      const possible = idsOf(all.filter((each) => isPossible(each, setup)));
      t.strictSame(named(await trySend(sandbox, packets, possible)), named(possible), "unguarded, all of them arrive");

      for (const node of ["red", "blue"] as const) guard(sandbox, node, setup, NAMES);
      const right = idsOf(all.filter(({ arrives }) => arrives));
      t.strictSame(named(await trySend(sandbox, packets, right)), named(right), "guarded, those of peers do");

      guard(sandbox, "red", setup, ["red", "blue"]);
      const left = idsOf(all.filter((each) => each.arrives && each.in !== "cyan"));
      t.strictSame(
        named(await trySend(sandbox, packets, left)),
        named(left),
        "a peer that is removed is cut by one pass",
      );
    },
  );

  t.test(
    `S8: ${type} ${mode} over IPv${family}: what a peer's node itself says of a pod's packet arrives`,
    needs(...kindsOf(setup)),
    async (t) => {
      const sandbox = await unprotected(t, setup);
      for (const node of NAMES) guard(sandbox, node, setup, NAMES);
      for (const cidr of cidrs) {
        const ping = (flags: string, address: string) =>
          sandbox.sh(`ip netns exec pod-red ping -c1 -w30 ${flags} ${address} || true`);
        t.match(ping("-M do -s 1300", podAddress(cidr, 2)), / 1 received/, "1300 bytes arrive");
        sandbox.sh("ip -n blue link set pod0 mtu 1300");
        t.match(ping("-M do -s 1300", podAddress(cidr, 2)), /mtu = 1300|mtu=1300/i, "but not over a link of 1300");
        sandbox.sh("ip -n blue link set pod0 mtu 1400");
        t.match(ping("-t 2", podAddress(cidr, 2)), /Time to live exceeded|Hop limit/i, "one hop too few");
        t.match(ping("", podAddress(cidr, 2, 77)), /Unreachable/i, "an address of nobody");
      }
    },
  );
}
