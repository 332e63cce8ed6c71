import t, { type Test } from "tap";
import { parseAddress } from "../net/address.ts";
import {
  attachment,
  type Caller,
  crashingFiles,
  type Fixture,
  makeFixture,
  NEXT_BOOT,
  rangeSetOf,
} from "./disk-fixture.ts";
import type { FileOps } from "./files.ts";

const SETS = [rangeSetOf("10.22.0.0/29"), rangeSetOf("fd00::/64")];

/**
 * Who is killed, and who goes on: a process of one call, or one that stays and had the network in memory before; `next` is a
 * new process of the kind that was killed.
 */
const PAIRS = [
  { victim: "one-shot", survivor: "one-shot" },
  { victim: "one-shot", survivor: "resident" },
  { victim: "resident", survivor: "one-shot" },
  { victim: "resident", survivor: "resident" },
] as const;

interface Case {
  /** Makes the folder what it is before the call that is killed. */
  readonly prepare: (f: Fixture) => void;
  /** What both do next, so that both know the folder; the victim comes last unless this says otherwise. */
  readonly settle?: (victim: Caller, survivor: Caller) => void;
  readonly act: (victim: Caller, files: FileOps) => unknown;
  readonly verify: (t: Test, f: Fixture, survivor: Caller, step: number) => void;
  readonly fewestSteps?: number;
}

/** Runs `act` again and again on fresh folders, killed after each of its file operations in turn. */
function killEverywhere(name: string, { prepare, settle = lookBoth, act, verify, fewestSteps = 1 }: Case): void {
  for (const pair of PAIRS) {
    t.test(`kill -9 anywhere in ${name} (${pair.victim} killed, ${pair.survivor} goes on)`, async (t) => {
      for (let step = 1; ; step++) {
        const f = makeFixture(t, SETS, pair.victim);
        const survivor = f.caller(pair.survivor);
        prepare(f);
        settle(f, survivor);
        const { files, crashed } = crashingFiles(step);
        try {
          act(f, files);
        } catch (error) {
          if (!crashed()) throw error;
        }
        if (!crashed()) {
          t.ok(step > fewestSteps, `${step - 1} steps`);
          return;
        }
        verify(t, f, survivor, step);
      }
    });
  }
}

function lookBoth(victim: Caller, survivor: Caller): void {
  for (const each of [survivor, victim]) each.del(attachment("nobody"));
}

/** The index, the files and the counts agree, and every address can still be had. */
function requireConsistent(t: Test, f: Fixture, caller: Caller, step: number): void {
  const holders = Object.entries(f.onDisk()).filter(([, text]) => text !== "");
  const indexed = holders.flatMap(([name, text]) => {
    const [containerId = "", ifName = ""] = text.split("\r\n");
    return caller.use((store) => store.held({ containerId, ifName })).includes(parseAddress(name)) ? [name] : [];
  });
  t.strictSame(
    indexed,
    holders.map(([name]) => name),
    `step ${step}: every file is in the index`,
  );
  const [first, last] = [parseAddress("10.22.0.2"), parseAddress("10.22.0.6")];
  const taken = caller.use((store) => store.taken(first, last));
  t.equal(taken, holders.filter(([name]) => name.startsWith("10.")).length, `step ${step}: the index has no others`);
}

killEverywhere("ADD: the next DEL leaves nothing of it", {
  prepare: (f) => f.add(attachment("first")),
  act: (victim, files) => victim.add(attachment("pod"), { files }),
  verify(t, f, survivor, step) {
    survivor.del(attachment("pod"));
    t.strictSame(f.onDisk(), { "10.22.0.2": "first\r\neth0", "fd00::2": "first\r\neth0" }, `step ${step}`);
    requireConsistent(t, f, survivor, step);
    survivor.add(attachment("pod"));
  },
  fewestSteps: 10,
});

killEverywhere("the very first ADD: the next DEL leaves nothing of it", {
  prepare() {},
  act: (victim, files) => victim.add(attachment("pod"), { files }),
  verify(t, f, survivor, step) {
    survivor.del(attachment("pod"));
    survivor.add(attachment("other"));
    t.strictSame(Object.values(f.onDisk()), ["other\r\neth0", "other\r\neth0"], `step ${step}`);
    requireConsistent(t, f, survivor, step);
  },
  fewestSteps: 20,
});

killEverywhere("ADD: the next GC leaves nothing of it, and the next ADDs get all addresses", {
  prepare: (f) => f.add(attachment("first")),
  act: (victim, files) => victim.add(attachment("pod"), { files }),
  verify(t, f, survivor, step) {
    survivor.use((store) => store.prune(({ containerId }) => containerId === "first"));
    t.strictSame(Object.keys(f.onDisk()), ["10.22.0.2", "fd00::2"], `step ${step}`);
    for (const id of ["b", "c", "d", "e"]) survivor.add(attachment(id));
    t.throws(() => survivor.add(attachment("f")), { code: 11 });
    requireConsistent(t, f, survivor, step);
  },
});

killEverywhere("DEL: the next DEL finishes it", {
  prepare(f) {
    f.add(attachment("first"));
    f.add(attachment("pod"));
  },
  act: (victim, files) => victim.del(attachment("pod"), { files }),
  verify(t, f, survivor, step) {
    requireConsistent(t, f, survivor, step);
    survivor.del(attachment("pod"));
    t.strictSame(Object.keys(f.onDisk()), ["10.22.0.2", "fd00::2"], `step ${step}`);
    requireConsistent(t, f, survivor, step);
  },
  fewestSteps: 7,
});

killEverywhere("GC: the next GC finishes it", {
  prepare(f) {
    for (const id of ["a", "b", "c"]) f.add(attachment(id));
  },
  act: (victim, files) => victim.use((store) => store.prune(({ containerId }) => containerId === "b"), { files }),
  verify(t, f, survivor, step) {
    requireConsistent(t, f, survivor, step);
    survivor.use((store) => store.prune(({ containerId }) => containerId === "b"));
    t.strictSame(Object.keys(f.onDisk()), ["10.22.0.3", "fd00::3"], `step ${step}`);
    requireConsistent(t, f, survivor, step);
  },
});

killEverywhere("a GC that frees nothing does no harm to the index", {
  prepare: (f) => f.add(attachment("a")),
  act: (victim, files) => victim.use((store) => store.prune(() => true), { files }),
  verify: requireConsistent,
});

killEverywhere("the first ADD after a reboot: nothing from before is left in the end", {
  prepare(f) {
    for (const id of ["a", "b", "c"]) f.add(attachment(id));
  },
  act: (victim, files) => victim.add(attachment("new"), { files, boot: NEXT_BOOT }),
  verify(t, f, survivor, step) {
    survivor.del(attachment("new"), { boot: NEXT_BOOT });
    t.strictSame(f.onDisk(), {}, `step ${step}`);
  },
});

killEverywhere("a flush after ADD and DEL: nothing is lost, and nothing comes back", {
  prepare: (f) => f.add(attachment("gone")),
  act(victim, files) {
    victim.del(attachment("gone"));
    victim.add(attachment("pod"));
    victim.use(() => {}, { files });
    victim.flush();
  },
  verify: requireConsistent,
});

killEverywhere("a look at a folder whose index another process has in memory alone: that process loses nothing", {
  prepare(f) {
    for (const id of ["a", "b", "c"]) f.add(attachment(id));
    f.flush();
  },
  settle: (_, survivor) => survivor.add(attachment("d")), // reads a part of the index only
  act: (victim, files) => victim.del(attachment("nobody"), { files }),
  verify: requireConsistent,
});
