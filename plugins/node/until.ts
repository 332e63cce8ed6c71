import type { Netns } from "../../kernel/netns.ts";
import { openMonitor, type RtnlGroup } from "../../kernel/rtnetlink/monitor.ts";

export interface Wait {
  /** This thread's namespace when absent. */
  readonly netns?: Netns | undefined;
  /** What the kernel tells changes of. */
  readonly groups: readonly RtnlGroup[];
  readonly limitMs: number;
}

/**
 * Waits until the kernel is as `reached` wants it; it is asked now and whenever the kernel tells of a change.
 * @returns whether it was reached within the limit
 */
export async function until({ netns, groups, limitMs }: Wait, reached: () => boolean): Promise<boolean> {
  if (reached()) return true;
  let stop = () => {};
  try {
    return await new Promise((resolve, reject) => {
      const look = () => {
        try {
          if (reached()) resolve(true);
        } catch (error) {
          reject(error);
        }
      };
      const monitor = openMonitor({ netns, groups, onMessages: look, onOverrun: look });
      const timer = setTimeout(() => resolve(false), limitMs);
      stop = () => {
        clearTimeout(timer);
        monitor[Symbol.dispose]();
      };
      look(); // what happened before the subscription
    });
  } finally {
    stop();
  }
}
