import type { NetConf } from "../../cni/conf.ts";
import {
  address,
  array,
  boolean,
  type Decoder,
  integer,
  invalid,
  object,
  oneOf,
  optional,
  string,
} from "../../cni/decode.ts";
import type { PortProtocol } from "../../firewall/element-key.ts";
import type { Condition } from "../../firewall/port-map.ts";
import { type Address, isUnspecified } from "../../net/address.ts";
import { decodeConditions } from "./conditions.ts";

/** The keys of the portmap plugin, as the reference plugin names them. */
export interface PortmapConf {
  readonly mappings: readonly RequestedMapping[];
  /** Packets whose answers would not find back get an address of the node as their source. */
  readonly snat: boolean;
  /** With snat: all packets get one. */
  readonly masqAll: boolean;
  readonly conditions: { readonly 4: Condition | undefined; readonly 6: Condition | undefined };
  /** Keys that ask for what only iptables has, as sentences for the log. */
  readonly unused: readonly string[];
}

/** One of `runtimeConfig.portMappings`. */
export interface RequestedMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: PortProtocol;
  /** One address of the node; 0.0.0.0 and :: stand for all of their family. */
  readonly hostIP?: Address | undefined;
}

const LAST_PORT = 65535;
const port = integer(1, LAST_PORT);

const protocol: Decoder<PortProtocol> = (value, path) =>
  oneOf("tcp", "udp", "sctp")(typeof value === "string" ? value.toLowerCase() || "tcp" : value, path);

const portMapping = object({
  hostPort: port,
  containerPort: port,
  protocol: optional(protocol, "tcp"),
  hostIP: optional((value, path) => (value === "" ? undefined : address(value, path))),
});

const keys = object({
  backend: optional((value, path) => (value === "" ? undefined : oneOf("iptables", "nftables")(value, path))),
  snat: optional(boolean, true),
  masqAll: optional(boolean, false),
  markMasqBit: optional(integer(0, 31)),
  externalSetMarkChain: optional(string),
  conditionsV4: optional(array(string), []),
  conditionsV6: optional(array(string), []),
});

const runtimeKeys = object({ portMappings: optional(array(portMapping), []) });

/** @throws CniError 7 that names key and value */
export function decodePortmapConf({ raw, runtimeConfig }: NetConf): PortmapConf {
  const given = keys(raw, "");
  const { backend, markMasqBit, externalSetMarkChain } = given;
  if (markMasqBit !== undefined && externalSetMarkChain !== undefined) {
    throw invalid("externalSetMarkChain", externalSetMarkChain, "and markMasqBit exclude each other; leave one out");
  }
  if (backend === "nftables" && externalSetMarkChain !== undefined) {
    throw invalid(
      "externalSetMarkChain",
      externalSetMarkChain,
      'is a chain of iptables; leave it out with backend "nftables"',
    );
  }
  const unused: string[] = [];
  if (backend === "iptables") unused.push("backend: iptables is not used; nftables maps the ports instead");
  if (externalSetMarkChain !== undefined) {
    unused.push(`externalSetMarkChain: ${externalSetMarkChain} is not called; nftables masquerades without marks`);
  }
  return {
    mappings: runtimeKeys(runtimeConfig, "runtimeConfig").portMappings,
    snat: given.snat,
    masqAll: given.masqAll,
    conditions: {
      4: decodeConditions(given.conditionsV4, "conditionsV4", 4),
      6: decodeConditions(given.conditionsV6, "conditionsV6", 6),
    },
    unused,
  };
}

/** Whether a mapping is for addresses of the node of that family. */
export function concernsFamily({ hostIP }: RequestedMapping, family: 4 | 6): boolean {
  return hostIP === undefined || hostIP.includes(":") === (family === 6);
}

/** The one address that it is for. */
export function particularAddress({ hostIP }: RequestedMapping): Address | undefined {
  return hostIP === undefined || isUnspecified(hostIP) ? undefined : hostIP;
}
