import { byReply, CONNECTION_OPTIONS, type Completions, listing, type Words } from "./completion-words.ts";

/**
 * A bash completion script (bash 4.3 or later, with or without the bash-completion package). Names come from other
 * machines, so they are never given to `compgen -W`, which would expand them, and those that the shell would act on are quoted.
 */
export function bashScript(commands: readonly Completions[], values: ReadonlyMap<string, Words | "files">): string {
  const valued = [...values.keys()].filter((word) => !CONNECTION_OPTIONS.includes(word));
  const paths = commands.filter(({ path }) => path !== "").map(({ path }) => `"${path}"`);
  const replies = byReply(values, wordsReply);
  return `# bash completion for cnictl: source <(cnictl completion bash)

# The names that this command of cnictl lists; the controller is the one that the command line so far names.
__cnictl_names() {
  local -a names
  mapfile -t names < <("\${words[0]}" "$@" -o name --timeout 2s "\${connection[@]}" 2>/dev/null)
  __cnictl_reply "\${names[@]#*/}"
}

# Takes those of the words that go on from what is typed. Readline replaces only what follows its last word break (the ":" of
# an IPv6 address is one), so what stands before one is left out.
__cnictl_reply() {
  local word before=""
  [[ "$cur" == *:* && "$COMP_WORDBREAKS" == *:* ]] && before="\${cur%"\${cur##*:}"}"
  for word in "$@"; do
    [[ -n "$word" && "$word" == "$cur"* ]] || continue
    printf -v word '%q' "\${word#"$before"}"
    COMPREPLY+=("$word")
  done
}

_cnictl() {
  local -a words connection=() given=()
  local line="\${COMP_LINE:0:COMP_POINT}" cur="" path="" word i
  COMPREPLY=()
  # Split at blanks and not at readline's word breaks, so that addresses stay whole.
  read -ra words <<<"$line"
  if [[ "$line" != *[[:space:]] ]]; then
    cur="\${words[-1]}"
    unset 'words[-1]'
  fi
  ((\${#words[@]} > 0)) || return 0

  for ((i = 1; i < \${#words[@]}; i++)); do
    word="\${words[i]}"
    case "$word" in
    ${CONNECTION_OPTIONS.join(" | ")})
      ((i + 1 < \${#words[@]})) && connection+=("$word" "\${words[i + 1]}")
      ((i++)) ;;
    --server=* | --tls-*=* | --insecure) connection+=("$word") ;;
    ${valued.join(" | ")}) ((i++)) ;;
    -*) ;;
    *)
      case "\${path:+$path }$word" in
      ${paths.join(" | ")}) path="\${path:+$path }$word" ;;
      *) given+=("$word") ;;
      esac ;;
    esac
  done

  case "\${words[-1]}" in
${replies.map(([options, reply]) => `  ${options.join(" | ")}) ${reply}; return 0 ;;\n`).join("")}  esac
  case "$path" in
${commands.map(commandCase).join("")}  esac
}

complete -F _cnictl cnictl
`;
}

function commandCase({ path, commands, options, arguments: given }: Completions): string {
  const last = given.length - 1;
  const cases = given.map((words, i) => `      ${i === last ? "*" : i}) ${wordsReply(words)} ;;\n`).join("");
  const rest =
    commands.length > 0
      ? `    else ${wordsReply({ words: commands.map(({ word }) => word) })}\n`
      : cases === ""
        ? ""
        : `    else case "\${#given[@]}" in\n${cases}      esac\n`;
  return `  "${path}")
    if [[ "$cur" == -* ]]; then ${wordsReply({ words: options.map(({ word }) => word) })}
${rest}    fi ;;
`;
}

function wordsReply(value: Words | "files"): string {
  if (value === "files") return `mapfile -t COMPREPLY < <(compgen -f -- "$cur")`;
  if ("words" in value) return value.words.length === 0 ? ":" : `__cnictl_reply ${value.words.join(" ")}`;
  return `__cnictl_names ${listing(value.names, `"\${given[0]}"`)}`;
}
