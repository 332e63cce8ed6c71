import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { destination, pino, stdTimeFunctions } from "pino";
import { findUnderlay } from "../dataplane/underlay.ts";
import { NFT_TABLE_PREFIX } from "../kernel/mark.ts";
import { openNftMonitor } from "../kernel/nftables/monitor.ts";
import { openMonitor, RtnlGroup } from "../kernel/rtnetlink/monitor.ts";
import { openRoute } from "../kernel/rtnetlink/socket.ts";
import { createReconciler } from "../reconcile/loop.ts";
import { Agent } from "./agent.ts";
import { boundAddress, serveHealth } from "./health.ts";
import { createMetrics } from "./metrics.ts";
import { loadNodeId } from "./node-id.ts";
import type { AgentOptions } from "./options.ts";
import { isRelevant } from "./relevance.ts";
import { Session } from "./session.ts";
import { parseStandalone, SINGLE_MACHINE, standaloneState } from "./standalone.ts";
import { readFileIfThere } from "./state-file.ts";
import { parseSubnetEnv } from "./subnet-env.ts";
import { channelCredentials } from "./tls.ts";

const VERSION = "0.1.0";

/** Every flag also as PODWIRE_<UPPER_SNAKE>. */
function flag(flags: string, description: string): Option {
  const option = new Option(flags, description);
  return option.env(`PODWIRE_${option.name().replaceAll("-", "_").toUpperCase()}`);
}

function list(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function seconds(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError("a number of seconds above 0 is needed.");
}

const program = new Command("podwire-agent")
  .description("Brings this node's tunnels, routes and rules to what the controller says.")
  .version(VERSION)
  .addOption(
    flag("--controller <host:port,...>", "controllers, tried in turn").argParser(list).default(["127.0.0.1:7444"]),
  )
  .addOption(flag("--standalone", "no controller: one machine, or the mesh of --standalone-config"))
  .addOption(flag("--standalone-config <file>", "networks and subnets of a mesh without a controller"))
  .addOption(flag("--node-name <name>", "how people call this node").default(hostname()))
  .addOption(flag("--network <name,...>", "networks to join (default: all)").argParser(list).default([]))
  .addOption(
    flag(
      "--underlay-device <name>",
      "device that reaches the other nodes (default: the one that routes to the controller)",
    ),
  )
  .addOption(flag("--state-dir <dir>", "node identity and last state").default("/var/lib/podwire/agent"))
  .addOption(flag("--ipam-data-dir <dir>", "where host-local keeps reservations").default("/var/lib/cni/networks"))
  .addOption(flag("--cni-conf-dir <dir>", "where to write the conflist").default("/etc/cni/net.d"))
  .addOption(
    flag("--cni-conf-name <file>", "the conflist's file name; empty: write none").default("10-podwire.conflist"),
  )
  .addOption(flag("--cni-network <name>", "the network that the conflist is for").default("default"))
  .addOption(flag("--subnet-file <path>", "also write this subnet.env, for tools that expect flannel's"))
  .addOption(flag("--claim-subnet-env <path>", "claim the subnets of this subnet.env: take over a flannel node"))
  .addOption(flag("--tls-ca <file>", "CA that signed the controllers' certificates"))
  .addOption(flag("--tls-cert <file>", "this node's certificate"))
  .addOption(flag("--tls-key <file>", "its key"))
  .addOption(flag("--insecure", "plaintext to controllers that are not on loopback"))
  .addOption(flag("--health-listen <host:port>", "/healthz, /readyz, /metrics; empty: none").default("127.0.0.1:7446"))
  .addOption(flag("--resync-interval <seconds>", "time between two full passes").argParser(seconds).default(30))
  .addOption(flag("--log-level <level>", "log level").choices(["debug", "info", "warn", "error"]).default("info"))
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

const flags = program.parse().opts();
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

function fail(error: unknown, code: number): never {
  log.fatal({ err: error }, error instanceof Error ? error.message : String(error));
  process.exit(code);
}

function claims(): { network: string; subnet: string }[] {
  const text = flags.claimSubnetEnv === undefined ? undefined : readFileIfThere(flags.claimSubnetEnv);
  return text === undefined ? [] : parseSubnetEnv(text).map((subnet) => ({ network: flags.cniNetwork, subnet }));
}

function readOptions(): AgentOptions {
  return {
    controllers: flags.standalone ? [] : flags.controller,
    nodeName: flags.nodeName,
    nodeId: loadNodeId(join(flags.stateDir, "node-id")),
    bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    version: VERSION,
    networks: flags.network,
    underlayDevice: flags.underlayDevice,
    stateDir: flags.stateDir,
    ipamDataDir: flags.ipamDataDir,
    conflist:
      flags.cniConfName === ""
        ? undefined
        : { path: join(flags.cniConfDir, flags.cniConfName), network: flags.cniNetwork },
    subnetFile: flags.subnetFile,
    claimed: claims(),
    resync: flags.resyncInterval * 1000,
  };
}

async function main(): Promise<void> {
  process.env.UV_THREADPOOL_SIZE ??= "8"; // each monitor keeps one of its threads
  process.umask(0o077); // what it writes is root's alone, unless a mode says otherwise
  const options = readOptions();
  const rt = openRoute();
  const metrics = createMetrics(VERSION);
  const session = flags.standalone
    ? undefined
    : new Session({
        controllers: options.controllers,
        credentials: channelCredentials(
          { ca: flags.tlsCa, cert: flags.tlsCert, key: flags.tlsKey },
          options.controllers,
          flags.insecure === true,
        ),
        listener: {
          hello: (controller) => agent.hello(controller),
          onConnected: (controller) => agent.onConnected(controller),
          onDisconnected: (controller, reason, refused) => agent.onDisconnected(controller, reason, refused),
          onLease: (lease) => agent.onLease(lease),
          onSnapshot: (snapshot) => agent.onSnapshot(snapshot),
          onDelta: (delta) => agent.onDelta(delta),
        },
      });
  const reconciler = createReconciler({
    pass: () => agent.reconcile(),
    clock: { now: Date.now, setTimeout, clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout) },
    random: Math.random,
    periodMs: options.resync,
    backoff: { initialMs: 200, maxMs: 10_000 },
    onPass: (outcome) => {
      if (!outcome.ok) log.error({ err: outcome.error, retryInMs: outcome.retryInMs }, "pass failed");
    },
  });
  const agent = new Agent(
    options,
    {
      rt,
      log,
      metrics,
      trigger: () => reconciler.trigger(),
      send: (message) => session?.send(message),
      reconnect: () => session?.reconnect(),
    },
    flags.standalone ? standalone(options) : undefined,
  );

  const monitors = [
    openMonitor({
      groups: [
        RtnlGroup.link,
        RtnlGroup.neigh,
        RtnlGroup.ipv4Address,
        RtnlGroup.ipv6Address,
        RtnlGroup.ipv4Route,
        RtnlGroup.ipv6Route,
      ],
      onMessages: (events) => {
        if (events.some(isRelevant)) reconciler.trigger();
      },
      onOverrun: () => reconciler.trigger(),
    }),
    openNftMonitor({
      onChange: (tables) => {
        if (tables.size === 0 || tables.has(NFT_TABLE_PREFIX)) reconciler.trigger();
      },
    }),
  ];
  const health =
    flags.healthListen === ""
      ? undefined
      : await serveHealth(flags.healthListen, {
          notReady: () => agent.notReady(),
          metrics: () => metrics.registry.metrics(),
        });
  log.info({ nodeId: options.nodeId, nodeName: options.nodeName, health: health && boundAddress(health) }, "started");
  session?.start();
  reconciler.trigger();

  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    log.info({ signal }, "stopping; tunnels, routes and rules stay");
    session?.stop();
    agent.stop();
    for (const monitor of monitors) monitor[Symbol.dispose]();
    health?.close();
    await reconciler.stop();
    process.exit(0);
  };
  process.once("SIGTERM", stop).once("SIGINT", stop);

  function standalone({ nodeId, underlayDevice }: AgentOptions) {
    const path: string | undefined = flags.standaloneConfig;
    const file = path === undefined ? SINGLE_MACHINE : parseStandalone(readFileSync(path, "utf8"), path);
    return standaloneState(file, nodeId, findUnderlay(rt, { device: underlayDevice }));
  }
}

main().catch((error: unknown) => fail(error, 1));
