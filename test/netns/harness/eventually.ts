import { setTimeout as sleep } from "node:timers/promises";
import { IN_GUEST } from "./full-kernel.ts";

/** For hangs only: a slow machine must not fail a test, and an emulated one is slower. */
export const PATIENCE_MS = IN_GUEST ? 1_200_000 : 300_000;

/**
 * Asks again until the answer is there, for what another process does in its own time.
 * @throws Error with the last problem after `timeout` milliseconds
 */
export async function eventually<T>(
  ask: () => Promise<T | undefined> | T | undefined,
  what: string,
  timeout = PATIENCE_MS,
): Promise<T> {
  const end = Date.now() + timeout;
  let problem = "";
  while (Date.now() < end) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      problem = String(error);
    }
    await sleep(50);
  }
  throw new Error(`not within ${timeout} ms: ${what}${problem && `\n${problem}`}`);
}
