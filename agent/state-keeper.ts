import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { EMPTY_STATE } from "./cluster-state.ts";
import { decodeSavedState, encodeSavedState, type SavedState } from "./saved-state.ts";
import { readFileIfThere, writeFileAtomic } from "./state-file.ts";

/** Between two writes. In a cluster of thousands a change comes every few milliseconds, and the file has a megabyte. */
const PAUSE_MS = 1000;
/** After a write that failed. */
const RETRY_MS = 10_000;

/** What the last run left. */
export interface LoadedState extends SavedState {
  /**
   * The last run was killed before it had saved all that it knew, and the machine has not been started anew since: the
   * kernel may rightly hold more than the state says.
   */
  readonly mayBeBehind: boolean;
}

/**
 * Keeps the last state on disk: at once after a quiet time, else a second later, so that the file may be a second old; a
 * mark beside it, with the boot's identity, says so. A disk that is full or gone is logged and tried again; the node's
 * network does not depend on it.
 */
export class StateKeeper {
  readonly #path: string;
  readonly #mark: string;
  readonly #bootId: string;
  readonly #log: Logger;
  #unsaved: SavedState | undefined;
  #timer: NodeJS.Timeout | undefined;
  #problem = "";

  constructor(stateDir: string, bootId: string, log: Logger) {
    this.#path = join(stateDir, "state.json");
    this.#mark = join(stateDir, "state.behind");
    this.#bootId = bootId;
    this.#log = log;
  }

  /** What the last run left; the empty state, said in the log, when that can't be used. */
  load(): LoadedState {
    try {
      const text = readFileIfThere(this.#path);
      const mayBeBehind = readFileIfThere(this.#mark) === this.#bootId;
      if (text !== undefined) return { ...decodeSavedState(text), mayBeBehind };
    } catch (err) {
      // The kernel stays as it is until a controller has spoken.
      this.#log.error({ err, path: this.#path }, "the saved state cannot be used and is ignored");
    }
    return { state: EMPTY_STATE, controllerAddress: undefined, mayBeBehind: false };
  }

  save(state: SavedState): void {
    if (this.#unsaved === undefined) this.#markBehind();
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
    if (problem === "") {
      this.#unsaved = undefined;
      rmSync(this.#mark, { force: true });
    }
    if (problem !== this.#problem && problem === "") this.#log.info({ path: this.#path }, "the state is saved again");
    this.#problem = problem;
    this.#timer = setTimeout(() => this.#write(), problem === "" ? PAUSE_MS : RETRY_MS);
  }

  /** Before anything is done by the new state. Where nothing can be written the state cannot be saved either, which is said then. */
  #markBehind(): void {
    try {
      writeFileSync(this.#mark, this.#bootId, { mode: 0o600 });
    } catch {}
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
