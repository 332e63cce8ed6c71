import type { NodeStatus } from "../proto/gen/podwire/v1/NodeStatus.ts";
import type { Pod } from "../proto/gen/podwire/v1/Pod.ts";

/** The controller takes 64 failures of 1,024 characters, and messages of 4,096; the log is not to be flooded either. */
const MOST_SENTENCES = 8;
const MOST_CHARACTERS = 400;

/** The first of many sentences, each cut, and how many there are besides. A node with 5,000 failing routes has one reason, not 5,000. */
export function summary(sentences: readonly string[]): string[] {
  const shown = sentences
    .slice(0, MOST_SENTENCES)
    .map((each) => (each.length > MOST_CHARACTERS ? `${each.slice(0, MOST_CHARACTERS - 1)}…` : each));
  const more = sentences.length - shown.length;
  return more === 0 ? shown : [...shown, `and ${more} more`];
}

/**
 * What the controller is told of this node.
 * @param notReady why ADD would fail now
 * @param failures what the kernel could not be brought to
 */
export function nodeStatus(
  pods: readonly Pod[],
  notReady: readonly string[],
  failures: readonly string[],
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
    ],
  };
}
