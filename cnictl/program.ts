import { Argument, Command, CommanderError, Option } from "commander";
import { BACKEND_TYPES } from "../backends/backend.ts";
import {
  aboutBackends,
  MODE_CHOICES,
  modeWords,
  portWords,
  TUNNEL_CHOICES,
  tunnelWords,
  vniWords,
} from "../backends/words.ts";
import { JOURNAL_PATH } from "../journal/call.ts";
import type { ConnectionOptions } from "./connection.ts";
import type { Context } from "./context.ts";
import { parseDuration } from "./duration.ts";
import { CommandError, ExitCode, usageError } from "./exit.ts";

/** The process around the program, as far as commands may touch it. */
export interface Surroundings extends Omit<Context, "connect"> {
  /** Of the controller, when --server does not say. */
  readonly defaultServer: string;
}

/**
 * The command line: every command with its options. What a command does is loaded when it is used, so
 * that starting, help and completion stay quick.
 * @param finish gets the exit code of the command that ran
 */
export function buildProgram(surroundings: Surroundings, finish: (code: ExitCode) => void): Command {
  const program = new Command("cnictl")
    .description("Shows and changes what a podwire controller knows, and shows what a node's kernel holds.")
    .option("--server <host:port>", "the controller; also CNICTL_SERVER", surroundings.defaultServer)
    .option("--tls-ca <file>", "PEM certificates that the controller's must come from; turns TLS on")
    .option("--tls-cert <file>", "PEM certificate of yours")
    .option("--tls-key <file>", "PEM private key of yours")
    .option("--insecure", "plaintext, also to a controller that is not on this machine")
    .addOption(
      new Option("--timeout <time>", "how long an answer may take")
        .argParser(duration("--timeout"))
        .default(5000, "5s"),
    )
    .configureOutput({ writeOut: surroundings.out, writeErr: surroundings.note })
    .showHelpAfterError("See cnictl --help, or --help after a command.")
    .exitOverride()
    .addHelpText(
      "after",
      "\nExit codes: 0 done, 1 wrong usage, nothing of that name, or refused, 2 status: not all nodes have converged, 3 the controller cannot be reached.",
    );

  /** Gives a command its work: called with a context, then the arguments and options that commander read. */
  const run =
    (work: (context: Context, ...given: never[]) => Promise<ExitCode>) =>
    async (...given: unknown[]): Promise<void> => {
      const command = given.pop() as Command;
      const options = command.optsWithGlobals() as ConnectionOptions;
      const connect = async () => (await import("./connection.ts")).openAdmin(options);
      finish(await work({ ...surroundings, connect }, ...(given as never[])));
    };

  program
    .command("get")
    .description("List nodes, subnets, networks, pods or routes")
    .argument("<type>", "nodes (no), subnets (sn), networks (net), pods (po) or routes (rt), or TYPE/NAME")
    .argument("[names...]", "only these; of routes also an address that they lead to")
    .addOption(output("table", "wide", "json", "yaml", "name"))
    .option("-w, --watch", "go on and print what changes")
    .option("--output-watch-events", "with --watch, say whether each was ADDED, MODIFIED or DELETED")
    .option("--no-headers", "without the line of column titles")
    .option("--network <name>", "only what belongs to this network")
    .option("--node <name>", "only what belongs to this node; of routes those that it has")
    .option("--sort-by <column>", "a column's title, or a path such as .metadata.creationTimestamp")
    .action(
      run(async (context, type, names, options) => (await import("./get.ts")).get(context, type, names, options)),
    );

  program
    .command("describe")
    .description("Show all that is known about a node, a subnet or a network, such as where its MTU comes from")
    .argument("<type>", "node, subnet or network, or TYPE/NAME")
    .argument("[names...]", "which ones")
    .option("--network <name>", "the subnet's network")
    .action(
      run(async (context, type, names, options) =>
        (await import("./describe.ts")).describe(context, type, names, options),
      ),
    );

  program
    .command("status")
    .description("Show which nodes have applied the newest state; exits 2 when not all have")
    .argument("[nodes...]", "only these; none: all")
    .addOption(output("table", "json", "yaml"))
    .option("--no-headers", "without the line of column titles")
    .addOption(
      new Option("--wait <time>", "wait until they have, at most so long; also for a controller to start").argParser(
        duration("--wait"),
      ),
    )
    .addOption(
      new Option("--nodes <count>", "so many nodes at least have to be there").argParser(count("--nodes")).default(0),
    )
    .action(run(async (context, names, options) => (await import("./status.ts")).status(context, names, options)));

  const subnet = program.command("subnet").description("Find, reserve or release subnets");
  subnet
    .command("inspect")
    .description("Show whose address it is: network, subnet, node, pod and lease")
    .argument("<address>", "an IPv4 or IPv6 address")
    .addOption(output("table", "json", "yaml"))
    .action(
      run(async (context, text, options) =>
        (await import("./subnet-inspect.ts")).inspectAddress(context, text, options),
      ),
    );
  subnet
    .command("reserve")
    .description("Give a subnet to a node for ever, or keep it from all")
    .argument("<subnet>", "such as 10.244.1.0/24")
    .requiredOption("--network <name>", "the network that it is a part of")
    .option("--node <name>", "name or id of the node; none: nobody gets it")
    .action(
      run(async (context, text, options) =>
        (await import("./subnet-reserve.ts")).reserveSubnet(context, text, options),
      ),
    );
  subnet
    .command("release")
    .description("Take a subnet's lease or reservation away")
    .argument("<subnet>", "such as 10.244.1.0/24")
    .requiredOption("--network <name>", "the network that it is a part of")
    .option("--force", "even while the node that holds it is connected")
    .action(
      run(async (context, text, options) =>
        (await import("./subnet-release.ts")).releaseSubnet(context, text, options),
      ),
    );

  const network = program.command("network").description("Create, change or delete networks");
  network
    .command("create")
    .description("Create a network, whose CIDRs are cut into a subnet for each node")
    .argument("<name>")
    .addOption(
      list(
        "--cidr <cidr>",
        "addresses of the pods; one for each family, by comma or by repeating",
      ).makeOptionMandatory(),
    )
    .addOption(list("--subnet-length <bits>", "length of a node's subnet, one for each CIDR (default: 24 and 64)"))
    .addOption(new Option("--backend <type>", "how nodes reach each other").choices(BACKEND_TYPES).default("vxlan"))
    .addOption(new Option("--mode <mode>", modeWords()).choices(MODE_CHOICES))
    .addOption(new Option("--tunnel <type>", `what it wraps packets in, ${tunnelWords()}`).choices(TUNNEL_CHOICES))
    .option("--vni <number>", `${vniWords()} (default: the controller chooses)`)
    .option("--port <number>", `UDP port (default: ${portWords()})`)
    .option("--direct-routing", "no tunnel, and so no encryption, to nodes on the same segment")
    .option("--mtu <bytes>", "of the pods (default: computed from the underlay)")
    .option("--no-masquerade", "pods reach the world with their own addresses")
    .addHelpText("after", `\nBackends:\n${aboutBackends()}`)
    .action(
      run(async (context, name, options) =>
        (await import("./network-create.ts")).createNetwork(context, name, options),
      ),
    );
  network
    .command("set")
    .description("Move a running network to another backend; pods do not notice")
    .argument("<name>")
    .argument("<setting...>", "such as backend=gre, mode=static, vni=7, port=4790, direct-routing=true, mtu=1400")
    .addOption(
      new Option("--wait <time>", "how long to show the nodes' progress")
        .argParser(duration("--wait"))
        .default(600_000, "10m"),
    )
    .option("--no-wait", "answer when the change has begun")
    .action(
      run(async (context, name, settings, options) =>
        (await import("./network-set.ts")).setNetwork(context, name, settings, options),
      ),
    );
  network
    .command("delete")
    .description("Delete a network that no node uses")
    .argument("<name>")
    .action(run(async (context, name) => (await import("./network-delete.ts")).deleteNetwork(context, name)));

  program
    .command("dump")
    .description("Show what of podwire this machine's kernel holds; needs no controller")
    .addOption(output("table", "json", "yaml"))
    .option("--netns <path>", "of another network namespace, such as /run/netns/node-1")
    .action(run(async (context, options) => (await import("./dump.ts")).dump(context, options)));

  program
    .command("calls")
    .description(
      "Show what runtimes asked this machine's agent to do for pods, newest first; needs no controller and no agent",
    )
    .argument("[pod]", "NAME, NAMESPACE/NAME, or six or more characters that a container's id begins with")
    .addOption(output("table", "wide", "json", "yaml", "name"))
    .option("-w, --watch", "oldest first, and go on with those that come")
    .option("--no-headers", "without the line of column titles")
    .option("--failed", "only those that ended with an error")
    .addOption(verb("--verb <verb>", "only these"))
    .addOption(new Option("--since <time>", "only those of the last 10m, for instance").argParser(duration("--since")))
    .addOption(new Option("--limit <count>", "so many at most; 0: all").argParser(count("--limit")).default(50))
    .addOption(new Option("--file <path>", "a journal that lies elsewhere").default(JOURNAL_PATH))
    .action(run(async (context, pod, options) => (await import("./calls.ts")).calls(context, pod, options)));

  program
    .command("conformance")
    .description("Judge the CNI plugins of a folder by the specification, in namespaces of their own; needs root")
    .option("--bin <folder>", "where the plugins are, anybody's")
    .addOption(list("--plugin <name>", "only these; none: all that there is a profile for"))
    .addOption(list("--check <id>", "only these checks; --list shows them"))
    .option("--list", "list the checks and end")
    .addOption(output("table", "json", "junit"))
    .option("--json", "the same as -o json")
    .option("--quick", "a sample of each check")
    .option("--strict", 'exit 1 also when a plugin does not what it only "should"')
    .addOption(
      new Option("--jobs <count>", "so many checks at a time (default: as many as processors)").argParser(
        count("--jobs"),
      ),
    )
    .option("--daemon <command>", "a shell command to start in each namespace first, for plugins that need a daemon")
    .option("--daemon-ready <path>", "the file that exists once it is ready")
    .addHelpText("after", "\nExit codes: 0 all passed, 1 a plugin has failed, 2 wrong usage or no namespaces.")
    .action(run(async (context, options) => (await import("./conformance.ts")).conformance(context, options)));

  program
    .command("completion")
    .description("Print a shell's completion script, for: source <(cnictl completion bash)")
    .addArgument(new Argument("<shell>").choices(["bash", "zsh", "fish"]))
    .action(run(async (context, shell) => (await import("./completion.ts")).completion(context, shell, program)));

  program
    .command("version")
    .description("Print cnictl's version")
    .addOption(output("table", "json", "yaml"))
    .action(run(async (context, options) => (await import("./version.ts")).version(context, options)));

  return program;
}

/** Runs the command line and gives the exit code; what went wrong has been said on standard error. */
export async function runProgram(words: readonly string[], surroundings: Surroundings): Promise<ExitCode> {
  let code: ExitCode = ExitCode.ok;
  const program = buildProgram(surroundings, (finished) => {
    code = finished;
  });
  try {
    await program.parseAsync(words, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return ExitCode.ok;
      return words.includes("conformance") ? ExitCode.usage : ExitCode.failure;
    }
    if (!(error instanceof CommandError)) throw error;
    const { printable } = await import("./table.ts");
    surroundings.note(`${printable(error.message)}\n`);
    return error.exitCode;
  }
  return code;
}

function output(...formats: readonly string[]): Option {
  return new Option("-o, --output <format>", "how to print").choices(formats).default("table");
}

/** A verb of the CNI protocol, in any case. */
function verb(flags: string, description: string): Option {
  const option = new Option(flags, description).choices(["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"]);
  const { parseArg } = option;
  return option.argParser((text, before: string) => parseArg?.(text.toUpperCase(), before) ?? text);
}

/** An option that may be repeated, or hold several values with commas between. */
function list(flags: string, description: string): Option {
  const collect = (text: string, before: readonly string[] = []) => [...before, ...text.split(",")];
  return new Option(flags, description).argParser(collect);
}

function duration(option: string): (text: string) => number {
  return (text) => {
    try {
      return parseDuration(text);
    } catch (error) {
      throw usageError(`${option}: ${(error as RangeError).message}`);
    }
  };
}

function count(option: string): (text: string) => number {
  return (text) => {
    if (!/^\d{1,6}$/.test(text)) throw usageError(`${option} ${text}: give a whole number`);
    return Number(text);
  };
}
