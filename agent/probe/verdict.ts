/** What came back of one question. "refused": the other kernel says that nobody listens there, or that a firewall forbids it. */
export type Outcome = "answered" | "refused" | "too-large" | "silent" | "unsendable";

/** What was asked of a peer after the first questions stayed unanswered. */
export interface Evidence {
  /** A packet of the pods' full size. */
  readonly full: Outcome;
  readonly small: Outcome;
  readonly fullWithoutChecksum: Outcome;
  readonly smallWithoutChecksum: Outcome;
  /** Whether the peer's end of the tunnel answers ping. */
  readonly echo: boolean;
  /** Whether the peer's node answers ping on the underlay; undefined when it could not be asked. */
  readonly underlayEcho: boolean | undefined;
  /** The kernel's word when nothing could be sent. */
  readonly sendError?: string | undefined;
}

/** Why packets to a peer get lost. */
export type Fault = "mtu-black-hole" | "checksum" | "blocked" | "unreachable" | "unroutable";

export type Verdict =
  | { readonly kind: "passed" }
  /** The tunnel works or cannot be judged: nobody there answers questions. */
  | { readonly kind: "not-probed"; readonly why: string }
  | { readonly kind: "failed"; readonly fault: Fault };

/** What the evidence proves, and no more. */
export function judge(evidence: Evidence): Verdict {
  const { full, small, fullWithoutChecksum, smallWithoutChecksum, echo, underlayEcho, sendError } = evidence;
  if (full === "answered") return { kind: "passed" };
  if (small === "answered") {
    return { kind: "failed", fault: fullWithoutChecksum === "answered" ? "checksum" : "mtu-black-hole" };
  }
  if (fullWithoutChecksum === "answered" || smallWithoutChecksum === "answered")
    return { kind: "failed", fault: "checksum" };
  const outcomes = [full, small, fullWithoutChecksum, smallWithoutChecksum];
  if (outcomes.includes("refused")) {
    return {
      kind: "not-probed",
      why: "its kernel answers that nobody listens: it has no agent, an older one, or none running",
    };
  }
  if (echo) {
    return {
      kind: "not-probed",
      why: "it answers ping through the tunnel, but no questions: does a firewall on it drop what comes in for the agent?",
    };
  }
  if (sendError !== undefined) return { kind: "failed", fault: "unroutable" };
  return { kind: "failed", fault: underlayEcho === true ? "blocked" : "unreachable" };
}

/** The largest answered size is in [low, high): sizes that divide what lies between into equal parts, ascending. */
export function sizesBetween(low: number, high: number, count: number): number[] {
  const sizes = new Set<number>();
  for (let i = 1; i <= count; i++) sizes.add(low + Math.floor(((high - low) * i) / (count + 1)));
  return [...sizes].filter((size) => size > low && size < high);
}

/** What {@link describeFault} needs to know of a failing pair. */
export interface FaultContext {
  readonly mtu: number;
  /** The largest packet that passed, when that was searched. */
  readonly largest?: number | undefined;
  readonly underlayDevice: string;
  readonly ours: string;
  readonly theirs: string;
  /** What has to be let through, in words. */
  readonly wanted: string;
  /** What was done about checksums, or why nothing was. */
  readonly remedy?: string | undefined;
  readonly sendError?: string | undefined;
}

const TEXTS: { readonly [F in Fault]: (context: FaultContext) => string } = {
  "mtu-black-hole": ({ mtu, largest, underlayDevice, ours, theirs }) =>
    `packets over ${largest ?? "some"} bytes vanish (MTU black hole), and pods send up to ${mtu}: the network between ` +
    `${ours} and ${theirs} takes less than the MTU of ${underlayDevice} says, and nothing tells the sender; ` +
    `lower the MTU of ${underlayDevice} on every node${largest === undefined ? "" : ` by ${mtu - largest}`}, or raise the network's`,
  checksum: ({ underlayDevice, remedy }) =>
    `packets with a UDP checksum vanish, those without one arrive (checksum offload): ` +
    (remedy ?? `try "ethtool -K ${underlayDevice} tx off" on this node`),
  blocked: ({ wanted, ours, theirs }) =>
    `nothing comes back through the tunnel, but ${theirs} answers ping (port blocked): let ${wanted} pass between ` +
    `${ours} and ${theirs}, both ways, in firewalls and security groups`,
  unreachable: ({ ours, theirs }) =>
    `nothing comes back through the tunnel, and ${theirs} does not answer ping from ${ours} either: ` +
    "is that node down, or the network between the two?",
  unroutable: ({ sendError }) =>
    `the kernel refuses to send (${sendError ?? "no reason"}): see "ip route get" and the rules of this node's firewall`,
};

/** One sentence: what is wrong, and what to do. */
export function describeFault(fault: Fault, context: FaultContext): string {
  return TEXTS[fault](context);
}
