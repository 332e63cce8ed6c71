import { type Completions, listing, type Words } from "./completion-words.ts";

/** A fish completion script, to be sourced or to lie in ~/.config/fish/completions/cnictl.fish. */
export function fishScript(commands: readonly Completions[], values: ReadonlyMap<string, Words | "files">): string {
  const paths = commands.filter(({ path }) => path !== "").map(({ path }) => `'${path}'`);
  return `# fish completion for cnictl: cnictl completion fish | source

# Prints the command's words (line 1), then the arguments given so far.
function __cnictl_parse
    set -l words (commandline -opc)
    set -l path ''
    set -l given
    set -l skip 0
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case ${[...values.keys()].join(" ")}
                set skip 1
            case '-*'
            case '*'
                set -l longer (string trim -- "$path $word")
                if contains -- $longer ${paths.join(" ")}
                    set path $longer
                else
                    set -a given $word
                end
        end
    end
    printf '%s\\n' "$path" $given
end

# Whether the words so far are this command with this many arguments; "more" is that many or more.
function __cnictl_at -a path count more
    set -l parsed (__cnictl_parse)
    test "$parsed[1]" = "$path"; or return 1
    set -q argv[2]; or return 0
    set -l given (math (count $parsed) - 1)
    test $given = $count; or begin
        test "$more" = more; and test $given -gt $count
    end
end

# The names that this command of cnictl lists; the controller is the one that the command line names.
function __cnictl_names
    set -l words (commandline -opc)
    set -l connection
    for i in (seq 2 (count $words))
        switch $words[$i]
            case --server --tls-ca --tls-cert --tls-key
                set -q words[(math $i + 1)]; and set -a connection $words[$i] $words[(math $i + 1)]
            case '--server=*' '--tls-*=*' --insecure
                set -a connection $words[$i]
        end
    end
    $words[1] $argv -o name --timeout 2s $connection 2>/dev/null | string replace -r '^[^/]*/' ''
end

complete -c cnictl -f
${commands.map((command) => commandLines(command, values)).join("")}`;
}

function commandLines(completions: Completions, values: ReadonlyMap<string, Words | "files">): string {
  const { path, commands, options, arguments: given } = completions;
  const last = given.length - 1;
  const lines = [
    ...commands.map(({ word, about }) => `-n "__cnictl_at '${path}'" -a ${word} -d '${quote(about)}'`),
    ...given.flatMap((words, i) => {
      const reply = wordsReply(words);
      return reply === "" ? [] : [`-n "__cnictl_at '${path}' ${i}${i === last ? " more" : ""}" -a ${reply}`];
    }),
    ...options.map(({ word, about }) => {
      const name = word.startsWith("--") ? `-l ${word.slice(2)}` : `-s ${word.slice(1)}`;
      return `-n "__cnictl_at '${path}'" ${name}${valueFlags(values.get(word))} -d '${quote(about)}'`;
    }),
  ];
  return lines.map((line) => `complete -c cnictl ${line}\n`).join("");
}

function valueFlags(value: Words | "files" | undefined): string {
  if (value === undefined) return "";
  if (value === "files") return " -r -F";
  const reply = wordsReply(value);
  return reply === "" ? " -x" : ` -x -a ${reply}`;
}

function wordsReply(value: Words | "files"): string {
  if (value === "files") return "";
  if ("words" in value) return value.words.length === 0 ? "" : `'${value.words.join(" ")}'`;
  return `'(__cnictl_names ${listing(value.names, "(__cnictl_parse)[2]")})'`;
}

function quote(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("'", "\\'");
}
