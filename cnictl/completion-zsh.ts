import { byReply, CONNECTION_OPTIONS, type Completions, listing, type Words } from "./completion-words.ts";

/** A zsh completion script, to be sourced or to lie on $fpath as _cnictl. */
export function zshScript(commands: readonly Completions[], values: ReadonlyMap<string, Words | "files">): string {
  const valued = [...values.keys()].filter((word) => !CONNECTION_OPTIONS.includes(word));
  const paths = commands.filter(({ path }) => path !== "").map(({ path }) => `"${path}"`);
  return `#compdef cnictl
# zsh completion for cnictl: source <(cnictl completion zsh)

# The names that this command of cnictl lists; the controller is the one that the command line so far names.
__cnictl_names() {
  local -a names
  names=("\${(@f)$("\${words[1]}" "$@" -o name --timeout 2s "\${connection[@]}" 2>/dev/null)}")
  names=("\${(@)names#*/}")
  compadd -- "\${(@)names:#}"
}

_cnictl() {
  local -a connection given described
  local cnictl_path="" word
  integer i
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    case "$word" in
    (${CONNECTION_OPTIONS.join("|")})
      ((i + 1 < CURRENT)) && connection+=("$word" "\${words[i+1]}")
      ((i++)) ;;
    (--server=*|--tls-*=*|--insecure) connection+=("$word") ;;
    (${valued.join("|")}) ((i++)) ;;
    (-*) ;;
    (*)
      case "\${cnictl_path:+$cnictl_path }$word" in
      (${paths.join("|")}) cnictl_path="\${cnictl_path:+$cnictl_path }$word" ;;
      (*) given+=("$word") ;;
      esac ;;
    esac
  done

  case "\${words[CURRENT-1]}" in
${byReply(values, wordsReply)
  .map(([options, reply]) => `  (${options.join("|")}) ${reply}; return ;;\n`)
  .join("")}  esac
  case "$cnictl_path" in
${commands.map(commandCase).join("")}  esac
}

if [[ "$funcstack[1]" == _cnictl ]]; then _cnictl "$@"; else compdef _cnictl cnictl; fi
`;
}

function commandCase({ path, commands, options, arguments: given }: Completions): string {
  const describe = (kind: string, items: Completions["options"]) => {
    const entries = items.map(({ word, about }) => `'${quote(`${word.replaceAll(":", "\\:")}:${about}`)}'`);
    return `described=(${entries.join(" ")}); _describe ${kind} described`;
  };
  const last = given.length - 1;
  const cases = given.map((words, i) => `      (${i === last ? "*" : i}) ${wordsReply(words)} ;;\n`).join("");
  const rest =
    commands.length > 0
      ? `    else ${describe("command", commands)}\n`
      : cases === ""
        ? ""
        : `    else case "\${#given}" in\n${cases}      esac\n`;
  return `  ("${path}")
    if [[ "\${words[CURRENT]}" == -* ]]; then ${describe("option", options)}
${rest}    fi ;;
`;
}

function wordsReply(value: Words | "files"): string {
  if (value === "files") return "_files";
  if ("words" in value) return value.words.length === 0 ? ":" : `compadd -- ${value.words.join(" ")}`;
  return `__cnictl_names ${listing(value.names, `"\${given[1]}"`)}`;
}

function quote(text: string): string {
  return text.replaceAll("'", "'\\''");
}
