import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { destination, pino, stdTimeFunctions } from "pino";
import { availableBackends, nodeBackends } from "../dataplane/backends.ts";
import { Switches } from "../dataplane/switches.ts";
import { findUnderlay } from "../dataplane/underlay.ts";
import { JOURNAL_PATH } from "../journal/call.ts";
import { tryOpenLock } from "../kernel/flock.ts";
import { limitHeaps } from "../kernel/memory.ts";
import { setNetlinkDebug } from "../kernel/netlink/debug.ts";
import { describeRouteMessage } from "../kernel/rtnetlink/describe.ts";
import { openRoute, type RouteSocket } from "../kernel/rtnetlink/socket.ts";
import { makeDhcpMachine } from "../plugins/dhcp/machine.ts";
import { thisMachine } from "../plugins/node/machine.ts";
import { restoreElements } from "../plugins/node/restore.ts";
import { RESTORABLE } from "../plugins/restorable.ts";
import { channelCredentials } from "../proto/channel.ts";
import { Agent } from "./agent.ts";
import { LeaseKeeper } from "./dhcp-keeper.ts";
import { agentCommand } from "./flags.ts";
import { boundAddress, serveHealth } from "./health.ts";
import { createLoop, watchKernel } from "./loops.ts";
import { createMetrics } from "./metrics.ts";
import { NodeFiles } from "./node-files.ts";
import { loadNodeId } from "./node-id.ts";
import type { AgentOptions } from "./options.ts";
import { PluginHostThread } from "./plugin-host/thread.ts";
import { Prober } from "./probe/prober.ts";
import { Session, type SessionListener } from "./session.ts";
import { parseStandalone, SINGLE_MACHINE, standaloneNodeId, standaloneState } from "./standalone.ts";
import { readFileIfThere } from "./state-file.ts";
import { type LoadedState, StateKeeper } from "./state-keeper.ts";
import { parseSubnetEnv } from "./subnet-env.ts";
import { WireguardKeys } from "./wireguard-keys.ts";

const VERSION = "0.1.0";
const NODE_ID_FILE = "node-id";
/**
 * How much of a function V8 interprets before it compiles it (132 KiB by default). A call runs most functions once, so
 * that a node would have made thousands of pods before the last of them were compiled, in threads beside the calls.
 */
const COMPILE_AFTER_BYTES = 16_000;
const BOOT_ID = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
/** Where shims leave DELs while no agent runs; plugins/shim/shim.c has it too. */
const SPOOL_FOLDER = "/var/lib/podwire/spool";
/** A status lists all pods: not after each of a hundred that start. */
const STATUS_REST_MS = 500;
/** Calls that take longer are given up when the agent stops; their runtimes repeat them. */
const LONGEST_STOP_MS = 10_000;

const flags = agentCommand(VERSION, (exitCode) => process.exit(exitCode))
  .parse()
  .opts();
const log = pino(
  {
    level: flags.logLevel,
    base: { name: "podwire-agent" },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (level) => ({ level }) },
  },
  destination({ dest: 1, sync: true }),
);
// grpc-js names a controller that is known by its address alone as the TLS server name, which Node warns of each time.
process.noDeprecation = true;

function claims(): { network: string; subnet: string }[] {
  const text = flags.claimSubnetEnv === undefined ? undefined : readFileIfThere(flags.claimSubnetEnv);
  return text === undefined ? [] : parseSubnetEnv(text).map((subnet) => ({ network: flags.cniNetwork, subnet }));
}

function readOptions(): AgentOptions {
  return {
    controllers: flags.standalone ? [] : flags.controller,
    nodeName: flags.nodeName,
    nodeId: loadNodeId(join(flags.stateDir, NODE_ID_FILE)),
    bootId: BOOT_ID,
    version: VERSION,
    networks: flags.network,
    underlayDevice: flags.underlayDevice,
    stateDir: flags.stateDir,
    ipamDataDir: flags.ipamDataDir,
    conflist:
      flags.cniConfName === ""
        ? undefined
        : { path: join(flags.cniConfDir, flags.cniConfName), network: flags.cniNetwork, bridge: flags.cniBridge },
    subnetFile: flags.subnetFile,
    claimed: claims(),
    resync: flags.resyncInterval * 1000,
  };
}

/** Two agents would undo each other's work. The kernel gives the lock back when this process ends, however it ends. */
function lockStateDir(): void {
  mkdirSync(flags.stateDir, { recursive: true, mode: 0o700 });
  const path = join(flags.stateDir, "lock");
  if (tryOpenLock(path) === undefined)
    throw new Error(`another podwire-agent runs with --state-dir ${flags.stateDir} (it holds ${path}); stop it first`);
}

function createSession({ controllers }: AgentOptions, listener: SessionListener): Session {
  const { tlsCa, tlsCert, tlsKey, insecure } = flags;
  const credentials = channelCredentials({ endpoints: controllers, tlsCa, tlsCert, tlsKey, insecure });
  return new Session({ controllers, credentials, listener });
}

/** The file's networks instead of a controller's, and the identity under which it lists this node. */
function standalone(rt: RouteSocket, options: AgentOptions): { options: AgentOptions; saved: LoadedState } {
  const path: string | undefined = flags.standaloneConfig;
  const file = path === undefined ? SINGLE_MACHINE : parseStandalone(readFileSync(path, "utf8"), path);
  const underlay = findUnderlay(rt, { device: options.underlayDevice });
  const nodeId = standaloneNodeId(file, underlay) ?? options.nodeId;
  const state = standaloneState(file, nodeId, underlay);
  const saved = { state, controllerAddress: undefined, mayBeBehind: false };
  return { options: { ...options, nodeId }, saved };
}

/** Serves CNI calls, unless told not to: executables then do it themselves. */
function startPluginHost(): PluginHostThread | undefined {
  if (flags.cniSocket === "") return undefined;
  // This program is the thread's too: main.ts tells the two apart.
  const data = {
    socket: flags.cniSocket,
    spoolFolder: SPOOL_FOLDER,
    journal: JOURNAL_PATH,
    rehearse: flags.rehearse,
    debug: flags.logLevel === "debug",
  };
  return new PluginHostThread(process.argv[1] ?? "", data, log);
}

/** What chained plugins put for pods, and somebody took away. */
function restoreRules(): void {
  for (const [plugin, elements] of restoreElements(thisMachine, RESTORABLE)) {
    log.warn({ plugin, elements }, "somebody removed the pods' rules; they are back");
  }
}

function toList<T>(value: T | undefined): readonly T[] {
  return value === undefined ? [] : [value];
}

async function main(): Promise<void> {
  if (process.env.NLDEBUG === "1")
    setNetlinkDebug((line) => log.info({ netlink: line }, "netlink"), describeRouteMessage);
  process.env.UV_THREADPOOL_SIZE ??= "16"; // each monitor keeps one of its threads, and each removal of links for 20 ms
  limitHeaps(2);
  setFlagsFromString(`--interrupt-budget=${COMPILE_AFTER_BYTES}`);
  process.umask(0o077); // what it writes is root's alone, unless a mode says otherwise
  lockStateDir();
  const rt = openRoute();
  const metrics = createMetrics(VERSION);
  const keeper = flags.standalone ? undefined : new StateKeeper(flags.stateDir, BOOT_ID, log);
  const fresh = !existsSync(join(flags.stateDir, NODE_ID_FILE));
  const { options, saved } = keeper ? { options: readOptions(), saved: keeper.load() } : standalone(rt, readOptions());
  const keys = new WireguardKeys(flags.stateDir, log, { fresh, alone: flags.standalone === true });
  const passes = createLoop("pass", () => agent.reconcile(), log, { periodMs: options.resync });
  const statuses = createLoop("status", async () => agent.reportStatus(), log, {
    periodMs: options.resync,
    shortestRestMs: STATUS_REST_MS,
  });
  const rules = createLoop("restoring pods' rules", async () => restoreRules(), log, { periodMs: options.resync });
  let backends: readonly string[] | undefined;
  const prober =
    flags.probeInterval === 0
      ? undefined
      : new Prober({
          rt,
          log,
          metrics: metrics.probe,
          periodMs: flags.probeInterval * 1000,
          onChange: () => statuses.trigger(),
        });
  const leases = new LeaseKeeper(makeDhcpMachine(), log, () => statuses.trigger());
  const ovsdb: string = flags.ovsdb.slice("unix:".length);
  const switches = new Switches({ socket: ovsdb, onChange: () => passes.trigger() });
  const agent = new Agent(
    options,
    {
      rt,
      switches,
      log,
      metrics,
      prober,
      files: new NodeFiles(options),
      backends: () => {
        backends ??= availableBackends();
        return nodeBackends(backends, ovsdb);
      },
      keys,
      leases,
      trigger: () => passes.trigger(),
      send: (message) => session?.send(message),
      reconnect: () => session?.reconnect(),
      save: (state) => keeper?.save(state),
    },
    saved,
  );
  leases.start();
  const calls = startPluginHost();
  const session = flags.standalone ? undefined : createSession(options, agent);
  const watch = watchKernel({
    overlay: () => passes.trigger(),
    pods: () => statuses.trigger(),
    rules: () => rules.trigger(),
  });
  const source = {
    notReady: () => [...agent.notReady(), ...toList(calls?.notReady())],
    metrics: async () => (await metrics.registry.metrics()) + ((await calls?.metrics()) ?? ""),
  };
  const health = flags.healthListen === "" ? undefined : await serveHealth(flags.healthListen, source);

  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    log.info({ signal }, "stopping; tunnels, routes and rules stay");
    session?.stop();
    watch[Symbol.dispose]();
    prober?.stop();
    leases.stop();
    health?.close();
    setTimeout(() => process.exit(1), LONGEST_STOP_MS).unref(); // a delegate may hang
    await Promise.all([passes.stop(), statuses.stop(), rules.stop(), calls?.stop()]);
    agent.stop();
    switches[Symbol.dispose]();
    keeper?.stop();
    process.exit(0);
  };
  process.once("SIGTERM", stop).once("SIGINT", stop);
  const { publicKey } = keys;
  log.info(
    { nodeId: options.nodeId, publicKey, nodeName: options.nodeName, health: health && boundAddress(health) },
    "started",
  );
  session?.start();
  passes.trigger();
  rules.trigger();
}

/** The agent's main thread, to its end. */
export async function runAgent(): Promise<void> {
  try {
    await main();
  } catch (error) {
    log.fatal({ err: error }, error instanceof Error ? error.message : String(error));
    process.exit(1);
  }
}
