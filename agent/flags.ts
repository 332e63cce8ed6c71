import { hostname } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import { formatEndpoint, parseEndpoint } from "../net/endpoint.ts";

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

/** host:port, each in the one spelling. */
function endpoints(text: string): string[] {
  try {
    return list(text).map((each) => formatEndpoint(parseEndpoint(each)));
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

/** As Open vSwitch writes a connection. */
function unixSocket(text: string): string {
  if (/^unix:\/[^\0]+$/.test(text)) return text;
  throw new InvalidArgumentError("the path of a socket is needed, such as unix:/run/openvswitch/db.sock.");
}

function seconds(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError("a number of seconds above 0 is needed.");
}

/** 0 stands for "never". */
function secondsOrNever(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError("a number of seconds is needed; 0: never.");
}

function count(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError("a whole number from 0 is needed.");
}

/** The program's flags. @param fail called for wrong ones, after they were explained; does not come back */
export function agentCommand(version: string, fail: (exitCode: number) => never): Command {
  return new Command("podwire-agent")
    .description("Brings this node's tunnels, routes and rules to what the controller says.")
    .version(version)
    .addOption(
      flag("--controller <host:port,...>", "controllers, tried in turn")
        .argParser(endpoints)
        .default(["127.0.0.1:7444"]),
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
    .addOption(
      flag("--ovsdb <socket>", "Open vSwitch's database, for networks of backend ovs")
        .argParser(unixSocket)
        .default("unix:/run/openvswitch/db.sock"),
    )
    .addOption(flag("--state-dir <dir>", "node identity and last state").default("/var/lib/podwire/agent"))
    .addOption(flag("--ipam-data-dir <dir>", "where host-local keeps reservations").default("/var/lib/cni/networks"))
    .addOption(flag("--cni-conf-dir <dir>", "where to write the conflist").default("/etc/cni/net.d"))
    .addOption(
      flag("--cni-conf-name <file>", "the conflist's file name; empty: write none").default("10-podwire.conflist"),
    )
    .addOption(flag("--cni-network <name>", "the network that the conflist is for").default("default"))
    .addOption(flag("--cni-bridge <name>", "the bridge that the conflist names (default: pw-<network>)"))
    .addOption(
      flag("--cni-socket <path>", "where the plugins' calls are served; empty: nowhere").default(
        "/run/podwire/cni.sock",
      ),
    )
    .addOption(
      flag("--rehearse <pods>", "pods to add and delete for practice after the start; 0: none")
        .argParser(count)
        .default(250),
    )
    .addOption(flag("--subnet-file <path>", "also write this subnet.env, for tools that expect flannel's"))
    .addOption(flag("--claim-subnet-env <path>", "claim the subnets of this subnet.env: take over a flannel node"))
    .addOption(flag("--tls-ca <file>", "CA that signed the controllers' certificates"))
    .addOption(flag("--tls-cert <file>", "this node's certificate"))
    .addOption(flag("--tls-key <file>", "its key"))
    .addOption(flag("--insecure", "plaintext to controllers that are not on loopback"))
    .addOption(
      flag("--health-listen <host:port>", "/healthz, /readyz, /metrics; empty: none").default("127.0.0.1:7446"),
    )
    .addOption(flag("--resync-interval <seconds>", "time between two full passes").argParser(seconds).default(30))
    .addOption(
      flag("--probe-interval <seconds>", "time between two tests of tunnels to a few random peers; 0: never")
        .argParser(secondsOrNever)
        .default(10),
    )
    .addOption(flag("--log-level <level>", "log level").choices(["debug", "info", "warn", "error"]).default("info"))
    .exitOverride((error) => fail(error.exitCode === 0 ? 0 : 2));
}
