import * as fs from "node:fs";
import { uptime } from "node:os";
import type { NetConf } from "../../cni/conf.ts";
import type { StatusRequest } from "../../cni/plugin.ts";
import type { Boot, DiskOptions, Reservations } from "../../ipam/disk.ts";
import { withReservations } from "../../ipam/one-shot.ts";
import { ResidentReservations } from "../../ipam/resident.ts";
import { openLock } from "../../kernel/flock.ts";
import { decodeConf, type HostLocalConf } from "./conf.ts";
import { makeConfDecoder } from "./conf-memory.ts";

/** What the plugin uses of the machine it runs on; tests bring their own. */
export interface Machine extends Pick<DiskOptions, "files" | "lock" | "now"> {
  readonly boot: () => Boot;
  readonly reservations: Reservations;
  readonly decodeConf: (conf: NetConf) => HostLocalConf;
}

/** A machine of a process that stays: it keeps the index of the networks in use in memory. */
export interface ResidentMachine extends Machine, Disposable {
  /**
   * Writes to disk what is in memory alone, so that whoever comes next need not read a whole folder; to be called when there were no
   * calls for a moment. Never throws. Disposing does it too.
   */
  flush(): void;
}

/** How far /run's age and the kernel's may differ for the clock to count as untouched since the boot. */
const CLOCK_TOLERANCE_MS = 60_000;

/** The machine itself. */
export const thisMachine: Machine = {
  files: fs,
  lock: openLock,
  now: Date.now,
  boot: currentBoot,
  reservations: withReservations,
  decodeConf,
};

/**
 * The machine for a process that stays and is alone with its networks most of the time, as the agent is. A boot outlives it, so
 * that is read once.
 * @param warn told of an index that could not be written, which costs a scan later and nothing else
 */
export function makeResidentMachine(warn: DiskOptions["warn"], machine: Machine = thisMachine): ResidentMachine {
  const resident = new ResidentReservations(warn);
  const boot = machine.boot();
  return {
    ...machine,
    boot: () => boot,
    decodeConf: makeConfDecoder(),
    reservations: (options, create, use) => resident.use(options, create, use),
    flush: () => resident.flush(),
    [Symbol.dispose]: () => resident[Symbol.dispose](),
  };
}

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
