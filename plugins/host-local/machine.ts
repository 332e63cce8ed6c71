import * as fs from "node:fs";
import { uptime } from "node:os";
import type { StatusRequest } from "../../cni/plugin.ts";
import type { Boot, DiskOptions } from "../../ipam/disk.ts";
import { openLock } from "../../kernel/flock.ts";

/** What the plugin uses of the machine it runs on; tests bring their own. */
export interface Machine extends Pick<DiskOptions, "files" | "lock" | "now"> {
  readonly boot: () => Boot;
}

/** How far /run's age and the kernel's may differ for the clock to count as untouched since the boot. */
const CLOCK_TOLERANCE_MS = 60_000;

/** The machine itself. */
export const thisMachine: Machine = { files: fs, lock: openLock, now: Date.now, boot: currentBoot };

/** The options that open the reservations of the request's network. */
export function diskOptions(machine: Machine, { conf, log }: StatusRequest, dataDir: string): DiskOptions {
  const { files, lock, now } = machine;
  const warn: DiskOptions["warn"] = (message, details) => log.warn(message, details);
  return { dataDir, network: conf.name, files, lock, now, boot: machine.boot(), warn };
}

function currentBoot(): Boot {
  const id = fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return { id, startedAt: trustedBootTime() };
}

/**
 * When the machine started, if its clock has not been set since: /run is made early in a boot, so it is as old as the
 * kernel unless the clock jumped, as it does on boards that have none of their own. Undefined otherwise.
 */
function trustedBootTime(): number | undefined {
  const startedAt = Date.now() - uptime() * 1000;
  try {
    const made = fs.statSync("/run").birthtimeMs;
    return Math.abs(made - startedAt) < CLOCK_TOLERANCE_MS ? Math.min(made, startedAt) - CLOCK_TOLERANCE_MS : undefined;
  } catch {
    return undefined; // no /run: nothing to compare with
  }
}
