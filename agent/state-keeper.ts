import { join } from "node:path";
import type { Logger } from "pino";
import { EMPTY_STATE } from "./cluster-state.ts";
import { decodeSavedState, encodeSavedState, type SavedState } from "./saved-state.ts";
import { readFileIfThere, writeFileAtomic } from "./state-file.ts";

/** Between two writes. In a cluster of thousands a change comes every few milliseconds, and the file has a megabyte. */
const PAUSE_MS = 1000;
/** After a write that failed. */
const RETRY_MS = 10_000;

/**
 * Keeps the last state on disk: at once after a quiet time, else a second later, so that the file may be a second old. A
 * disk that is full or gone is logged and tried again; the node's network does not depend on it.
 */
export class StateKeeper {
  readonly #path: string;
  readonly #log: Logger;
  #unsaved: SavedState | undefined;
  #timer: NodeJS.Timeout | undefined;
  #problem = "";

  constructor(stateDir: string, log: Logger) {
    this.#path = join(stateDir, "state.json");
    this.#log = log;
  }

  /** What the last run left; the empty state, said in the log, when that can't be used. */
  load(): SavedState {
    try {
      const text = readFileIfThere(this.#path);
      if (text !== undefined) return decodeSavedState(text);
    } catch (err) {
      // The kernel stays as it is until a controller has spoken.
      this.#log.error({ err, path: this.#path }, "the saved state cannot be used and is ignored");
    }
    return { state: EMPTY_STATE, controllerAddress: undefined };
  }

  save(state: SavedState): void {
    this.#unsaved = state;
    this.#timer ??= setTimeout(() => this.#write(), 0);
  }

  /** Writes what is not written yet, and stops. */
  stop(): void {
    clearTimeout(this.#timer);
    if (this.#unsaved !== undefined) this.#write();
    clearTimeout(this.#timer);
  }

  #write(): void {
    const state = this.#unsaved;
    this.#timer = undefined;
    if (state === undefined) return;
    const problem = this.#tryToWrite(state);
    if (problem === "") this.#unsaved = undefined;
    if (problem !== this.#problem && problem === "") this.#log.info({ path: this.#path }, "the state is saved again");
    this.#problem = problem;
    this.#timer = setTimeout(() => this.#write(), problem === "" ? PAUSE_MS : RETRY_MS);
  }

  #tryToWrite(state: SavedState): string {
    try {
      writeFileAtomic(this.#path, encodeSavedState(state));
      return "";
    } catch (err) {
      const problem = (err as NodeJS.ErrnoException).code ?? String(err);
      if (problem !== this.#problem)
        this.#log.error({ err, path: this.#path }, "the state cannot be saved; a restart would need a controller");
      return problem;
    }
  }
}
