// For tests: a temporary data folder, and file operations that can be counted and made to crash.
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import type { AttachmentId } from "../cni/attachment.ts";
import { parseAddress } from "../net/address.ts";
import { parseNetwork } from "../net/prefix.ts";
import { allocate, type Lease, type RequestedAddress } from "./allocator.ts";
import type { Boot, DiskOptions, DiskStore, Reservations } from "./disk.ts";
import type { FileOps } from "./files.ts";
import { withReservations } from "./one-shot.ts";
import { makeRange, type RangeSet } from "./range.ts";
import { ResidentReservations } from "./resident.ts";

export const BOOT: Boot = { id: "11111111-1111-4111-8111-111111111111" };
export const NEXT_BOOT: Boot = { id: "22222222-2222-4222-8222-222222222222" };

/** No test pulls the plug. */
const FILES: FileOps = { ...fs, fsyncSync() {} };

/** The process died. */
export class Crash extends Error {}

/** File operations that do what `before` and `after` say around the real ones. */
export function watchedFiles(before: (name: string) => void, after: (name: string) => void): FileOps {
  return new Proxy(fs, {
    get(target, name: keyof FileOps) {
      return (...args: never[]) => {
        if (name !== "closeSync") before(name); // the kernel closes what a dead process had open
        const result = (target[name] as (...args: never[]) => unknown)(...args);
        after(name);
        return result;
      };
    },
  });
}

/** File operations that are counted by name. */
export function countedFiles(): { readonly files: FileOps; readonly counts: Map<string, number>; total(): number } {
  const counts = new Map<string, number>();
  const files = watchedFiles(
    (name) => void counts.set(name, (counts.get(name) ?? 0) + 1),
    () => {},
  );
  return { files, counts, total: () => [...counts.values()].reduce((sum, count) => sum + count, 0) };
}

/** File operations after the `steps`-th of which the process is dead: nothing is done any more. */
export function crashingFiles(steps: number): { readonly files: FileOps; crashed(): boolean } {
  let left = steps;
  const files = watchedFiles(
    () => {
      if (left <= 0) throw new Crash();
    },
    () => {
      left--;
      if (left <= 0) throw new Crash();
    },
  );
  return { files, crashed: () => left <= 0 };
}

/** Who calls: a process of one call each, or one that stays. */
export const HOSTS = ["one-shot", "resident"] as const;
export type Host = (typeof HOSTS)[number];

export interface Caller {
  use<T>(use: (store: DiskStore) => T, changes?: Partial<DiskOptions>): T;
  add(id: AttachmentId, changes?: Partial<DiskOptions>, requested?: readonly RequestedAddress[]): readonly Lease[];
  del(id: AttachmentId, changes?: Partial<DiskOptions>): void;
  /** Brings the index on disk up to date. */
  flush(): void;
}

export interface Fixture extends Caller {
  readonly dataDir: string;
  /** The network's folder. */
  readonly folder: string;
  readonly warnings: string[];
  options(changes?: Partial<DiskOptions>): DiskOptions;
  /** Another process that calls. */
  caller(host: Host): Caller;
  /** Address files with their content. */
  onDisk(): Record<string, string>;
}

/** An empty data folder for network `net`, removed after the test, and one who calls. */
export function makeFixture(
  t: { teardown(run: () => void): void },
  sets: readonly RangeSet[],
  host: Host = "one-shot",
): Fixture {
  const inMemory = "/dev/shm"; // the crash tests make thousands of folders
  const dataDir = fs.mkdtempSync(join(fs.existsSync(inMemory) ? inMemory : tmpdir(), "podwire-ipam-"));
  t.teardown(() => fs.rmSync(dataDir, { recursive: true, force: true }));
  const folder = join(dataDir, "net");
  const warnings: string[] = [];
  const options = (changes: Partial<DiskOptions> = {}): DiskOptions => ({
    dataDir,
    network: "net",
    files: FILES,
    lock: (path) => {
      fs.closeSync(fs.openSync(path, "a", 0o600));
      return { [Symbol.dispose]() {} };
    },
    boot: BOOT,
    now: Date.now,
    warn: (message) => void warnings.push(message),
    ...changes,
  });
  const caller = (kind: Host): Caller => {
    const resident = new ResidentReservations((message) => void warnings.push(message));
    const reservations: Reservations =
      kind === "one-shot" ? withReservations : (given, create, use) => resident.use(given, create, use);
    const use = <T>(use: (store: DiskStore) => T, changes?: Partial<DiskOptions>): T =>
      reservations(options(changes), true, use) as T;
    return {
      use,
      add: (attachment, changes, requested = []) =>
        use((store) => allocate({ sets, store, attachment, requested }), changes),
      del: (attachment, changes) => void reservations(options(changes), false, (store) => store.releaseAll(attachment)),
      flush: () => resident.flush(),
    };
  };
  return {
    ...caller(host),
    dataDir,
    folder,
    warnings,
    options,
    caller,
    onDisk() {
      const names = fs.readdirSync(folder).filter((name) => /^[0-9a-f.:]+$/.test(name));
      return Object.fromEntries(names.sort().map((name) => [name, fs.readFileSync(join(folder, name), "utf8")]));
    },
  };
}

/** Runs the test with a process of one call each, and with one that stays. */
export function withEachHost(
  t: Test,
  name: string,
  sets: readonly RangeSet[],
  body: (t: Test, f: Fixture, host: Host) => void,
): void {
  for (const host of HOSTS) {
    t.test(`${name} (${host})`, async (t) => body(t, makeFixture(t, sets, host), host));
  }
}

/** A set of one range, such as `10.22.0.0/24` or `10.22.0.0/24 10.22.0.10-10.22.0.12`. */
export function rangeSetOf(text: string): RangeSet {
  const [subnet = "", span] = text.split(" ");
  const [rangeStart, rangeEnd] = span?.split("-").map(parseAddress) ?? [];
  return [makeRange({ subnet: parseNetwork(subnet), rangeStart, rangeEnd, path: "test" })];
}

export function attachment(containerId: string, ifName = "eth0"): AttachmentId {
  return { containerId, ifName };
}
