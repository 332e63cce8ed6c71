import { messageOf } from "../../cni/error.ts";

/** Steps that are all tried, whatever happens to the others; what failed is thrown together at the end. */
export class Attempts {
  readonly #failures: Error[] = [];

  get failed(): boolean {
    return this.#failures.length > 0;
  }

  /** @param what names the step in the error */
  async try(what: string, work: () => void | Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#failures.push(new Error(`${what}: ${messageOf(error)}`, { cause: error }));
    }
  }

  /** @throws AggregateError of what failed, if anything did */
  finish(message: string): void {
    if (this.failed) throw new AggregateError(this.#failures, message);
  }
}
