import { closeSync, fstatSync, openSync, readSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import type { Attachment } from "./attachment.ts";
import { decodeConf, pluginType } from "./conf.ts";
import type { Env } from "./environment.ts";
import { CniError, Code, messageOf, NotStartedError } from "./error.ts";
import type { Execution } from "./execute.ts";
import { isJsonObject, type JsonObject, parseJsonBytes } from "./json.ts";
import type { Logger } from "./log.ts";
import { atOnce, type PluginCommand, perform } from "./perform.ts";
import { type Phases, UNTIMED } from "./phases.ts";
import type { Aside, Delegator, Plugin } from "./plugin.ts";
import type { Result } from "./result.ts";
import { decodeResult } from "./result-json.ts";
import { parseVersion } from "./version.ts";

/**
 * By this line delegation knows an executable as ours, so that it can call the plugin in process: the second line of
 * those for Node.js, the last of the shim, which is an ELF file.
 */
export const OUR_MARK = "// podwire plugin";
const ELF_MAGIC = "\x7fELF";

/** How long an executed delegate may take, in milliseconds, unless the caller says otherwise. */
export const DELEGATE_LIMIT = 120_000;

export interface DelegatorOptions {
  /** The caller's whole environment: a delegate gets it too, trace context included, with its own CNI_COMMAND. */
  readonly env: Env;
  /** CNI_PATH. */
  readonly path: readonly string[];
  readonly attachment: Attachment | undefined;
  readonly builtins: Readonly<Record<string, Plugin>>;
  /** A log for the delegate of that name. */
  readonly logOf: (type: string) => Logger;
  /** Milliseconds. */
  readonly limit?: number;
  /** Waits for an executed delegate; who bounds what runs at once lets others go on meanwhile. */
  readonly aside?: Aside;
  readonly phases?: Phases;
}

/** Delegation as libcni does it: found on CNI_PATH, executed with the environment and the configuration on stdin. */
export function makeDelegator(options: DelegatorOptions): Delegator {
  const delegator: Delegator = {
    async add(type, conf) {
      const call = await findCall(type, options);
      try {
        const result = await call("ADD", conf, delegator);
        if (result !== undefined) return result;
        throw new CniError(Code.decodingFailure, `delegate ${JSON.stringify(type)} gave no result`);
      } catch (error) {
        if (!(error instanceof NotStartedError)) await cleanUp(call, type, conf);
        throw error;
      }
    },
    del: (type, conf) => run("DEL", type, conf),
    check: (type, conf) => run("CHECK", type, conf),
    gc: (type, conf) => run("GC", type, conf),
    status: (type, conf) => run("STATUS", type, conf),
  };

  async function run(command: PluginCommand, type: string, conf: JsonObject): Promise<void> {
    const call = await findCall(type, options);
    await call(command, conf, delegator);
  }

  /** The error of the ADD is the one to report; that DEL failed too is only told in the log. */
  async function cleanUp(call: Call, type: string, conf: JsonObject): Promise<void> {
    try {
      await call("DEL", conf, delegator);
    } catch (error) {
      options.logOf(type).warn("DEL after a failed ADD failed", { error: messageOf(error) });
    }
  }

  return delegator;
}

type Call = (command: PluginCommand, conf: JsonObject, delegator: Delegator) => Promise<Result | undefined>;

async function findCall(type: string, options: DelegatorOptions): Promise<Call> {
  const found = findOnPath(pluginType(type, "delegate"), options.path);
  const builtin = Object.hasOwn(options.builtins, type) ? options.builtins[type] : undefined;
  if (builtin !== undefined && isOurs(found)) {
    return (command, conf, delegator) => callBuiltin(builtin, command, conf, delegator, options);
  }
  return (command, conf) => callExecutable(type, found.file, command, conf, options);
}

/**
 * The first regular file of that name in the folders.
 * @throws CniError 7 that names type and path.
 */
function findOnPath(type: string, path: readonly string[]): Found {
  for (const folder of path) {
    const file = join(folder, type);
    const stats = statFile(file);
    if (stats !== undefined) return { file, stats };
  }
  throw new CniError(
    Code.invalidConfig,
    `delegate ${JSON.stringify(type)} was not found in CNI_PATH ${JSON.stringify(path.join(":"))}`,
  );
}

interface Found {
  readonly file: string;
  readonly stats: Stats;
}

function statFile(path: string): Stats | undefined {
  try {
    const stats = statSync(path);
    return stats.isFile() ? stats : undefined;
  } catch {
    return undefined; // whatever the reason, there is nothing to execute
  }
}

/** Whether a file was ours when it was like this. */
const judged = new Map<string, { readonly like: string; readonly ours: boolean }>();
const MOST_JUDGED = 64;

function isOurs({ file, stats: { dev, ino, size, ctimeMs } }: Found): boolean {
  const like = `${dev} ${ino} ${size} ${ctimeMs}`;
  const known = judged.get(file);
  if (known?.like === like) return known.ours;
  if (judged.size >= MOST_JUDGED) judged.clear();
  const ours = hasOurMark(file);
  judged.set(file, { like, ours });
  return ours;
}

function hasOurMark(file: string): boolean {
  const fd = openSync(file, "r");
  const buffer = Buffer.alloc(256);
  const read = (from: number) => buffer.toString("latin1", 0, readSync(fd, buffer, 0, buffer.length, from));
  try {
    const beginning = read(0);
    if (!beginning.startsWith(ELF_MAGIC)) return beginning.split("\n")[1] === OUR_MARK;
    return read(Math.max(0, fstatSync(fd).size - OUR_MARK.length - 2)) === `\n${OUR_MARK}\n`;
  } finally {
    closeSync(fd);
  }
}

async function callBuiltin(
  plugin: Plugin,
  command: PluginCommand,
  raw: JsonObject,
  delegator: Delegator,
  { attachment, logOf, phases = UNTIMED, aside = atOnce }: DelegatorOptions,
): Promise<Result | undefined> {
  const log = logOf(plugin.name);
  const conf = decodeConf(raw, command, (problem) => log.warn("prevResult ignored", { problem }));
  return await perform(plugin, command, conf, { attachment, delegator, log, phases, aside });
}

async function callExecutable(
  type: string,
  file: string,
  command: PluginCommand,
  conf: JsonObject,
  options: DelegatorOptions,
): Promise<Result | undefined> {
  const { env, limit = DELEGATE_LIMIT, aside = atOnce } = options;
  const { execute } = await import("./execute.ts"); // most calls execute nothing, and it takes milliseconds to load
  const order = { env: { ...env, CNI_COMMAND: command }, input: JSON.stringify(conf), limit };
  const execution = await aside(() => execute(file, order));
  const { exitCode, stdout, stderr } = execution;
  if (exitCode !== 0) throw delegateError(type, execution);
  if (stderr !== "") options.logOf(type).info("delegate wrote to stderr", { stderr });
  return command === "ADD" ? readResult(type, conf, stdout) : undefined;
}

function readResult(type: string, conf: JsonObject, stdout: Uint8Array): Result {
  const { cniVersion } = conf;
  const fallback = parseVersion(typeof cniVersion === "string" ? cniVersion : undefined);
  try {
    return decodeResult(parseJsonBytes(stdout), fallback);
  } catch (error) {
    throw new CniError(
      Code.decodingFailure,
      `delegate ${JSON.stringify(type)} answered ADD with something else than a result: ${messageOf(error)}`,
      { cause: error, details: beginning(stdout) },
    );
  }
}

/** The delegate's own error, or what can be told of one that failed without saying why in the protocol's words. */
function delegateError(type: string, { exitCode, signal, stdout, stderr }: Execution): CniError {
  const answer = errorFields(stdout);
  if (answer !== undefined) {
    const { code, msg, details } = answer;
    return new CniError(code, msg, details === undefined ? {} : { details });
  }
  const ending = signal === undefined ? `exit code ${exitCode}` : `signal ${signal}`;
  const said = beginning(stdout) || stderr.slice(0, 1000) || "nothing";
  return new CniError(Code.internal, `delegate ${JSON.stringify(type)} failed with ${ending}, saying: ${said.trim()}`);
}

function errorFields(stdout: Uint8Array): { code: number; msg: string; details: string | undefined } | undefined {
  let answer: ReturnType<typeof parseJsonBytes>;
  try {
    answer = parseJsonBytes(stdout);
  } catch {
    return undefined;
  }
  if (!isJsonObject(answer) || typeof answer.msg !== "string" || answer.msg === "") return undefined;
  const { code, msg, details } = answer;
  return {
    code: typeof code === "number" && Number.isInteger(code) && code > 0 ? code : Code.internal,
    msg,
    details: typeof details === "string" && details !== "" ? details : undefined,
  };
}

function beginning(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, 1000)).toString("utf8");
}
