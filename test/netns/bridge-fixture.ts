import { writeFileSync } from "node:fs";
import { delimiter } from "node:path";
import { BIN, type Called, type Node } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

export const RANGE_4 = [{ subnet: "10.22.0.0/16" }] as const;
export const RANGE_6 = [{ subnet: "fd00:22::/64" }] as const;

/** A dual-stack bridge network with everything that leaves a trace. */
export const FULL = {
  type: "bridge",
  cniVersion: "1.1.0",
  name: "test",
  isDefaultGateway: true,
  ipMasq: true,
  macspoofchk: true,
  ipam: { type: "host-local", ranges: [RANGE_4, RANGE_6] },
} as const;

export const bridgeConf = (keys: object = {}) => ({ ...FULL, ipMasq: false, macspoofchk: false, ...keys });

/** The result of an ADD that succeeds. @throws Error with the answer otherwise */
export async function attach(node: Node, pod: Pod, conf: object, env: Record<string, string> = {}): Promise<Attached> {
  return result(await node.cni("ADD", pod, conf, env));
}

export interface Attached {
  readonly interfaces: readonly {
    readonly name: string;
    readonly mac: string;
    readonly sandbox?: string;
    mtu?: number;
  }[];
  readonly ips: readonly { readonly address: string; readonly gateway?: string; readonly interface?: number }[];
  readonly routes: readonly object[];
}

export function result(called: Called): Attached {
  if (called.code !== 0) throw new Error(`exit ${called.code}: ${called.stdout}${called.stderr}`);
  return { interfaces: [], ips: [], routes: [], ...called.json } as unknown as Attached;
}

export async function detach(node: Node, pod: Pod, conf: object): Promise<void> {
  result(await node.cni("DEL", pod, conf));
}

/** GC with exactly these valid attachments. */
export async function collect(node: Node, valid: readonly Pod[], conf: object): Promise<Called> {
  const list = valid.map(({ containerId }) => ({ containerID: containerId, ifname: "eth0" }));
  return await node.runtime.call("GC", undefined, { name: "test", ...conf, "cni.dev/valid-attachments": list });
}

/** The address of the pod in the family, without its length. */
export function addressOf({ ips }: Attached, family: 4 | 6): string {
  const found = ips
    .map(({ address }) => address.split("/")[0] ?? "")
    .find((text) => text.includes(":") === (family === 6));
  if (found === undefined) throw new Error(`no IPv${family} address in ${JSON.stringify(ips)}`);
  return found;
}

/** The node's kernel state, without IPAM's files, which are IPAM's affair. */
export function kernelState(node: Node): Promise<string> {
  return node.snapshot({ files: false });
}

/**
 * An IPAM plugin of the test's own: a shell script in the node. ADD runs `add` and prints the answer, and every verb is
 * noted in /run/ipam/log.
 */
export async function fakeIpam(node: Node, answer: object, add = ":"): Promise<Record<string, string>> {
  await node.sh("mkdir -p /run/ipam && rm -f /run/ipam/log");
  const script = `#!/bin/sh
echo "$CNI_COMMAND" >> /run/ipam/log
cat > /dev/null
[ "$CNI_COMMAND" = ADD ] || exit 0
${add}
cat <<'ANSWER'
${JSON.stringify({ cniVersion: "1.0.0", ...answer })}
ANSWER
`;
  writeFileSync(node.path("/run/ipam/fake"), script, { mode: 0o755 });
  return { CNI_PATH: [BIN, "/run/ipam"].join(delimiter) };
}

export async function ipamCalls(node: Node): Promise<string> {
  return (await node.sh("cat /run/ipam/log 2>/dev/null || true")).trim().replaceAll("\n", " ");
}

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
