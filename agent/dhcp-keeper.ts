import { type FSWatcher, statSync, watch } from "node:fs";
import type { Logger } from "pino";
import { messageOf } from "../cni/error.ts";
import { Extension } from "../dhcp/conversation.ts";
import { type Duty, dutyOf, overdue } from "../dhcp/duty.ts";
import type { LeaseRecord } from "../dhcp/record.ts";
import { deleteAddress } from "../kernel/rtnetlink/address.ts";
import { prefixAddress } from "../net/prefix.ts";
import { converse, type Ended } from "../plugins/dhcp/converse.ts";
import { fileOf, isLeaseFile } from "../plugins/dhcp/lease-folder.ts";
import type { DhcpMachine } from "../plugins/dhcp/machine.ts";
import { type PodLink, reopenPodLink } from "../plugins/dhcp/pod-link.ts";

/** How long an answer is waited for; the next try has its own time (RFC 2131 section 4.4.5). */
const ANSWER_MS = 10_000;
/** Leases that are spoken for at the same time. A node whose pods started together has them due together. */
const MOST_AT_ONCE = 8;
/** setTimeout knows no longer one. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** A plugin that looks whether leases are kept holds the lock for a moment. */
const LOCK_RETRY_MS = 1_000;

interface Kept {
  readonly record: LeaseRecord;
  /** When the last try began, of those since it was granted, which all got nothing. */
  triedAt: number | undefined;
  busy: boolean;
}

/**
 * Renews the DHCP leases of this node's pods, whoever got them, and takes an address away from the pod when its lease is
 * lost: another machine may have it then. Follows the folder of leases by inotify; one timer is set to the earliest duty.
 */
export class LeaseKeeper {
  readonly #machine: DhcpMachine;
  readonly #log: Logger;
  readonly #onChange: () => void;
  readonly #kept = new Map<string, Kept>();
  #lock: Disposable | undefined;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Of {@link start}. */
  #retry: NodeJS.Timeout | undefined;
  /** Names that inotify told since they were looked at. */
  readonly #changed = new Set<string>();
  #busy = 0;
  #stopped = false;

  /** @param onChange told when leases come, go or are lost */
  constructor(machine: DhcpMachine, log: Logger, onChange: () => void) {
    this.#machine = machine;
    this.#log = log;
    this.#onChange = onChange;
  }

  /** Takes up all leases that are there. What cannot be done is logged, and tried again. */
  start(): void {
    if (this.#stopped) return;
    const { leases } = this.#machine;
    try {
      this.#lock ??= leases.keep();
      this.#follow();
      if (this.#lock !== undefined) {
        this.#look([...new Set([...this.#kept.keys(), ...leases.files()])]);
        return;
      }
      this.#log.warn({ folder: leases.path }, "another process renews the DHCP leases; waiting for its end");
    } catch (error) {
      this.#log.error({ err: error, folder: leases.path }, "the DHCP leases cannot be read");
    }
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.start(), LOCK_RETRY_MS);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    this.#watcher?.close();
    this.#lock?.[Symbol.dispose]();
  }

  /** A sentence for each lease that is lost; undefined when there are no leases at all. */
  lost(): readonly string[] | undefined {
    if (this.#kept.size === 0) return undefined;
    return [...this.#kept.values()].flatMap(({ record: { lost, address, network, containerId, ifName } }) =>
      lost === undefined ? [] : [`${address} of ${ifName} of ${containerId} in network ${network}: ${lost}`],
    );
  }

  #follow(): void {
    this.#watcher?.close();
    const { path } = this.#machine.leases;
    const { ino } = statSync(path);
    const watcher = watch(path, (_, file) => {
      if (this.#changed.size === 0) setImmediate(() => this.#lookAtChanges(ino));
      this.#changed.add(file ?? "");
    });
    watcher.on("error", (error) => this.#log.error({ err: error, folder: path }, "the DHCP leases cannot be followed"));
    this.#watcher = watcher;
  }

  #lookAtChanges(ino: number): void {
    const files = [...this.#changed].filter(isLeaseFile);
    this.#changed.clear();
    if (this.#stopped || this.#lock === undefined) return;
    if (isFolder(this.#machine.leases.path, ino)) {
      if (files.length > 0) this.#look(files);
      return;
    }
    this.#lock[Symbol.dispose]();
    this.#lock = undefined;
    this.start(); // the folder is another one, or made anew now
  }

  /** Reads these files. A lease that is as it was keeps its state. */
  #look(files: readonly string[]): void {
    let news = false;
    for (const file of files) {
      const read = this.#machine.leases.readFile(file);
      const known = this.#kept.get(file);
      if (read === undefined || "problem" in read) {
        if (read !== undefined) this.#log.warn(read, "a DHCP lease cannot be read");
        news = this.#kept.delete(file) || news;
      } else if (known === undefined || !sameGrant(known.record, read)) {
        this.#kept.set(file, { record: read, triedAt: undefined, busy: known?.busy ?? false });
        news = true;
      }
    }
    this.#schedule();
    if (news) this.#onChange();
  }

  /** Does what is due, and sets the timer to what comes next. */
  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    const now = this.#machine.now();
    let next = Number.POSITIVE_INFINITY;
    for (const [file, kept] of this.#kept) {
      const duty = kept.busy || kept.record.lost !== undefined ? undefined : dutyOf(kept.record, kept.triedAt);
      if (duty === undefined) continue;
      if (duty.at > now) next = Math.min(next, duty.at);
      else if (this.#busy < MOST_AT_ONCE) void this.#serve(file, kept, overdue(duty, kept.record, now));
    }
    if (next === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#schedule(), Math.min(next - now + 1, LONGEST_TIMER_MS));
  }

  async #serve(file: string, kept: Kept, what: Duty["what"]): Promise<void> {
    const startedAt = this.#machine.now();
    kept.busy = true;
    this.#busy += 1;
    try {
      await this.#fulfil(kept, what);
    } catch (error) {
      kept.triedAt = startedAt; // T2 may have come meanwhile
      this.#log.warn({ ...nameOf(kept.record), error: messageOf(error) }, "a DHCP lease could not be renewed yet");
    }
    this.#busy -= 1;
    const present = this.#kept.get(file); // another one when the file was written meanwhile
    if (present !== undefined) present.busy = false;
    this.#schedule();
  }

  async #fulfil(kept: Kept, what: Duty["what"]): Promise<void> {
    const { record } = kept;
    using link = reopenPodLink(record);
    if (what === "expire") return this.#lose(record, link, "it ended, and no DHCP server had given it more time");
    if (link === undefined) throw new Error("its interface is not there any more");
    const { outcome, serverMac } = await this.#ask(record, link, what);
    if ("terms" in outcome) return this.#renewed(record, { ...outcome.terms, serverMac });
    if (outcome.refused) return this.#lose(record, link, outcome.problem);
    throw new Error(outcome.problem);
  }

  async #ask(record: LeaseRecord, link: PodLink, what: "renew" | "rebind"): Promise<Ended> {
    const { client, address, server, serverMac, rebindAt = 0, expiresAt = 0 } = record;
    const { random } = this.#machine;
    const now = this.#machine.now();
    const subject = { address: prefixAddress(address), server: what === "renew" ? server : undefined };
    const timeoutMs = Math.min(ANSWER_MS, (what === "renew" ? rebindAt : expiresAt) - now);
    return await converse(link, this.#machine, new Extension(client, subject, { timeoutMs, random, now }), serverMac);
  }

  #renewed(
    record: LeaseRecord,
    {
      server,
      serverMac,
      renewAt,
      rebindAt,
      expiresAt,
    }: Pick<LeaseRecord, "server" | "serverMac" | "renewAt" | "rebindAt" | "expiresAt">,
  ): void {
    const fresh = { ...record, server, serverMac, renewAt, rebindAt, expiresAt };
    if (!this.#machine.leases.update(record, fresh)) return; // DEL was quicker
    this.#kept.set(fileOf(record), { record: fresh, triedAt: undefined, busy: true });
    const seconds = expiresAt === undefined ? undefined : Math.round((expiresAt - this.#machine.now()) / 1000);
    this.#log.info({ ...nameOf(record), server, seconds }, "a DHCP lease was renewed");
  }

  /** Nobody may use an address whose lease has ended (RFC 2131 section 4.4.5). */
  #lose(record: LeaseRecord, link: PodLink | undefined, reason: string): void {
    const { leases } = this.#machine;
    if (link === undefined) {
      leases.remove(record);
      this.#log.info(nameOf(record), "a DHCP lease ended after its interface was gone");
      return;
    }
    const lost = { ...record, lost: reason };
    if (!leases.update(record, lost)) return;
    this.#kept.set(fileOf(record), { record: lost, triedAt: undefined, busy: true });
    deleteAddress(link.rt, { index: link.index, address: record.address }, { missingOk: true });
    this.#log.error({ ...nameOf(record), reason }, "a DHCP lease is lost, and the pod without that address");
    this.#onChange();
  }
}

function isFolder(path: string, ino: number): boolean {
  return statSync(path, { throwIfNoEntry: false })?.ino === ino;
}

/** Not the same once it was granted again, renewed or lost. */
function sameGrant(known: LeaseRecord, read: LeaseRecord): boolean {
  return (
    known.address === read.address &&
    known.netnsInode === read.netnsInode &&
    known.renewAt === read.renewAt &&
    known.expiresAt === read.expiresAt &&
    known.lost === read.lost
  );
}

function nameOf({ network, containerId, ifName, address }: LeaseRecord): object {
  return { network, containerId, ifName, address };
}
