import type { Command, Option } from "commander";
import type { Completions, Described, Words } from "./completion-words.ts";
import type { Context } from "./context.ts";
import { ExitCode } from "./exit.ts";
import { RESOURCE_NAMES } from "./resources/kinds.ts";

/** What the commander tree cannot say: what arguments and option values are. */
const ARGUMENTS: Readonly<Record<string, readonly Words[]>> = {
  get: [{ words: Object.keys(RESOURCE_NAMES) }, { names: "previous" }],
  describe: [{ words: ["node", "subnet", "network"] }, { names: "previous" }],
  status: [{ names: "nodes" }],
  "subnet release": [{ names: "subnets" }],
  "network delete": [{ names: "networks" }],
  calls: [{ names: "called" }],
};

/** Values of options, by their long names; `files` where any file may stand. */
const VALUES: Readonly<Record<string, Words | "files">> = {
  "--node": { names: "nodes" },
  "--network": { names: "networks" },
  "--tls-ca": "files",
  "--tls-cert": "files",
  "--tls-key": "files",
  "--netns": "files",
  "--file": "files",
};

/** `cnictl completion`: a script for the shell, made from the commands as they are. */
export async function completion(
  context: Context,
  shell: "bash" | "zsh" | "fish",
  program: Command,
): Promise<ExitCode> {
  const writers = {
    bash: async () => (await import("./completion-bash.ts")).bashScript,
    zsh: async () => (await import("./completion-zsh.ts")).zshScript,
    fish: async () => (await import("./completion-fish.ts")).fishScript,
  };
  const write = await writers[shell]();
  context.out(write(commandsOf(program), valuesOf(program)));
  return ExitCode.ok;
}

/** Every command of the program, the program itself first. */
export function commandsOf(program: Command): readonly Completions[] {
  const visit = (command: Command, path: string): Completions[] => {
    const commands = command.commands.map((child) => ({ word: child.name(), about: child.description() }));
    const options = [...command.options, ...(path === "" ? [] : program.options)];
    const own: Completions = {
      path,
      commands,
      options: options.flatMap(optionWords),
      arguments: ARGUMENTS[path] ?? choicesOf(command),
    };
    return [own, ...command.commands.flatMap((child) => visit(child, `${path} ${child.name()}`.trimStart()))];
  };
  return visit(program, "");
}

/** What can stand after each option that takes a value, by every spelling of the option. */
export function valuesOf(program: Command): ReadonlyMap<string, Words | "files"> {
  const values = new Map<string, Words | "files">();
  const visit = (command: Command) => {
    for (const option of command.options.filter(({ required, optional }) => required || optional)) {
      const value = VALUES[option.long ?? ""] ?? { words: option.argChoices ?? [] };
      for (const word of [option.short, option.long]) if (word) values.set(word, widest(values.get(word), value));
    }
    command.commands.forEach(visit);
  };
  visit(program);
  return values;
}

/** -o means more formats in some commands than in others; completion offers the most. */
function widest(known: Words | "files" | undefined, value: Words | "files"): Words | "files" {
  const size = (words: Words | "files" | undefined) =>
    typeof words === "object" && "words" in words ? words.words.length : 0;
  return known !== undefined && size(known) >= size(value) ? known : value;
}

function choicesOf(command: Command): readonly Words[] {
  const choices = command.registeredArguments.map(({ argChoices = [] }) => ({ words: argChoices }));
  return choices.some(({ words }) => words.length > 0) ? choices : [];
}

function optionWords({ short, long, description }: Option): Described[] {
  return [long, short].flatMap((word) => (word ? [{ word, about: description }] : []));
}
