import type { Interface, IpConfig, Result } from "../../cni/result.ts";

/** Whether it is the attachment's interface, and not one of the host's that has the same name. */
function isPods({ name, sandbox }: Interface, ifName: string): boolean {
  return name === ifName && sandbox !== undefined && sandbox !== "";
}

/** The links of the host that the chain made for the attachment: bridge, host's end of a veth. */
export function hostInterfaces({ interfaces }: Result): readonly Interface[] {
  return interfaces.filter(({ sandbox }) => sandbox === undefined || sandbox === "");
}

/**
 * The addresses of the attachment's interface. Those that name no interface are taken for its own: versions before 0.3.0
 * cannot name one.
 */
export function ownIps({ ips, interfaces }: Result, ifName: string): readonly IpConfig[] {
  return ips.filter(({ interface: index }) => {
    const owner = index === undefined ? undefined : interfaces[index];
    return owner === undefined || isPods(owner, ifName);
  });
}

/** The result with these keys of the attachment's interface changed. */
export function withInterface(
  result: Result,
  ifName: string,
  changed: Partial<Pick<Interface, "mac" | "mtu">>,
): Result {
  return {
    ...result,
    interfaces: result.interfaces.map((each) => (isPods(each, ifName) ? { ...each, ...changed } : each)),
  };
}
