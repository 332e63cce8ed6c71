/** A command as completion sees it: everything that can come after it. */
export interface Completions {
  /** The command's words with spaces between, "" for cnictl itself. */
  readonly path: string;
  readonly commands: readonly Described[];
  readonly options: readonly Described[];
  /** What each argument can be; the last one's also goes for more. */
  readonly arguments: readonly Words[];
}

/** A word to offer, and what it is for. */
export interface Described {
  readonly word: string;
  readonly about: string;
}

/** Fixed words, or names that cnictl lists: of a resource, of the resource given as the argument before, or of pods in the journal. */
export type Words =
  | { readonly words: readonly string[] }
  | { readonly names: "nodes" | "subnets" | "networks" | "previous" | "called" };

/** The words of the command that lists these names with `-o name`; `given` is how the shell writes the first argument. */
export function listing(names: "nodes" | "subnets" | "networks" | "previous" | "called", given: string): string {
  if (names === "called") return "calls --limit 0";
  return `get ${names === "previous" ? given : names}`;
}

/** Options that say which controller to ask for names: passed on as they stand. */
export const CONNECTION_OPTIONS: readonly string[] = ["--server", "--tls-ca", "--tls-cert", "--tls-key"];

/** The options whose values are completed by the same piece of script, together. */
export function byReply(
  values: ReadonlyMap<string, Words | "files">,
  reply: (value: Words | "files") => string,
): readonly (readonly [options: readonly string[], reply: string])[] {
  const groups = new Map<string, string[]>();
  for (const [option, value] of values) groups.set(reply(value), [...(groups.get(reply(value)) ?? []), option]);
  return [...groups].map(([text, options]) => [options, text]);
}
