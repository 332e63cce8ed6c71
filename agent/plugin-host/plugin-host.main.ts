import { dirname, join } from "node:path";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../../cni/error.ts";
import { JournalWriter } from "../../journal/writer.ts";
import { type Machines, makePlugins } from "../../plugins/all.ts";
import { makeDhcpMachine } from "../../plugins/dhcp/machine.ts";
import { makeResidentMachine as makeResidentIpamMachine } from "../../plugins/host-local/machine.ts";
import { makeResidentMachine as makeResidentNode } from "../../plugins/node/resident.ts";
import { checkPodNetns } from "../../plugins/pod-netns.ts";
import { PluginHost } from "./host.ts";
import { journalled } from "./journalled.ts";
import type { FromPluginHost, PluginHostData, ToPluginHost } from "./messages.ts";
import { CallMetrics } from "./metrics.ts";
import { rehearse } from "./rehearsal.ts";
import { ShimServer } from "./server.ts";
import { Spool } from "./spool.ts";

/** After so long without a call the address index is written to disk. */
const QUIET_MS = 3_000;

async function serve(
  { socket, spoolFolder, journal: path, rehearse: pods, debug }: PluginHostData,
  port: MessagePort,
): Promise<void> {
  const tell = (message: FromPluginHost) => port.postMessage(message);
  const log = (level: "debug" | "info" | "warn" | "error", message: string, details: object = {}) =>
    tell({ type: "log", level, message, details });

  const journal = new JournalWriter(path, { log: { warn: (message, details) => log("warn", message, details) } });
  const node = makeResidentNode();
  const ipam = makeResidentIpamMachine((message, details) => log("warn", message, details));
  let quiet: NodeJS.Timeout | undefined;
  const machines: Machines = { node, ipam, dhcp: makeDhcpMachine() };
  const metrics = new CallMetrics(() => host.calls);
  let round = Promise.resolve();
  const host = new PluginHost({
    gate: () => round, // a rehearsal's round has this thread in another namespace
    plugins: makePlugins(machines),
    env: { PATH: process.env.PATH },
    checkNetns: checkPodNetns,
    debug,
    record: (call) => {
      clearTimeout(quiet);
      quiet = setTimeout(() => ipam.flush(), QUIET_MS); // so that others who open the folder need not scan it
      journal.append(journalled(call));
      metrics.observe(call);
      if (call.error === undefined) return;
      const { plugin, verb, containerId, ifName, error } = call;
      log("warn", "a CNI call failed", { plugin, verb, containerId, ifName, code: error.code, error: error.msg });
    },
  });
  // Before the socket: what comes by it for the same pods is newer.
  const spool = new Spool({
    folder: spoolFolder,
    answer: (request) => host.answer(request, { gone: false }),
    log,
  });
  const server = await ShimServer.listen({
    path: socket,
    answer: (request, caller) => host.answer(request, caller),
    onRefused: (problem) => log("warn", "a connection to the plugin host was refused", { problem }),
  });
  const stopping = new AbortController();
  const stop = async () => {
    stopping.abort();
    await server.close();
    await round;
    spool[Symbol.dispose]();
    clearTimeout(quiet);
    ipam[Symbol.dispose]();
    node[Symbol.dispose]();
    journal[Symbol.dispose]();
    tell({ type: "stopped" });
    port.close();
  };
  port.on("message", async (message: ToPluginHost) => {
    if (message.type === "stop") await stop();
    else tell({ type: "metrics", id: message.id, text: await metrics.registry.metrics() });
  });
  tell({ type: "listening" });
  if (pods === 0) return;
  try {
    const rehearsed = await rehearse({
      pods,
      folder: join(dirname(socket), "rehearsal"),
      isBusy: () => host.calls > 0,
      async idle() {
        await new Promise(setImmediate); // calls that waited for the round before
        await host.idle();
      },
      onRound: (begun) => {
        round = begun;
      },
      signal: stopping.signal,
    });
    log("info", "rehearsed", { pods: rehearsed });
  } catch (error) {
    log("warn", "a rehearsed pod failed: real ones may too", { error: messageOf(error) });
  }
}

/** What the agent's thread for CNI calls does. It is one of its own: a pass over thousands of routes must not make a pod wait. */
export async function runPluginHost(): Promise<void> {
  if (parentPort === null) throw new Error("the plugin host runs in a thread of the agent");
  await serve(workerData as PluginHostData, parentPort);
}
