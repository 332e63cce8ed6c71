import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { logVerbosity, setLogVerbosity } from "@grpc/grpc-js";
import { type Logger, pino } from "pino";
import { createFirstNetwork, markInitialized } from "./bootstrap.ts";
import { Controller } from "./core/controller.ts";
import type { Log } from "./core/log.ts";
import { type Options, parseOptions, UsageError } from "./options.ts";
import { systemClock } from "./server/clock.ts";
import { serveMetrics } from "./server/metrics.ts";
import { listen, nodeEncoder, PlaintextRefusedError, refusePlaintext, type ServerOptions } from "./server/server.ts";
import { EmbeddedStore } from "./store/embedded.ts";
import { type EtcdOptions, EtcdStore } from "./store/etcd.ts";
import { importFlannel } from "./store/flannel.ts";
import { MemoryStore } from "./store/memory.ts";
import { type Store, StoreUnavailableError } from "./store/store.ts";

/** Between attempts to reach a store that is away at the start. */
const RETRY_MS = 2_000;

/** Runs a controller until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  process.umask(0o077); // what it writes is root's alone
  setLogVerbosity(logVerbosity.NONE); // it prints plain text; errors reach us, and the log, as errors
  const options = parseOptions(process.argv.slice(2), process.env);
  const log = openLog(options.logLevel);
  const stop = nextSignal();
  let serving = false;
  void stop.then(() => serving || process.exit(0)); // there is nothing to end well yet
  const serverOptions = readServerOptions(options);
  refusePlaintext(serverOptions);
  const store = await openStore(options);
  const controller = new Controller({
    store,
    clock: systemClock,
    log,
    encode: nodeEncoder(),
    leaseTtl: options.leaseTtl,
    random: Math.random,
    secretRotation: options.wireguardPskRotation,
    randomKey: () => randomBytes(32),
    onFatal: end,
  });
  const { host, port } = options.metricsListen;
  const metrics = await orExplain(`--metrics-listen: cannot listen on ${host}:${port}`, () =>
    serveMetrics(controller, host, port),
  );
  await prepare(store, options, log);
  await controller.start();
  const server = await orExplain(`--listen: cannot listen on ${serverOptions.host}:${serverOptions.port}`, () =>
    listen(controller, serverOptions, log),
  );
  log.info(
    { address: server.address, metrics: metrics.address, store: options.store, tls: options.tlsCert !== undefined },
    "listening",
  );
  serving = true;
  const signal = await stop;
  log.info({ signal }, "stopping");
  controller.close();
  await server.close();
  await metrics.close();
  await store.close();
}

function openLog(level: string): Logger {
  return pino({
    level,
    base: { name: "podwire-controller" },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}

function readServerOptions({ listen: address, tlsCert, tlsKey, tlsCa, insecure }: Options): ServerOptions {
  if (tlsCert === undefined || tlsKey === undefined) return { ...address, insecure };
  const ca = tlsCa === undefined ? {} : { ca: readFlag("--tls-ca", tlsCa) };
  const tls = { cert: readFlag("--tls-cert", tlsCert), key: readFlag("--tls-key", tlsKey), ...ca };
  try {
    createSecureContext(tls);
  } catch (cause) {
    const files = `--tls-cert ${tlsCert}, --tls-key ${tlsKey}${tlsCa === undefined ? "" : `, --tls-ca ${tlsCa}`}`;
    throw new Error(`${files}: are not PEM files of a certificate and its own key`, { cause });
  }
  return { ...address, insecure, tls };
}

function readFlag(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new Error(`${flag}: cannot read ${path}`, { cause });
  }
}

async function orExplain<T>(what: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw new Error(what, { cause });
  }
}

function openStore(options: Options): Promise<Store> | Store {
  if (options.store === "memory") return new MemoryStore();
  if (options.store === "embedded") return EmbeddedStore.open(options.dataDir);
  return new EtcdStore({ ...readEtcdOptions(options), prefix: options.etcdPrefix });
}

function readEtcdOptions(options: Options): EtcdOptions {
  const { etcdEndpoints, etcdCafile, etcdCertfile, etcdKeyfile, etcdUser, etcdPasswordFile } = options;
  const pair =
    etcdCertfile !== undefined && etcdKeyfile !== undefined
      ? { cert: readFlag("--etcd-certfile", etcdCertfile), key: readFlag("--etcd-keyfile", etcdKeyfile) }
      : {};
  const user =
    etcdUser !== undefined && etcdPasswordFile !== undefined
      ? { user: { name: etcdUser, password: readFlag("--etcd-password-file", etcdPasswordFile).toString().trimEnd() } }
      : {};
  return {
    endpoints: etcdEndpoints,
    ...(etcdCafile === undefined ? {} : { tls: { ca: readFlag("--etcd-cafile", etcdCafile), ...pair } }),
    ...user,
  };
}

/** Brings networks into a store that has none. Waits for a store that is away. */
async function prepare(store: Store, options: Options, log: Log): Promise<void> {
  for (;;) {
    try {
      await makeNetworks(store, options, log);
      return;
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      log.warn({ reason: describe(error) }, "the store does not answer; trying again");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

async function makeNetworks(store: Store, options: Options, log: Log): Promise<void> {
  const { networkName: name, networkCidr: cidrs, importFlannel: prefix } = options;
  if (prefix !== undefined) {
    const count = await importFlannel(store, { ...readEtcdOptions(options), prefix }, name, Date.now());
    await markInitialized(store);
    log.info({ network: name, ...count }, "took over flannel's network");
    return;
  }
  if (cidrs.length === 0) return;
  const network = {
    cidrs,
    subnetLengths: { 4: options.networkIpv4SubnetLength, 6: options.networkIpv6SubnetLength },
    backend: {
      type: options.networkBackend,
      tunnel: options.networkTunnel,
      mode: options.networkMode,
      vni: options.networkVni,
      port: options.networkPort,
      directRouting: options.networkDirectRouting,
      mtu: options.networkMtu,
    },
    masquerade: options.networkMasquerade,
  };
  if (await createFirstNetwork(store, name, network, Date.now()))
    log.info({ network: name, cidrs }, "made the first network");
}

function nextSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
}

main().then(() => process.exit(0), end);

function end(error: unknown): never {
  if (error instanceof UsageError) process.exit(error.exitCode);
  if (error instanceof PlaintextRefusedError) {
    process.stderr.write(`error: ${error.message}\n`);
    process.exit(2);
  }
  openLog("fatal").fatal({ reason: describe(error) }, "cannot go on");
  process.exit(1);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${describe(error.cause)}`;
}
