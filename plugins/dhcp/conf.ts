import type { AttachmentId } from "../../cni/attachment.ts";
import type { NetConf } from "../../cni/conf.ts";
import { array, boolean, type Decoder, integer, invalid, object, optional, string } from "../../cni/decode.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Timing } from "../../dhcp/conversation.ts";
import { Option } from "../../dhcp/message.ts";
import type { Client } from "../../dhcp/request.ts";
import type { Mac } from "../../net/mac.ts";

/** What the plugin reads of a configuration and of CNI_ARGS. */
export interface DhcpConf {
  /** Who asks, but for the address of its interface. */
  readonly client: Omit<Client, "mac">;
  readonly timing: Timing;
  /** Metric of the leased routes; 0: the kernel's choice. */
  readonly priority: number;
  /** The reference plugin's daemon, which there is no need of. */
  readonly daemonSocketPath: string;
}

/** dhcp-options(5) names that the reference plugin knows. */
const NAMES: Readonly<Record<string, number>> = {
  "dhcp-client-identifier": Option.clientId,
  "subnet-mask": Option.subnetMask,
  routers: Option.routers,
  "host-name": Option.hostName,
  "user-class": Option.userClass,
  "vendor-class-identifier": Option.vendorClass,
};
/** Asked for unless skipDefault is set. */
const DEFAULT_REQUEST = [Option.routers, Option.subnetMask] as const;
/** What the messages themselves need, and nobody may overwrite. */
const RESERVED: readonly number[] = [
  Option.pad,
  Option.requestedAddress,
  Option.overload,
  Option.messageType,
  Option.server,
  Option.parameterRequest,
  Option.end,
];
const LONGEST_VALUE = 255;

/** As the reference daemon's flags; but its limit of 208 s is longer than runtimes, and the shim, wait for an ADD. */
const DEFAULT_TIMING = { timeoutMs: 10_000, resendMaxMs: 62_000, limitMs: 100_000 } as const;

const anyText = optional(string, "");

const optionNumber: Decoder<number> = (value, path) => {
  const text = string(value, path);
  const number = Object.hasOwn(NAMES, text) ? NAMES[text] : /^\d{1,3}$/.test(text) ? Number(text) : undefined;
  if (number !== undefined && number > Option.pad && number < Option.end) return number;
  throw invalid(path, value, `is no DHCP option; use a number in 1..254 or one of ${Object.keys(NAMES).join(", ")}`);
};

const providedOption: Decoder<number> = (value, path) => {
  const number = optionNumber(value, path);
  if (!RESERVED.includes(number)) return number;
  throw invalid(path, value, "is set by the protocol itself; leave it out");
};

const provided = object({ option: providedOption, value: anyText, fromArg: anyText });

const requested = object({
  skipDefault: optional(boolean, false),
  option: (value, path) =>
    value === undefined || value === null || value === "" ? undefined : optionNumber(value, path),
});

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration in Go's words, such as "10s" or "1m30s", in milliseconds. */
const duration: Decoder<number> = (value, path) => {
  const text = string(value, path);
  if (!/^(?:\d{1,6}(?:\.\d{1,6})?(?:ms|s|m|h))+$/.test(text)) {
    throw invalid(path, value, 'is no duration; write "10s" or "1m30s"');
  }
  const parts = [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)];
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNITS[unit ?? ""] ?? 0), 0);
};

const ipamKeys = object({
  provide: optional(array(provided), []),
  request: optional(array(requested), []),
  priority: optional(integer(0, 0xffffffff), 0),
  daemonSocketPath: anyText,
  broadcast: optional(boolean, false),
  timeout: optional(duration, DEFAULT_TIMING.timeoutMs),
  resendmax: optional(duration, DEFAULT_TIMING.resendMaxMs),
  resendtimeout: optional(duration, DEFAULT_TIMING.limitMs),
});

/**
 * Reads and checks every key.
 * @throws CniError 7 naming key, value and remedy; 4 for a value of CNI_ARGS
 */
export function decodeConf(
  conf: NetConf,
  { containerId, ifName }: AttachmentId,
  args: Readonly<Record<string, string>>,
): DhcpConf {
  if (conf.raw.ipam === undefined || conf.raw.ipam === null) {
    throw new CniError(Code.invalidConfig, 'ipam is missing; give it the type "dhcp"');
  }
  const ipam = ipamKeys(conf.raw.ipam, "ipam");
  const provide = provideOptions(ipam.provide, args);
  const clientId = provide.get(Option.clientId) ?? defaultClientId(`${containerId}/${conf.name}/${ifName}`);
  provide.delete(Option.clientId);
  return {
    client: { clientId, provide, request: requestOptions(ipam.request), broadcast: ipam.broadcast },
    timing: { timeoutMs: ipam.timeout, resendMaxMs: ipam.resendmax, limitMs: ipam.resendtimeout },
    priority: ipam.priority,
    daemonSocketPath: ipam.daemonSocketPath,
  };
}

/** Who asks, by way of an interface with that address. */
export function clientOf({ client }: DhcpConf, mac: Mac): Client {
  return { ...client, mac };
}

/** CNI_ARGS win over `value`, a later entry over an earlier one. */
function provideOptions(
  entries: readonly { readonly option: number; readonly value: string; readonly fromArg: string }[],
  args: Readonly<Record<string, string>>,
): Map<number, Uint8Array> {
  const provide = new Map<number, Uint8Array>();
  entries.forEach(({ option, value, fromArg }, index) => {
    const path = `ipam.provide[${index}].value`;
    if (value !== "") provide.set(option, bytesOf(value, path, Code.invalidConfig));
    const given = Object.hasOwn(args, fromArg) ? args[fromArg] : undefined;
    if (given !== undefined) provide.set(option, bytesOf(given, `CNI_ARGS ${fromArg}`, Code.invalidEnvironment));
  });
  return provide;
}

function bytesOf(text: string, path: string, code: number): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= LONGEST_VALUE) return bytes;
  throw invalid(path, text, `is longer than the ${LONGEST_VALUE} bytes that a DHCP option holds`, code);
}

function requestOptions(
  entries: readonly { readonly skipDefault: boolean; readonly option?: number }[],
): readonly number[] {
  const asked = entries.flatMap(({ option }) => (option === undefined ? [] : [option]));
  const defaults = entries.some(({ skipDefault }) => skipDefault) ? [] : DEFAULT_REQUEST;
  return [...new Set([...asked, ...defaults])];
}

/** Type 0 (no hardware address), then the name, cut to what an option holds: as the reference plugin makes it. */
function defaultClientId(name: string): Uint8Array {
  return Uint8Array.of(0, ...new TextEncoder().encode(name).subarray(0, LONGEST_VALUE - 1));
}
