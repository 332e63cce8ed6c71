import type { Attachment } from "./attachment.ts";
import { decodeConf, type NetConf } from "./conf.ts";
import { makeDelegator } from "./delegate.ts";
import { concernsAttachment, type Env, isCommand, readAttachment, readPath, requireVariables } from "./environment.ts";
import { CniError, Code, type ErrorAnswer, errorAnswer, messageOf } from "./error.ts";
import { isJsonObject, type Json, LARGEST_DOCUMENT, parseJsonBytes } from "./json.ts";
import { jsonLogger, type Logger } from "./log.ts";
import { atOnce, type CallContext, type PluginCommand, perform } from "./perform.ts";
import { type Phases, UNTIMED } from "./phases.ts";
import type { Aside, Plugin } from "./plugin.ts";
import type { Result } from "./result.ts";
import { encodeResult } from "./result-json.ts";
import { isVersion, NEWEST, VERSIONS, versionAnswer } from "./version.ts";

/** What a one-shot call reads and writes. */
export interface HostOptions {
  readonly env: Env;
  /** A stream, or all that it held. */
  readonly stdin: Uint8Array | (AsyncIterable<Uint8Array | string> & { readonly isTTY?: boolean });
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  /** Plugins that delegation calls in process when the executable found on CNI_PATH is ours. */
  readonly builtins: Readonly<Record<string, Plugin>>;
  /**
   * Throws a CniError when the path is no network namespace (8), missing (4), or the caller's own (8, unless
   * `allowOwn`). Without it CNI_NETNS is not checked.
   */
  readonly checkNetns?: (path: string, options: { readonly allowOwn: boolean }) => void;
  /** How long an executed delegate may take, in milliseconds. */
  readonly delegateLimit?: number;
  /** Waits for executed delegates; see {@link Aside}. */
  readonly aside?: Aside;
  readonly phases?: Phases;
  /** Told once, how the call ended and what it was about, as far as that could be read. */
  readonly observe?: (outcome: Outcome) => void;
  /** Also log debug lines. */
  readonly debug?: boolean;
}

/** How a call ended. */
export interface Outcome {
  /** Absent when nothing of the configuration could be used. */
  readonly conf: NetConf | undefined;
  /** Absent for VERSION, GC and STATUS, and when the environment could not be used. */
  readonly attachment: Attachment | undefined;
  /** Of ADD. */
  readonly result: Result | undefined;
  /** As the runtime got it. */
  readonly error: ErrorAnswer | undefined;
}

/**
 * Runs one CNI command from environment and stdin to the answer on stdout: a result, an error, a version answer, or
 * nothing at all. Never throws.
 * @returns the exit code: 0, or 1 with an error on stdout.
 */
export async function runPlugin(plugin: Plugin, options: HostOptions): Promise<number> {
  const call = new Call(plugin, options);
  try {
    await call.run();
    call.observe(undefined);
    return 0;
  } catch (error) {
    const answer = errorAnswer(error, call.cniVersion);
    call.answer(answer);
    call.observe(answer);
    return 1;
  }
}

class Call {
  /** The version that an error answers with: the configuration's once that is known. */
  cniVersion: string = NEWEST;
  #conf: NetConf | undefined;
  #attachment: Attachment | undefined;
  #result: Result | undefined;
  readonly #plugin: Plugin;
  readonly #options: HostOptions;
  readonly #log: Logger;

  constructor(plugin: Plugin, options: HostOptions) {
    this.#plugin = plugin;
    this.#options = options;
    this.#log = this.#logOf(plugin.name);
  }

  answer(value: object): void {
    this.#options.stdout.write(`${JSON.stringify(value)}\n`);
  }

  observe(error: ErrorAnswer | undefined): void {
    const [conf, attachment, result] = [this.#conf, this.#attachment, this.#result];
    this.#options.observe?.({ conf, attachment, result, error });
  }

  async run(): Promise<void> {
    const { env, stdin, stderr } = this.#options;
    const command = env.CNI_COMMAND ?? "";
    if (command === "") {
      stderr.write(about(this.#plugin));
      return;
    }
    requireVariables(env);
    if (command === "VERSION") {
      this.answer(versionAnswer(await givenVersion(stdin)));
      return;
    }

    const conf = this.#readConf(parseJsonBytes(await readAll(stdin)), command);
    this.#conf = conf;
    if (!isCommand(command) || command === "VERSION") {
      throw new CniError(Code.invalidEnvironment, `unknown CNI_COMMAND: ${JSON.stringify(command)}`);
    }
    const attachment = concernsAttachment(command) ? this.#readAttachment(command) : undefined;
    this.#attachment = attachment;
    const path = attachment?.path ?? readPath(env);
    await this.#perform(command, conf, attachment, path);
  }

  #readConf(json: Json, command: string): NetConf {
    if (isJsonObject(json) && typeof json.cniVersion === "string" && isVersion(json.cniVersion)) {
      this.cniVersion = json.cniVersion;
    }
    return decodeConf(json, command, (problem) => this.#log.warn("prevResult ignored", { problem }));
  }

  #readAttachment(command: PluginCommand): Attachment {
    const attachment = readAttachment(this.#options.env);
    const { netns, allowOwnNetns, ...others } = attachment;
    const { checkNetns } = this.#options;
    if (netns === undefined || checkNetns === undefined) return attachment;
    try {
      checkNetns(netns, { allowOwn: allowOwnNetns });
      return attachment;
    } catch (error) {
      if (command !== "DEL") throw error;
      // The container's namespace is gone, or a recycled process id now leads to our own, in which nothing is ours.
      this.#log.info("CNI_NETNS ignored", { problem: messageOf(error) });
      return { ...others, allowOwnNetns };
    }
  }

  async #perform(
    command: PluginCommand,
    conf: NetConf,
    attachment: Attachment | undefined,
    path: readonly string[],
  ): Promise<void> {
    const { env, builtins, delegateLimit: limit, aside = atOnce, phases = UNTIMED } = this.#options;
    const logOf = (type: string) => this.#logOf(type);
    const delegator = makeDelegator({
      env,
      path,
      attachment,
      builtins,
      logOf,
      phases,
      aside,
      ...(limit === undefined ? {} : { limit }),
    });
    const context = { attachment, delegator, log: this.#log, phases, aside };
    const result = await perform(this.#plugin, command, conf, context);
    if (result !== undefined) await this.#answerResult(result, conf, context);
  }

  /** A result that the asked version cannot say is a failed ADD, which leaves nothing behind. */
  async #answerResult(result: Result, conf: NetConf, context: CallContext): Promise<void> {
    let answer: object;
    try {
      answer = encodeResult(result, conf.cniVersion);
    } catch (error) {
      await perform(this.#plugin, "DEL", conf, context).catch((failure: unknown) => {
        this.#log.warn("DEL after a failed ADD failed", { error: messageOf(failure) });
      });
      throw error;
    }
    this.#result = result;
    this.answer(answer);
  }

  #logOf(plugin: string): Logger {
    const { stderr, debug = false } = this.#options;
    return jsonLogger(stderr, { plugin }, { debug });
  }
}

function about(plugin: Plugin): string {
  return `CNI ${plugin.name} plugin of podwire\nCNI protocol versions supported: ${VERSIONS.join(", ")}\n`;
}

/** The version on stdin of VERSION, where anything else than a configuration is forgiven. */
async function givenVersion(stdin: HostOptions["stdin"]): Promise<string | undefined> {
  if ("isTTY" in stdin && stdin.isTTY === true) return undefined;
  const bytes = await readAll(stdin);
  try {
    const json = parseJsonBytes(bytes);
    const version = isJsonObject(json) ? json.cniVersion : undefined;
    return typeof version === "string" && /^\d{1,9}\.\d{1,9}\.\d{1,9}$/.test(version) ? version : undefined;
  } catch {
    return undefined;
  }
}

/** All of stdin, but no more than a document may hold and one byte. */
async function readAll(stdin: HostOptions["stdin"]): Promise<Uint8Array> {
  if (stdin instanceof Uint8Array) return stdin;
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stdin) {
      chunks.push(Buffer.from(chunk as Uint8Array));
      length += chunk.length;
      if (length > LARGEST_DOCUMENT) break;
    }
  } catch (error) {
    throw new CniError(Code.ioFailure, `stdin cannot be read: ${messageOf(error)}`, { cause: error });
  }
  return Buffer.concat(chunks);
}
