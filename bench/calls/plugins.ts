import { existsSync } from "node:fs";
import { join } from "node:path";
import { quantile } from "../measure.ts";
import type { Launcher } from "./launcher.ts";
import { type Attachment, addAndDelete, bridgeNetwork, calls, type Stand } from "./stand.ts";
import type { Typical } from "./table.ts";

/** A plugin, and how it is called. */
export interface PluginCase {
  /** Keys of the configuration for the i-th pod. */
  readonly conf: (i: number) => object;
  /** Stands behind `bridge` in a chain, whose calls are not measured. */
  readonly chained?: true;
  readonly ifName?: string;
  /** Words of `ip link add NAME …` that only a kernel with such links takes. */
  readonly needs?: string;
  /** What the node needs for the i-th pod, as words of `ip -batch`, and how that is taken away. */
  readonly before?: (i: number) => string;
  readonly after?: (i: number) => string;
}

const ipam = { type: "host-local", subnet: "10.30.0.0/16" } as const;
const LOWER = { master: "eth0", ipam } as const;
const RATE = { ingressRate: 80_000_000, ingressBurst: 8_000_000, egressRate: 80_000_000, egressBurst: 8_000_000 };

/** By name. `dhcp` is not here: it measures a server. */
export const PLUGINS: Readonly<Record<string, PluginCase>> = {
  bridge: { conf: () => ({ bridge: "br-bench", isGateway: true, ipam }) },
  ptp: { conf: () => ({ ipam }) },
  macvlan: { conf: () => LOWER, needs: "link eth0 type macvlan" },
  ipvlan: { conf: () => LOWER, needs: "link eth0 type ipvlan" },
  vlan: { conf: (i) => ({ ...LOWER, vlanId: i + 1 }), needs: "link eth0 type vlan id 5" },
  "host-device": {
    conf: (i) => ({ device: `hd${i}`, ipam }),
    before: (i) => `link add hd${i} type veth peer name hp${i}`,
    after: (i) => `link del hd${i}`,
  },
  tap: { conf: () => ({ ipam }) },
  dummy: { conf: () => ({ ipam }), needs: "type dummy" },
  loopback: { conf: () => ({}), ifName: "lo" },
  "host-local": { conf: () => ({ ipam }) },
  static: { conf: () => ({ ipam: { type: "static", addresses: [{ address: "10.30.0.5/16" }] } }) },
  portmap: {
    conf: (i) => ({ runtimeConfig: { portMappings: [{ hostPort: 20_000 + i, containerPort: 80, protocol: "tcp" }] } }),
    chained: true,
  },
  firewall: { conf: () => ({}), chained: true },
  bandwidth: { conf: () => RATE, chained: true },
  tuning: { conf: () => ({ sysctl: { "net.core.somaxconn": "512" }, mtu: 1400 }), chained: true },
  sbr: { conf: () => ({}), chained: true },
  vrf: { conf: () => ({ vrfname: "blue" }), chained: true, needs: "type vrf table 10" },
};

/** Why it cannot be measured here; undefined when it can. */
export async function obstacle(name: string, stands: readonly [Stand, Stand]): Promise<string | undefined> {
  const lacking = stands.find(({ bin }) => !existsSync(join(bin, name)));
  if (lacking !== undefined) return `${lacking.side === "ours" ? "podwire" : "the peer"} has none`;
  const words = PLUGINS[name]?.needs;
  if (words === undefined) return undefined;
  const probe = `ip link add probe0 ${words} && ip link del probe0`;
  const { code } = await stands[0].node.run(["sh", "-c", probe]);
  return code === 0 ? undefined : "this kernel has no such links";
}

export interface Measured {
  readonly ADD: Readonly<Record<"ours" | "peer", Typical>>;
  readonly DEL: Readonly<Record<"ours" | "peer", Typical>>;
}

/** So many calls of each side go first, uncounted: the agent's compiler sees the plugin's code. */
const WARM_UP = 20;

/** `runs` ADDs and DELs of each side, who takes turns call by call; who is first changes from pod to pod. */
export async function measurePlugin(
  launcher: Launcher,
  stands: readonly [Stand, Stand],
  name: string,
  runs: number,
): Promise<Measured> {
  const samples = {
    ADD: { ours: [] as number[], peer: [] as number[] },
    DEL: { ours: [] as number[], peer: [] as number[] },
  };
  const most = Math.min(...stands.map(({ pods }) => pods.length));
  await around(launcher, stands, name, Math.min(WARM_UP, runs, most));
  for (let done = 0; done < runs; done += most) {
    const round = await around(launcher, stands, name, Math.min(most, runs - done));
    for (const { side, ADD, DEL } of round) {
      samples.ADD[side].push(ADD);
      samples.DEL[side].push(DEL);
    }
  }
  const of = ({ ours, peer }: (typeof samples)["ADD"]) => ({ ours: typical(ours), peer: typical(peer) });
  return { ADD: of(samples.ADD), DEL: of(samples.DEL) };
}

function typical(values: readonly number[]): Typical {
  return { median: quantile(values), quick: quantile(values, 0.1) };
}

/** One round: what goes before, ADDs, DELs, what goes after. */
async function around(launcher: Launcher, stands: readonly [Stand, Stand], name: string, pods: number) {
  const plugin = PLUGINS[name];
  if (plugin === undefined) throw new Error(`there is no plugin ${name} to measure`);
  const order = Array.from({ length: pods }, (_, i) => i).flatMap((i) =>
    (i % 2 === 0 ? stands : stands.toReversed()).map((stand) => ({ stand, i, pod: stand.pods[i] ?? "" })),
  );
  const batch = async (words: ((i: number) => string) | undefined) => {
    if (words === undefined) return;
    const input = Array.from({ length: pods }, (_, i) => `${words(i)}\n`).join("");
    for (const { node } of stands) await node.runOk(["ip", "-batch", "-"], { input });
  };
  const base: Attachment[] =
    plugin.chained === undefined
      ? []
      : order.map(({ stand, pod }) => ({ stand, pod, network: bridgeNetwork("base", ["10.31.0.0/16"]) }));
  await batch(plugin.before);
  const based = base.length === 0 ? [] : await calls(launcher, base, "ADD", []);
  const attachments = order.map(({ stand, i, pod }, n): Attachment => {
    const prevResult = based[n] === undefined ? {} : { prevResult: JSON.parse(based[n].stdout) };
    const conf = { cniVersion: "1.0.0", name: `bench-${name}`, type: name, ...plugin.conf(i), ...prevResult };
    return { stand, pod, network: { conf, ...(plugin.ifName && { ifName: plugin.ifName }) } };
  });
  const ended = await addAndDelete(launcher, attachments);
  if (base.length > 0) await calls(launcher, base, "DEL", based);
  await batch(plugin.after);
  return order.map(({ stand }, n) => ({
    side: stand.side,
    ADD: ended.ADD[n]?.milliseconds ?? Number.NaN,
    DEL: ended.DEL[n]?.milliseconds ?? Number.NaN,
  }));
}
