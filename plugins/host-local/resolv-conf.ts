import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { Dns } from "../../cni/result.ts";
import type { FileOps } from "../../ipam/files.ts";

/** Far more than resolv.conf(5) ever needs. */
const LONGEST = 64 * 1024;

/**
 * Reads a file in resolv.conf(5)'s format.
 * @throws CniError 7 when it is not a readable file of at most 64 KiB.
 */
export function readResolvConf(files: Pick<FileOps, "readFileSync" | "statSync">, path: string): Dns {
  try {
    const about = files.statSync(path);
    if (!about.isFile() || about.size > LONGEST) throw new RangeError(`not a file of at most ${LONGEST} bytes`);
    return parseResolvConf(files.readFileSync(path, "utf8"));
  } catch (error) {
    throw new CniError(
      Code.invalidConfig,
      `ipam.resolvConf: "${path}" cannot be read: ${messageOf(error)}; name a file as in resolv.conf(5)`,
      { cause: error },
    );
  }
}

/** Reads nameserver, domain, search and options lines; the last domain counts, all others add up. */
export function parseResolvConf(text: string): Dns {
  const nameservers: string[] = [];
  const search: string[] = [];
  const options: string[] = [];
  let domain: string | undefined;
  for (const line of text.split("\n")) {
    const [keyword = "", ...values] = line.trim().split(/\s+/);
    const [first] = values;
    if (first === undefined || /^[#;]/.test(keyword)) continue;
    if (keyword === "nameserver") nameservers.push(first);
    if (keyword === "domain") domain = first;
    if (keyword === "search") search.push(...values);
    if (keyword === "options") options.push(...values);
  }
  return {
    ...(nameservers.length > 0 ? { nameservers } : {}),
    ...(domain === undefined ? {} : { domain }),
    ...(search.length > 0 ? { search } : {}),
    ...(options.length > 0 ? { options } : {}),
  };
}
