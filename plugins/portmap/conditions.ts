import { invalid } from "../../cni/decode.ts";
import type { AddressRange, Condition } from "../../firewall/port-map.ts";
import { addressFromBigInt, addressToBigInt, type Family, parseAddress } from "../../net/address.ts";
import {
  firstAddress,
  hostPrefix,
  lastAddress,
  networkOf,
  type Prefix,
  parsePrefix,
  prefixFamily,
} from "../../net/prefix.ts";

/** The options of iptables(8) that say something about addresses. */
const OPTIONS: Readonly<Record<string, keyof Condition>> = {
  "-s": "sources",
  "--source": "sources",
  "--src": "sources",
  "-d": "destinations",
  "--destination": "destinations",
  "--dst": "destinations",
};
const ALL = { 4: "0.0.0.0/0", 6: "::/0" } as const;

/**
 * Reads `conditionsV4` or `conditionsV6`: arguments of iptables, of which those about the packet's addresses can be
 * expressed as elements of a map: `["!", "-s", "10.0.0.0/8", "-d", "192.0.2.1"]`.
 * @returns undefined when there are none
 * @throws CniError 7 for others
 */
export function decodeConditions(words: readonly string[], path: string, family: Family): Condition | undefined {
  if (words.length === 0) return undefined;
  const everything = rangeOf(parsePrefix(ALL[family]));
  const condition = { sources: [everything], destinations: [everything] };
  const seen = new Set<keyof Condition>();
  for (let at = 0; at < words.length; ) {
    const negated = words[at] === "!";
    if (negated) at++;
    const option = words[at];
    const end = option === undefined ? undefined : OPTIONS[option];
    if (end === undefined || seen.has(end)) {
      throw invalid(
        path,
        words,
        "cannot be used: only -s ADDRESS and -d ADDRESS, each once, also after !, are supported",
      );
    }
    seen.add(end);
    const prefix = readPrefix(words[at + 1], words, path, family);
    condition[end] = negated ? complementOf(prefix, everything) : [rangeOf(prefix)];
    at += 2;
  }
  return condition;
}

function readPrefix(text: string | undefined, words: readonly string[], path: string, family: Family): Prefix {
  try {
    const prefix = text?.includes("/") ? networkOf(parsePrefix(text)) : hostPrefix(parseAddress(text ?? ""));
    if (prefixFamily(prefix) === family) return prefix;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  throw invalid(path, words, `has ${JSON.stringify(text)} where an IPv${family} address or prefix is needed`);
}

function rangeOf(prefix: Prefix): AddressRange {
  return [firstAddress(prefix), lastAddress(prefix)];
}

/** What lies before and after it. */
function complementOf(prefix: Prefix, [lowest, highest]: AddressRange): AddressRange[] {
  const family = prefixFamily(prefix);
  const [first, last] = rangeOf(prefix);
  const ranges: AddressRange[] = [];
  if (first !== lowest) ranges.push([lowest, addressFromBigInt(family, addressToBigInt(first) - 1n)]);
  if (last !== highest) ranges.push([addressFromBigInt(family, addressToBigInt(last) + 1n), highest]);
  return ranges;
}
