import { updateFile } from "./state-file.ts";

/** Every version that our plugins speak; runtimes choose the highest that they know (CNI 1.1.0, "Version considerations"). */
const CNI_VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

/** The list to write, and where. */
export interface Conflist {
  readonly path: string;
  readonly network: string;
  /** The node's bridge; the plugin's own name for it when absent. */
  readonly bridge?: string | undefined;
}

/**
 * The network configuration list of an overlay network. `cniVersion` is 1.0.0 because containerd 1.x and podman 4 refuse
 * a list that says 1.1.0; newer runtimes find 1.1.0 in `cniVersions`.
 */
export function overlayConflist({ network, bridge }: Omit<Conflist, "path">): string {
  const list = {
    cniVersion: "1.0.0",
    cniVersions: CNI_VERSIONS,
    name: network,
    plugins: [{ type: "vxlan-overlay", ...(bridge && { bridge }), capabilities: { ips: true, mac: true } }],
  };
  return `${JSON.stringify(list, null, 2)}\n`;
}

/** Puts the list where runtimes look, atomically; answers whether it changed. Called only when ADD will succeed. */
export function writeConflist(conflist: Conflist): boolean {
  return updateFile(conflist.path, overlayConflist(conflist), 0o644);
}
