import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  watch,
} from "node:fs";
import { join } from "node:path";
import { decodeRequest, FrameReader, type ShimAnswer, type ShimRequest, WireError } from "./wire.ts";

/** A DEL that failed is tried again after this time, for as long as it takes. */
const RETRY_MS = 30_000;

export interface SpoolOptions {
  /** Where shims leave the DELs that no agent was there to do; made with 0700. */
  readonly folder: string;
  readonly answer: (request: ShimRequest) => Promise<ShimAnswer | undefined>;
  readonly log: (level: "info" | "warn", message: string, details: object) => void;
}

/**
 * Does the DELs that shims wrote down while there was no agent: those that are there now, in the order in which they were
 * written, and those that come. A file goes when its DEL has succeeded; one that is no DEL is set aside as `.bad`.
 */
export class Spool implements Disposable {
  readonly #options: SpoolOptions;
  readonly #watcher: Disposable;
  readonly #underWay = new Set<string>();
  #retry: NodeJS.Timeout | undefined;

  /** The DELs that are there have been handed to `answer` when this returns, so a later call for the same pod comes after. */
  constructor(options: SpoolOptions) {
    this.#options = options;
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(options.folder)) {
      // Half-written by a shim that was killed: its runtime repeats the DEL. One that is being written now fails, and is repeated too.
      if (name.startsWith(".") && name.endsWith(".tmp")) rmSync(join(options.folder, name), { force: true });
    }
    const watcher = watch(options.folder, () => this.#drain());
    this.#watcher = { [Symbol.dispose]: () => watcher.close() };
    this.#drain();
  }

  [Symbol.dispose](): void {
    this.#watcher[Symbol.dispose]();
    clearTimeout(this.#retry);
  }

  #drain(): void {
    const { folder } = this.#options;
    const names = readdirSync(folder).filter((name) => name.endsWith(".del") && !this.#underWay.has(name));
    const files = names.flatMap((name) => {
      const file = this.#read(name);
      return file === undefined ? [] : [{ name, ...file }];
    });
    for (const { name, request } of files.sort((a, b) => a.writtenAt - b.writtenAt)) void this.#do(name, request);
  }

  #read(name: string): { readonly request: ShimRequest; readonly writtenAt: number } | undefined {
    const path = join(this.#options.folder, name);
    try {
      return readRequest(path);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      const problem = error instanceof Error ? error.message : String(error);
      this.#options.log("warn", "a spooled file is no DEL, and is set aside", { path: `${path}.bad`, problem });
      renameSync(path, `${path}.bad`);
      return undefined;
    }
  }

  async #do(name: string, request: ShimRequest): Promise<void> {
    const { folder, answer, log } = this.#options;
    const path = join(folder, name);
    const details = {
      path,
      plugin: request.plugin,
      containerId: request.env.CNI_CONTAINERID,
      ifName: request.env.CNI_IFNAME,
    };
    this.#underWay.add(name);
    try {
      const { exitCode, stdout } = (await answer(request)) ?? NO_SUCH_PLUGIN;
      if (exitCode === 0) {
        rmSync(path, { force: true });
        log("info", "a spooled DEL is done", details);
      } else {
        log("warn", `a spooled DEL failed, and is tried again in ${RETRY_MS / 1000} s`, { ...details, answer: stdout });
        this.#tryAgainLater();
      }
    } finally {
      this.#underWay.delete(name);
    }
  }

  #tryAgainLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#drain();
    }, RETRY_MS);
  }
}

const NO_SUCH_PLUGIN = { exitCode: 1, stdout: "this agent has no such plugin" } as const;

/** @throws WireError for anything but a DEL that root wrote */
function readRequest(path: string): { readonly request: ShimRequest; readonly writtenAt: number } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.uid !== 0) throw new WireError("it is not a regular file of root's");
    const content = new FrameReader().push(readFileSync(fd));
    if (content === undefined) throw new WireError("it is cut short");
    const request = decodeRequest(content);
    if (request.env.CNI_COMMAND !== "DEL") throw new WireError(`it is a ${request.env.CNI_COMMAND}`);
    return { request, writtenAt: stat.mtimeMs };
  } finally {
    closeSync(fd);
  }
}
