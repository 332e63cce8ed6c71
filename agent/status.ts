import type { NodeStatus } from "../proto/gen/podwire/v1/NodeStatus.ts";
import type { Pod } from "../proto/gen/podwire/v1/Pod.ts";
import type { NetworkMtu } from "./pass.ts";
import type { Finding } from "./probe/findings.ts";

/** The controller takes 64 failures of 1,024 characters, and messages of 4,096; the log is not to be flooded either. */
const MOST_SENTENCES = 8;
const MOST_CHARACTERS = 400;

/** The controller takes 32 conditions. */
const MOST_MTUS = 24;

/** The first of many sentences, each cut, and how many there are besides. A node with 5,000 failing routes has one reason, not 5,000. */
export function summary(sentences: readonly string[]): string[] {
  const shown = sentences.slice(0, MOST_SENTENCES).map(cut);
  const more = sentences.length - shown.length;
  return more === 0 ? shown : [...shown, `and ${more} more`];
}

function cut(sentence: string): string {
  return sentence.length > MOST_CHARACTERS ? `${sentence.slice(0, MOST_CHARACTERS - 1)}…` : sentence;
}

/**
 * What the controller is told of this node.
 * @param notReady why ADD would fail now
 * @param failures what the kernel could not be brought to
 * @param mtus a condition each, whose reason is the network
 * @param findings of the self-test of tunnels
 * @param lostLeases of DHCP; undefined when there are no leases at all
 */
export function nodeStatus(
  pods: readonly Pod[],
  notReady: readonly string[],
  failures: readonly string[],
  mtus: readonly NetworkMtu[] = [],
  findings: readonly Finding[] = [],
  lostLeases?: readonly string[],
): NodeStatus & { readonly pods: Pod[] } {
  const condition = (type: string, good: string, bad: string, reasons: readonly string[]) => ({
    type,
    status: reasons.length === 0,
    reason: reasons.length === 0 ? good : bad,
    message: summary(reasons).join("; "),
  });
  return {
    pods: [...pods],
    conditions: [
      condition("Ready", "Ready", "NotReady", notReady),
      condition("Converged", "Converged", "Failing", failures),
      ...(lostLeases === undefined ? [] : [condition("DHCP", "LeasesHeld", "LeasesLost", lostLeases)]),
      ...mtus.slice(0, MOST_MTUS).map(({ network, message, problem }) => ({
        type: "MTU",
        status: problem === undefined,
        reason: network,
        message: cut(problem === undefined ? message : `${problem}; ${message}`),
      })),
    ],
    probes: findings.map(({ message, ...finding }) => ({ ...finding, message: cut(message) })),
  };
}
