import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { BACKEND_TYPES } from "../backends/backend.ts";
import { modeWords, oneOf, portWords, tunnelWords, vniWords } from "../backends/words.ts";
import { type Endpoint, parseEndpoint } from "../net/endpoint.ts";

/** What the command line and PODWIRE_* say. */
export interface Options {
  readonly listen: Endpoint;
  readonly metricsListen: Endpoint;
  readonly store: "embedded" | "etcd" | "memory";
  readonly dataDir: string;
  readonly etcdEndpoints: string[];
  readonly etcdPrefix: string;
  readonly etcdCafile?: string;
  readonly etcdCertfile?: string;
  readonly etcdKeyfile?: string;
  readonly etcdUser?: string;
  readonly etcdPasswordFile?: string;
  /** Milliseconds. */
  readonly leaseTtl: number;
  /** Milliseconds. */
  readonly wireguardPskRotation: number;
  readonly networkName: string;
  readonly networkCidr: string[];
  readonly networkBackend: string;
  readonly networkTunnel: string;
  readonly networkMode?: string;
  readonly networkVni: number;
  readonly networkPort: number;
  readonly networkMtu: number;
  readonly networkDirectRouting: boolean;
  readonly networkMasquerade: boolean;
  readonly networkIpv4SubnetLength: number;
  readonly networkIpv6SubnetLength: number;
  readonly importFlannel?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly insecure: boolean;
  readonly logLevel: string;
}

/** The command line is wrong, or its help was asked for; `exitCode` 2 or 0. What to say was written already. */
export class UsageError extends Error {
  readonly code = "USAGE";
  readonly exitCode: number;
  constructor(message: string, exitCode = 2) {
    super(message);
    this.exitCode = exitCode;
  }
}

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"];

/**
 * Reads flags, then PODWIRE_<UPPER_SNAKE> for those not given.
 * @throws UsageError
 */
export function parseOptions(argv: readonly string[], environment: NodeJS.ProcessEnv): Options {
  const command = makeCommand();
  for (const option of command.options) {
    const value = environment[`PODWIRE_${(option.long ?? "").slice(2).replaceAll("-", "_").toUpperCase()}`];
    if (value !== undefined) applyEnvironment(command, option, value);
  }
  try {
    command.parse(argv, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) throw new UsageError(error.message, error.exitCode === 0 ? 0 : 2);
    throw error;
  }
  const options = command.opts<Options>();
  checkTogether(options);
  return options;
}

function makeCommand(): Command {
  return new Command("podwire-controller")
    .description("Gives each node its subnets and tells every node where the others are.")
    .addHelpText("after", "\nEvery flag can be given as PODWIRE_<UPPER_SNAKE>, such as PODWIRE_LEASE_TTL=24h.")
    .exitOverride()
    .addOption(parsed("--listen <host:port>", "where nodes and cnictl connect", parseListen, "127.0.0.1:7444"))
    .addOption(parsed("--metrics-listen <host:port>", "/metrics, /healthz, /readyz", parseListen, "127.0.0.1:7445"))
    .addOption(
      new Option("--store <kind>", "where state is kept").choices(["embedded", "etcd", "memory"]).default("embedded"),
    )
    .option("--data-dir <dir>", "of the embedded store", "/var/lib/podwire/controller")
    .option("--etcd-endpoints <urls>", "comma-separated", parseEndpoints, ["http://127.0.0.1:2379"])
    .option("--etcd-prefix <prefix>", "before every key", "/podwire")
    .option("--etcd-cafile <file>", "CA of etcd's certificate")
    .option("--etcd-certfile <file>", "certificate shown to etcd")
    .option("--etcd-keyfile <file>", "its key")
    .option("--etcd-user <name>", "for etcd's password authentication")
    .option("--etcd-password-file <file>", "holds the password, alone")
    .addOption(
      parsed("--lease-ttl <duration>", "a subnet is reclaimed when its node is gone for so long", parseDuration, "24h"),
    )
    .addOption(
      parsed(
        "--wireguard-psk-rotation <duration>",
        "time between two preshared keys of a pair of nodes",
        parseDuration,
        "24h",
      ),
    )
    .option("--network-name <name>", "network made at the first start", "default")
    .option("--network-cidr <cidrs>", "its CIDRs, one per family, comma-separated", parseList, ["10.244.0.0/16"])
    .option("--network-backend <type>", oneOf(BACKEND_TYPES), "vxlan")
    .option("--network-mode <mode>", modeWords())
    .option("--network-tunnel <type>", tunnelWords(), "")
    .option("--network-vni <number>", vniWords(), parseNumber, 1)
    .option("--network-port <number>", `UDP port; 0: ${portWords()}`, parseNumber, 0)
    .option("--network-mtu <bytes>", "of pods; 0: computed by each node", parseNumber, 0)
    .option("--network-direct-routing", "reach nodes on the same segment without a tunnel", false)
    .option("--no-network-masquerade", "pods reach the world with their own addresses")
    .option("--network-ipv4-subnet-length <bits>", "of a node's subnet", parseNumber, 24)
    .option("--network-ipv6-subnet-length <bits>", "of a node's subnet", parseNumber, 64)
    .option(
      "--import-flannel <prefix>",
      "take over the network and leases that flannel keeps under this prefix in --etcd-endpoints, such as /coreos.com/network",
    )
    .option("--tls-cert <file>", "certificate of this server, PEM")
    .option("--tls-key <file>", "its key, PEM")
    .option("--tls-ca <file>", "CA that signed the certificates which callers must show, PEM")
    .option("--insecure", "allow plaintext beyond loopback", false)
    .addOption(
      new Option("--log-level <level>", "of the JSON lines on standard output").choices(LOG_LEVELS).default("info"),
    );
}

/** An option whose default is told in --help as a person would write it. */
function parsed<T>(flags: string, description: string, parse: (text: string) => T, standard: string): Option {
  return new Option(flags, description).argParser(parse).default(parse(standard), standard);
}

function applyEnvironment(command: Command, option: Option, value: string): void {
  const name = option.attributeName();
  const source = "env";
  try {
    if (option.isBoolean()) {
      command.setOptionValueWithSource(name, parseBoolean(value), source);
      return;
    }
    if (option.argChoices !== undefined && !option.argChoices.includes(value)) {
      throw new InvalidArgumentError(`use ${option.argChoices.join(", ")}`);
    }
    const parse = option.parseArg as ((text: string, previous: unknown) => unknown) | undefined;
    command.setOptionValueWithSource(name, parse === undefined ? value : parse(value, undefined), source);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    const variable = `PODWIRE_${(option.long ?? "").slice(2).replaceAll("-", "_").toUpperCase()}`;
    refuse(`error: ${variable}: ${JSON.stringify(value)} is invalid. ${error.message}`);
  }
}

function checkTogether(options: Options): void {
  const pairs = [
    ["--tls-cert", options.tlsCert, "--tls-key", options.tlsKey],
    ["--tls-ca", options.tlsCa, "--tls-cert", options.tlsCert ?? (options.tlsCa === undefined ? undefined : "")],
    ["--etcd-certfile", options.etcdCertfile, "--etcd-keyfile", options.etcdKeyfile],
    ["--etcd-user", options.etcdUser, "--etcd-password-file", options.etcdPasswordFile],
  ] as const;
  for (const [a, valueA, b, valueB] of pairs) {
    if ((valueA === undefined) !== (valueB === undefined) || valueB === "")
      refuse(`error: ${a} and ${b} must be given together`);
  }
}

function refuse(message: string): never {
  process.stderr.write(`${message}\n`);
  throw new UsageError(message);
}

function parseListen(text: string): Endpoint {
  try {
    return parseEndpoint(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function parseDuration(text: string): number {
  const [, amount, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  const milliseconds = Number(amount) * (UNITS[unit as keyof typeof UNITS] ?? Number.NaN);
  if (!(milliseconds > 0)) throw new InvalidArgumentError("Give a number and a unit, such as 24h, 90m or 30s.");
  return milliseconds;
}

function parseNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("Give a whole number.");
  return Number(text);
}

function parseBoolean(text: string): boolean {
  if (text !== "true" && text !== "false") throw new InvalidArgumentError("Use true or false.");
  return text === "true";
}

function parseList(text: string): string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function parseEndpoints(text: string): string[] {
  const endpoints = parseList(text);
  for (const endpoint of endpoints) {
    if (!/^https?:\/\/[^/]+:\d+\/?$/.test(endpoint))
      throw new InvalidArgumentError(`${endpoint} is not like http://127.0.0.1:2379.`);
  }
  if (new Set(endpoints.map((endpoint) => endpoint.split(":")[0])).size > 1) {
    throw new InvalidArgumentError("Use http or https for all of them.");
  }
  return endpoints.map((endpoint) => endpoint.replace(/\/$/, ""));
}
