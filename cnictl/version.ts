import type { Context } from "./context.ts";
import { ExitCode } from "./exit.ts";
import { parseFormat, renderValue } from "./format.ts";

/** Of the release; the same as in package.json, which a test compares. */
const VERSION = "0.1.0";

/** `cnictl version`: of cnictl itself. Each node's agent says its own in `cnictl get nodes -o wide`. */
export async function version(context: Context, options: { output: string }): Promise<ExitCode> {
  const format = parseFormat(options.output, ["table", "json", "yaml"] as const);
  const client = {
    version: VERSION,
    protocol: "podwire.v1",
    node: process.version,
    platform: `linux/${process.arch}`,
  };
  if (format === "table")
    context.out(`cnictl ${client.version} (protocol ${client.protocol}, Node.js ${client.node}, ${client.platform})\n`);
  else context.out(await renderValue({ clientVersion: client }, format));
  return ExitCode.ok;
}
