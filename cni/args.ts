import { CniError, Code } from "./error.ts";

/** The key that allows others that the plugin does not know. */
const IGNORE_UNKNOWN = "IgnoreUnknown";

/**
 * Reads CNI_ARGS, `KEY=value;KEY=value`.
 * @throws CniError 4 for a pair without exactly one "=" or without a key.
 */
export function parseArgs(text: string): Readonly<Record<string, string>> {
  const args: Record<string, string> = Object.create(null);
  if (text === "") return args;
  for (const pair of text.split(";")) {
    const [key, value, ...rest] = pair.split("=");
    if (key === undefined || key === "" || value === undefined || rest.length > 0) {
      throw new CniError(Code.invalidEnvironment, `CNI_ARGS: ${JSON.stringify(pair)} is not KEY=value`);
    }
    args[key] = value;
  }
  ignoresUnknown(args);
  return args;
}

/**
 * Refuses keys that a plugin does not know unless IgnoreUnknown says otherwise. `K8S_*` are known to everybody.
 * @throws CniError 4 that names them.
 */
export function checkArgs(args: Readonly<Record<string, string>>, known: readonly string[] | undefined): void {
  if (known === undefined || ignoresUnknown(args)) return;
  const unknown = Object.keys(args).filter(
    (key) => key !== IGNORE_UNKNOWN && !key.startsWith("K8S_") && !known.includes(key),
  );
  if (unknown.length === 0) return;
  const pairs = unknown.map((key) => JSON.stringify(`${key}=${args[key]}`)).join(", ");
  throw new CniError(Code.invalidEnvironment, `CNI_ARGS: unknown ${pairs}; set ${IGNORE_UNKNOWN}=1 to allow it`);
}

function ignoresUnknown(args: Readonly<Record<string, string>>): boolean {
  const value = args[IGNORE_UNKNOWN];
  if (value === undefined) return false;
  if (/^(1|true)$/i.test(value)) return true;
  if (/^(0|false)$/i.test(value)) return false;
  throw new CniError(
    Code.invalidEnvironment,
    `CNI_ARGS: ${IGNORE_UNKNOWN}=${JSON.stringify(value)} is not 0, 1, true or false`,
  );
}
