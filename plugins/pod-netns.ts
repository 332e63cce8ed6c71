import { isAbsolute } from "node:path";
import { CniError, Code, messageOf } from "../cni/error.ts";
import { isCurrentNetns, type Netns, NotANamespaceError, openNetns } from "../kernel/netns.ts";

/** The part of an attachment that says where the pod is. */
export interface PodPlace {
  /** CNI_NETNS */
  readonly netns: string;
  /** CNI_NETNS_OVERRIDE */
  readonly allowOwnNetns: boolean;
}

/**
 * Opens the namespace that CNI_NETNS names, once: use the descriptor from here on, so that nothing can put another
 * namespace under the path between check and use.
 * @throws CniError 4 when the path is not absolute or there is nothing; 8 when it is no network namespace, or is the one
 * we are in ourselves (unless CNI_NETNS_OVERRIDE allows it).
 */
export function openPodNetns({ netns: path, allowOwnNetns }: PodPlace): Netns {
  if (!isAbsolute(path)) {
    throw new CniError(Code.invalidEnvironment, `CNI_NETNS ${JSON.stringify(path)} is not an absolute path`);
  }
  const netns = open(path);
  if (allowOwnNetns || !isCurrentNetns(netns)) return netns;
  netns[Symbol.dispose]();
  throw new CniError(
    Code.invalidNetns,
    `CNI_NETNS ${JSON.stringify(path)} is the plugin's own network namespace; give the container's, or set CNI_NETNS_OVERRIDE=1`,
  );
}

/** For DEL, which must go on without: undefined when there is no namespace of the pod any more, for whatever reason. */
export function findPodNetns(place: Partial<PodPlace>): Netns | undefined {
  if (place.netns === undefined) return undefined;
  try {
    return openPodNetns({ netns: place.netns, allowOwnNetns: place.allowOwnNetns ?? false });
  } catch (error) {
    if (error instanceof CniError) return undefined;
    throw error;
  }
}

/** What the plugin host asks before it calls a plugin. @throws CniError as {@link openPodNetns} */
export function checkPodNetns(path: string, { allowOwn }: { readonly allowOwn: boolean }): void {
  openPodNetns({ netns: path, allowOwnNetns: allowOwn })[Symbol.dispose]();
}

function open(path: string): Netns {
  try {
    return openNetns(path);
  } catch (error) {
    if (error instanceof NotANamespaceError) {
      const code = error.reason === "missing" ? Code.invalidEnvironment : Code.invalidNetns;
      throw new CniError(code, `CNI_NETNS ${error.message}`);
    }
    throw new CniError(
      Code.invalidEnvironment,
      `CNI_NETNS ${JSON.stringify(path)} cannot be opened: ${messageOf(error)}`,
      { cause: error },
    );
  }
}
