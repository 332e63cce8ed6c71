import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { Report } from "../conformance/verdict.ts";
import type { Context } from "./context.ts";
import { ExitCode, usageError } from "./exit.ts";
import { printable } from "./table.ts";

/** What commander read. */
export interface ConformanceOptions {
  readonly bin?: string;
  readonly plugin?: readonly string[];
  readonly check?: readonly string[];
  readonly output: string;
  readonly json?: true;
  readonly quick?: true;
  readonly strict?: true;
  readonly list?: true;
  readonly jobs?: number;
  readonly daemon?: string;
  readonly daemonReady?: string;
}

/**
 * `cnictl conformance`: judges the CNI plugins of a folder by the specification, in namespaces that nobody else sees. Asks no
 * controller.
 * @returns failure when one breaks a "must" of the specification (strictly: or a "should"), usage when there was nothing to judge
 */
export async function conformance(context: Context, options: ConformanceOptions): Promise<ExitCode> {
  const { judgeFolder, listChecks, UsageError } = await import("../conformance/run.ts");
  if (options.list) {
    for (const { id, title } of listChecks()) context.out(`${id.padEnd(16)}${title}\n`);
    return ExitCode.ok;
  }
  if (options.bin === undefined)
    throw usageError("--bin: say which folder holds the plugins, such as --bin /opt/cni/bin", ExitCode.usage);
  const { daemon, daemonReady: ready } = options;
  try {
    const report = await judgeFolder({
      bin: resolve(options.bin),
      plugins: options.plugin ?? [],
      checks: options.check ?? [],
      quick: options.quick === true,
      jobs: options.jobs || availableParallelism(),
      progress: (text) => context.note(`${printable(text)}\n`),
      ...(daemon === undefined ? {} : { daemon }),
      ...(ready === undefined ? {} : { ready }),
    });
    return await print(context, report, options);
  } catch (error) {
    if (error instanceof UsageError) throw usageError(error.message, ExitCode.usage);
    if (error instanceof Error && error.message.startsWith("no namespaces")) {
      throw usageError(`${error.message}; it takes root, unshare(1), nsenter(1) and ip(8)`, ExitCode.usage);
    }
    throw error;
  }
}

async function print(
  context: Context,
  report: Report,
  { output, json, strict }: ConformanceOptions,
): Promise<ExitCode> {
  const { hasFailed, renderJson, renderJunit, renderTable } = await import("../conformance/report.ts");
  const format = json ? "json" : output;
  if (format === "json") context.out(renderJson(report));
  else if (format === "junit") context.out(renderJunit(report));
  else context.out(renderTable(report).split("\n").map(printable).join("\n"));
  return hasFailed(report, strict === true) ? ExitCode.failure : ExitCode.ok;
}
