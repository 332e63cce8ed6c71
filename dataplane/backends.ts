import { existsSync } from "node:fs";
import { createNetns, inNetns } from "../kernel/netns.ts";
import { addLink } from "../kernel/rtnetlink/link.ts";
import { openRoute } from "../kernel/rtnetlink/socket.ts";
import type { TunnelDevice } from "../overlay/state.ts";

type KernelDevice = Exclude<TunnelDevice, { readonly kind: "ovs" }>;

/** A device of the kind that a backend needs; none: it needs no device. */
const NEEDS: Readonly<Record<string, KernelDevice | undefined>> = {
  "vxlan/flow": { kind: "vxlan", vxlan: { collectMetadata: true, gpe: true, port: 4790, learning: false } },
  "vxlan/static": { kind: "vxlan", vxlan: { id: 1, port: 8472, learning: false } },
  "gre/flow": { kind: "gre", gre: { collectMetadata: true } },
  "gre/static": { kind: "gre", gre: { collectMetadata: true } },
  "ipip/flow": { kind: "ipip", ipip: { collectMetadata: true } },
  "ipip/static": { kind: "ipip", ipip: { collectMetadata: true } },
  wireguard: { kind: "wireguard" },
  "host-gw": undefined,
};

/** With an Open vSwitch that runs, whatever the kernel has. */
const OVS_BACKENDS = ["ovs/flow", "ovs/static", "ovs/both"] as const;

/** The names of the backends that this node can do: those of its kernel, and those of its Open vSwitch when the database's socket is there. */
export function nodeBackends(kernel: readonly string[], ovsdb: string): string[] {
  return [...kernel, ...(existsSync(ovsdb) ? OVS_BACKENDS : [])];
}

/** The names of the backends that this kernel can do, `vxlan/flow` for instance: tried in a network namespace of its own, which then goes. */
export function availableBackends(): string[] {
  using netns = createNetns();
  return inNetns(netns, () => {
    using rt = openRoute();
    return Object.entries(NEEDS).flatMap(([name, device], i) => {
      try {
        if (device !== undefined) addLink(rt, { name: `probe${i}`, ...device });
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "EOPNOTSUPP") return [];
        if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
      }
      return [name];
    });
  });
}
