import type { Call } from "../call.ts";
import { JournalWriter } from "../writer.ts";

/** The n-th of many calls that differ. */
export function callNumber(n: number, more: Partial<Call> = {}): Call {
  return {
    startedAt: 1_700_000_000_000 + n,
    plugin: "bridge",
    verb: "ADD",
    network: "default",
    containerId: n.toString(16).padStart(64, "c"),
    ifName: "eth0",
    pod: { namespace: "shop", name: `web-${n}` },
    code: 0,
    phases: { queue: 0.012, ipam: 0.2, link: 1.1 },
    ms: 1.5,
    addresses: [`10.244.${(n >> 8) & 255}.${n & 255}/16`],
    ...more,
  };
}

/** A writer that keeps what it would have logged. */
export function openWriter(
  path: string,
  capacity?: number,
  now?: () => number,
): { writer: JournalWriter; warnings: string[] } {
  const warnings: string[] = [];
  const log = {
    warn: (_: string, fields?: Readonly<Record<string, unknown>>) => void warnings.push(String(fields?.error)),
  };
  const writer = new JournalWriter(path, {
    log,
    ...(capacity === undefined ? {} : { capacity }),
    ...(now === undefined ? {} : { now }),
  });
  return { writer, warnings };
}
