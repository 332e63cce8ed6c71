import t, { type Test } from "tap";
import { parseAddress } from "../net/address.ts";
import { withReservations } from "./disk.ts";
import { attachment, crashingFiles, type Fixture, makeFixture, NEXT_BOOT, rangeSetOf } from "./disk-fixture.ts";

const SETS = [rangeSetOf("10.22.0.0/29"), rangeSetOf("fd00::/64")];

/** Runs `act` again and again on fresh folders, killed after each of its file operations in turn. */
function killEverywhere(
  t: Test,
  prepare: (f: Fixture) => void,
  act: (f: Fixture, files: ReturnType<typeof crashingFiles>["files"]) => unknown,
  verify: (f: Fixture, step: number) => void,
): number {
  for (let step = 1; ; step++) {
    const f = makeFixture(t, SETS);
    prepare(f);
    const { files, crashed } = crashingFiles(step);
    try {
      act(f, files);
    } catch (error) {
      if (!crashed()) throw error;
    }
    const died = crashed();
    verify(f, step);
    if (!died) return step - 1;
  }
}

/** The index, the files and the counts agree, and every address can still be had. */
function requireConsistent(t: Test, f: Fixture, step: number): void {
  const files = f.onDisk();
  const holders = Object.entries(files).filter(([, text]) => text !== "");
  const indexed = holders.flatMap(([name, text]) => {
    const [containerId = "", ifName = ""] = text.split("\r\n");
    return f.use((store) => store.held({ containerId, ifName })).includes(parseAddress(name)) ? [name] : [];
  });
  t.strictSame(
    indexed,
    holders.map(([name]) => name),
    `step ${step}: every file is in the index`,
  );
  const [first, last] = [parseAddress("10.22.0.2"), parseAddress("10.22.0.6")];
  const taken = f.use((store) => store.taken(first, last));
  t.equal(taken, holders.filter(([name]) => name.startsWith("10.")).length, `step ${step}: the index has no others`);
}

t.test("kill -9 anywhere in ADD: the next DEL leaves nothing of it", async (t) => {
  const steps = killEverywhere(
    t,
    (f) => void f.add(attachment("first")),
    (f, files) => f.add(attachment("pod"), { files }),
    (f, step) => {
      f.del(attachment("pod"));
      t.strictSame(f.onDisk(), { "10.22.0.2": "first\r\neth0", "fd00::2": "first\r\neth0" }, `step ${step}`);
      requireConsistent(t, f, step);
      f.add(attachment("pod"));
    },
  );
  t.ok(steps > 20, `${steps} steps`);
});

t.test("kill -9 anywhere in the very first ADD: the next DEL leaves nothing of it", async (t) => {
  killEverywhere(
    t,
    () => {},
    (f, files) => f.add(attachment("pod"), { files }),
    (f, step) => {
      f.del(attachment("pod"));
      f.add(attachment("other"));
      t.strictSame(Object.values(f.onDisk()), ["other\r\neth0", "other\r\neth0"], `step ${step}`);
      requireConsistent(t, f, step);
    },
  );
});

t.test("kill -9 anywhere in ADD: the next GC leaves nothing of it, and the next ADDs get all addresses", async (t) => {
  killEverywhere(
    t,
    (f) => void f.add(attachment("first")),
    (f, files) => f.add(attachment("pod"), { files }),
    (f, step) => {
      f.use((store) => store.prune(({ containerId }) => containerId === "first"));
      t.strictSame(Object.keys(f.onDisk()), ["10.22.0.2", "fd00::2"], `step ${step}`);
      for (const id of ["b", "c", "d", "e"]) f.add(attachment(id));
      t.throws(() => f.add(attachment("f")), { code: 11 });
      requireConsistent(t, f, step);
    },
  );
});

t.test("kill -9 anywhere in DEL: the next DEL finishes it", async (t) => {
  const steps = killEverywhere(
    t,
    (f) => {
      f.add(attachment("first"));
      f.add(attachment("pod"));
    },
    (f, files) => withReservations(f.options({ files }), false, (store) => store.releaseAll(attachment("pod"))),
    (f, step) => {
      requireConsistent(t, f, step);
      f.del(attachment("pod"));
      t.strictSame(Object.keys(f.onDisk()), ["10.22.0.2", "fd00::2"], `step ${step}`);
      requireConsistent(t, f, step);
    },
  );
  t.ok(steps > 15, `${steps} steps`);
});

t.test("kill -9 anywhere in GC: the next GC finishes it", async (t) => {
  killEverywhere(
    t,
    (f) => {
      for (const id of ["a", "b", "c"]) f.add(attachment(id));
    },
    (f, files) => f.use((store) => store.prune(({ containerId }) => containerId === "b"), { files }),
    (f, step) => {
      requireConsistent(t, f, step);
      f.use((store) => store.prune(({ containerId }) => containerId === "b"));
      t.strictSame(Object.keys(f.onDisk()), ["10.22.0.3", "fd00::3"], `step ${step}`);
      requireConsistent(t, f, step);
    },
  );
});

t.test("kill -9 anywhere in a GC that frees nothing does no harm to the index", async (t) => {
  killEverywhere(
    t,
    (f) => void f.add(attachment("a")),
    (f, files) => f.use((store) => store.prune(() => true), { files }),
    (f, step) => requireConsistent(t, f, step),
  );
});

t.test("kill -9 anywhere in the first ADD after a reboot: nothing from before is left in the end", async (t) => {
  killEverywhere(
    t,
    (f) => {
      for (const id of ["a", "b", "c"]) f.add(attachment(id));
    },
    (f, files) => f.add(attachment("new"), { files, boot: NEXT_BOOT }),
    (f, step) => {
      withReservations(f.options({ boot: NEXT_BOOT }), false, (store) => store.releaseAll(attachment("new")));
      t.strictSame(f.onDisk(), {}, `step ${step}`);
    },
  );
});
