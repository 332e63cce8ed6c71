import { CniError, Code } from "../../cni/error.ts";
import { isNetlinkError, NetlinkError } from "../../kernel/netlink/error.ts";
import type { Netns } from "../../kernel/netns.ts";
import { getLink, type Link, LinkFlag, setLink } from "../../kernel/rtnetlink/link.ts";
import type { RouteSocket } from "../../kernel/rtnetlink/socket.ts";
import { Attempts } from "../node/attempts.ts";
import type { Before } from "./backup.ts";
import type { LinkTuning, TuningConf } from "./conf.ts";
import { applySysctl, currentValue } from "./sysctl.ts";

/** The namespace that is tuned. */
export interface Place {
  readonly netns: Netns;
  /** A socket in it. */
  readonly rt: RouteSocket;
  readonly ifName: string;
}

/** Of what is to be changed, how it is now. @throws CniError 4 when the interface is not there, 7 for an unknown sysctl */
export function currentState(place: Place, { sysctls, link: wanted }: Pick<TuningConf, "sysctls" | "link">): Before {
  const link = isEmpty(wanted) ? {} : tuningOf(requireLink(place), wanted);
  const values = sysctls.map((order) => [order.key, currentValue(order, place.netns)] as const);
  return {
    link,
    sysctls: Object.fromEntries(values.filter((entry): entry is [string, string] => entry[1] !== undefined)),
  };
}

/** The link's own values of what is asked about. */
export function tuningOf({ mac, mtu, flags, txQueueLength }: Link, asked: LinkTuning): LinkTuning {
  const all: LinkTuning = {
    mac,
    mtu,
    promisc: (flags & LinkFlag.promisc) !== 0,
    allMulticast: (flags & LinkFlag.allMulticast) !== 0,
    txQueueLength,
  };
  return Object.fromEntries(Object.entries(all).filter(([key]) => asked[key as keyof LinkTuning] !== undefined));
}

/** Sets sysctls, then the interface. @returns the interface as it is then; undefined when nothing of it was asked for */
export function tune(place: Place, { sysctls, link }: Pick<TuningConf, "sysctls" | "link">): Link | undefined {
  for (const order of sysctls) applySysctl(order, place.netns);
  if (isEmpty(link)) return undefined;
  try {
    setLink(place.rt, requireLink(place).index, link);
  } catch (error) {
    throw explain(error, place, link);
  }
  return requireLink(place);
}

/**
 * Undoes {@link tune}, as far as the interface is still there. All is tried.
 * @throws AggregateError of what the kernel refuses
 */
export async function restore(place: Place, { link, sysctls }: Before): Promise<void> {
  const { rt, ifName, netns } = place;
  const present = getLink(rt, ifName);
  const attempts = new Attempts();
  if (present !== undefined && !isEmpty(link)) await attempts.try(ifName, () => setLink(rt, present.index, link));
  for (const [key, value] of Object.entries(sysctls)) {
    if (present === undefined && key.split("/").includes(ifName)) continue; // went with it
    await attempts.try(key, () => applySysctl({ name: key, key, value }, netns));
  }
  attempts.finish(`${ifName} is not as it was`);
}

export function isEmpty(link: LinkTuning): boolean {
  return Object.keys(link).length === 0;
}

export function requireLink({ rt, ifName, netns }: Place): Link {
  const link = getLink(rt, ifName);
  if (link !== undefined) return link;
  throw new CniError(
    Code.invalidEnvironment,
    `CNI_IFNAME "${ifName}" does not exist in ${netns.path}; put tuning behind the plugin that makes it`,
  );
}

function explain(
  error: unknown,
  { ifName }: Place,
  { allMulticast: allmulti, txQueueLength: txQLen, ...link }: LinkTuning,
): unknown {
  if (!(error instanceof NetlinkError)) return error;
  const asked = Object.entries({ ...link, allmulti, txQLen })
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}: ${value}`);
  const hint = isNetlinkError(error, "EBUSY") ? "; the driver changes this only while the interface is down" : "";
  const text = `${asked.join(", ")} on ${ifName} is refused by the kernel: ${error.message}${hint}`;
  return new CniError(Code.invalidConfig, text, { cause: error });
}
