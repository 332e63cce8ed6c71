import { readFileSync } from "node:fs";
import { pino } from "pino";
import { createFirstNetwork, markInitialized } from "./bootstrap.ts";
import { Controller } from "./core/controller.ts";
import { RequestError } from "./core/error.ts";
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

/** Runs a controller until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  process.umask(0o077); // what it writes is root's alone
  const options = parseOptions(process.argv.slice(2), process.env);
  const log = pino({
    level: options.logLevel,
    base: { component: "controller" },
    timestamp: pino.stdTimeFunctions.isoTime,
  });
  const serverOptions = readServerOptions(options);
  refusePlaintext(serverOptions);
  const store = await openStore(options);
  const random = Math.random;
  const controller = new Controller({
    store,
    clock: systemClock,
    log,
    encode: nodeEncoder(),
    leaseTtl: options.leaseTtl,
    random,
  });
  const metrics = await serveMetrics(controller, options.metricsListen.host, options.metricsListen.port);
  await prepare(store, options, log);
  await controller.start();
  const server = await listen(controller, serverOptions, log);
  log.info(
    { address: server.address, metrics: metrics.address, store: options.store, tls: options.tlsCert !== undefined },
    "listening",
  );
  const signal = await nextSignal();
  log.info({ signal }, "stopping");
  controller.close();
  await server.close();
  await metrics.close();
  await store.close();
}

function readServerOptions({ listen: address, tlsCert, tlsKey, tlsCa, insecure }: Options): ServerOptions {
  if (tlsCert === undefined || tlsKey === undefined) return { ...address, insecure };
  const ca = tlsCa === undefined ? {} : { ca: readFileSync(tlsCa) };
  return { ...address, insecure, tls: { cert: readFileSync(tlsCert), key: readFileSync(tlsKey), ...ca } };
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
      ? { cert: readFileSync(etcdCertfile), key: readFileSync(etcdKeyfile) }
      : {};
  const user =
    etcdUser !== undefined && etcdPasswordFile !== undefined
      ? { user: { name: etcdUser, password: readFileSync(etcdPasswordFile, "utf8").trimEnd() } }
      : {};
  return {
    endpoints: etcdEndpoints,
    ...(etcdCafile === undefined ? {} : { tls: { ca: readFileSync(etcdCafile), ...pair } }),
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
      log.warn({ err: error }, "the store does not answer; trying again");
      await new Promise((resolve) => setTimeout(resolve, 1_000));
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

main().then(
  () => process.exit(0),
  (error: unknown) => {
    if (error instanceof UsageError) process.exit(error.exitCode);
    const isUsage = error instanceof PlaintextRefusedError || error instanceof RequestError;
    process.stderr.write(`podwire-controller: ${describe(error)}\n`);
    process.exit(isUsage ? 2 : 1);
  },
);

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${describe(error.cause)}`;
}
