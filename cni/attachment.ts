import { CniError, Code } from "./error.ts";

/** What makes an attachment unique within a network. */
export interface AttachmentId {
  /** CNI_CONTAINERID */
  readonly containerId: string;
  /** CNI_IFNAME */
  readonly ifName: string;
}

/** One interface of one container, as the runtime names it. */
export interface Attachment extends AttachmentId {
  /** CNI_NETNS, a path. Absent on DEL when the runtime gave none, or gave one that is no other network namespace any more. */
  readonly netns?: string;
  /** CNI_ARGS */
  readonly args: Readonly<Record<string, string>>;
  /** CNI_PATH, absolute folders in which to look for delegates. */
  readonly path: readonly string[];
  /** CNI_NETNS_OVERRIDE: CNI_NETNS may be the plugin's own namespace. */
  readonly allowOwnNetns: boolean;
}

/** As libcni checks container identifiers and network names. */
const IDENTIFIER = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** IFNAMSIZ of <linux/if.h> without the final zero byte. */
const LONGEST_INTERFACE_NAME = 15;

/**
 * Checks a container identifier.
 * @throws CniError 3 when it is empty, 4 when it holds other characters than letters, digits, `_`, `.` and `-`.
 */
export function checkContainerId(containerId: string): void {
  if (containerId === "") throw new CniError(Code.unknownContainer, "CNI_CONTAINERID is empty");
  if (IDENTIFIER.test(containerId)) return;
  throw new CniError(
    Code.invalidEnvironment,
    `CNI_CONTAINERID ${JSON.stringify(containerId)} must begin with a letter or digit and hold only letters, digits, "_", "." and "-"`,
  );
}

/**
 * Checks an interface name as the kernel's dev_valid_name() and dev_alloc_name() do.
 * @throws CniError 4
 */
export function checkInterfaceName(ifName: string): void {
  const problem = interfaceNameProblem(ifName);
  if (problem === undefined) return;
  throw new CniError(Code.invalidEnvironment, `CNI_IFNAME ${JSON.stringify(ifName)} ${problem}`);
}

/** What is wrong with an interface name, or undefined when nothing is. */
export function interfaceNameProblem(ifName: string): string | undefined {
  if (ifName === "") return "is empty";
  if (Buffer.byteLength(ifName) > LONGEST_INTERFACE_NAME) return `is longer than ${LONGEST_INTERFACE_NAME} bytes`;
  if (ifName === "." || ifName === "..") return "is not an interface name";
  if (ifName.includes("%")) return 'holds "%", for which the kernel would choose a number';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[/:\s\u0000-\u001f\u007f\u0085]/u.test(ifName)) return `holds "/", ":", a space or a control character`;
  return undefined;
}

/**
 * Checks a network name.
 * @throws CniError 7
 */
export function checkNetworkName(name: string): void {
  if (IDENTIFIER.test(name)) return;
  throw new CniError(
    Code.invalidConfig,
    `name ${JSON.stringify(name)} must begin with a letter or digit and hold only letters, digits, "_", "." and "-"`,
  );
}

/** Whether a container identifier or network name is well formed. */
export function isIdentifier(text: string): boolean {
  return IDENTIFIER.test(text);
}
