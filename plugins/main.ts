import { basename } from "node:path";
import { errorAnswer } from "../cni/error.ts";
import { runPlugin } from "../cni/host.ts";
import { jsonLogger } from "../cni/log.ts";
import type { Plugin } from "../cni/plugin.ts";
import { NEWEST } from "../cni/version.ts";
import { setNetlinkDebug } from "../kernel/netlink/debug.ts";
import { describeRouteMessage } from "../kernel/rtnetlink/describe.ts";
import { makePlugins, THIS_MACHINE } from "./all.ts";
import { checkPodNetns } from "./pod-netns.ts";

/** One executable is all plugins; it is the one whose name it was started as. */
const PLUGINS: Readonly<Record<string, Plugin>> = makePlugins(THIS_MACHINE);

function fail(error: unknown): never {
  process.stdout.write(`${JSON.stringify(errorAnswer(error, NEWEST))}\n`);
  process.exit(1);
}

async function main(): Promise<number> {
  const name = basename(process.argv[1] ?? "");
  const plugin = Object.hasOwn(PLUGINS, name) ? PLUGINS[name] : undefined;
  if (plugin === undefined) {
    throw new Error(`this executable was started as ${JSON.stringify(name)}; it is ${Object.keys(PLUGINS).join(", ")}`);
  }
  const debug = process.env.NLDEBUG === "1";
  if (debug) {
    const log = jsonLogger(process.stderr, { plugin: name }, { debug });
    setNetlinkDebug((line) => log.debug(line), describeRouteMessage);
  }
  const { env, stdin, stdout, stderr } = process;
  return await runPlugin(plugin, { env, stdin, stdout, stderr, builtins: PLUGINS, checkNetns: checkPodNetns, debug });
}

// Nobody may be reading the log any more; that must not stop an ADD or DEL half-way.
process.stderr.on("error", () => {});
// What escapes from a callback is an answer too; a runtime reads nothing else.
process.on("uncaughtException", fail);
// Writes to a pipe are synchronous on Linux, so nothing is lost here, and nothing left open can keep a runtime waiting.
main().then((exitCode) => process.exit(exitCode), fail);
