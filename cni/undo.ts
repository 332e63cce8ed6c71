import { messageOf } from "./error.ts";
import type { Logger } from "./log.ts";

/**
 * What to take back when an operation fails half-way. `await using undo = new UndoStack(log)`, `undo.add(…)` after each
 * change, `undo.commit()` at the end; without the commit the changes are undone in reverse order, all of them even when
 * some fail, and failures are logged: the error that broke the operation is the one that travels on.
 */
export class UndoStack implements AsyncDisposable {
  readonly #undos: (() => void | Promise<void>)[] = [];
  readonly #log: Pick<Logger, "warn"> | undefined;
  readonly #failures: unknown[] = [];

  constructor(log?: Pick<Logger, "warn">) {
    this.#log = log;
  }

  /** What could not be undone. */
  get failures(): readonly unknown[] {
    return this.#failures;
  }

  add(undo: () => void | Promise<void>): void {
    this.#undos.push(undo);
  }

  /** The operation is complete: nothing will be undone. */
  commit(): void {
    this.#undos.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let undo = this.#undos.pop(); undo !== undefined; undo = this.#undos.pop()) {
      try {
        await undo();
      } catch (error) {
        this.#failures.push(error);
        this.#log?.warn("could not undo a step of a failed operation", { error: messageOf(error) });
      }
    }
  }
}
