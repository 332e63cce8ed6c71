import * as fs from "node:fs";
import { join } from "node:path";
import t from "tap";
import { CniError } from "../cni/error.ts";
import { attachment, crashingFiles, HOSTS, makeFixture, rangeSetOf } from "./disk-fixture.ts";

const STEPS = 2000;
const SEED = 20_260_801;

/** Processes of one call each take turns with three that stay, all with clocks of their own. */
t.test(`${STEPS} random ADD, DEL, GC, crashes and strangers' changes end where a model says`, async (t) => {
  const f = makeFixture(t, [rangeSetOf("10.22.0.0/27"), rangeSetOf("fd00::/64")]);
  /** address → what its file says */
  const model = new Map<string, string>();
  const random = generator(SEED);
  const holder = (id: string) => `${id}\r\neth0`;
  const namesOf = (id: string) => [...model].filter(([, text]) => text === holder(id)).map(([name]) => name);
  const forget = (id: string) => namesOf(id).forEach((name) => void model.delete(name));
  const counts: Record<string, number> = {};
  const callers = [...HOSTS, "resident" as const, "resident" as const].map((host) => ({
    host,
    process: f.caller(host),
  }));
  const someone = () => {
    const caller = callers[random(callers.length)];
    if (caller === undefined) throw new Error("nobody calls");
    return caller;
  };
  const clock = () => ({ now: () => Date.now() - random(3) * 86_400_000 });

  const acts: Record<string, (id: string) => void> = {
    add(id) {
      const held = namesOf(id).length > 0;
      const full = [...model.keys()].filter((name) => name.startsWith("10.")).length === 29;
      try {
        const leases = someone().process.add(attachment(id), clock());
        if (held || full) t.fail(`ADD ${id} succeeded, held ${held}, full ${full}`);
        for (const { address } of leases) {
          const name = address.replace(/\/.*/, "");
          if (model.has(name)) t.fail(`${name} was given away twice`);
          model.set(name, holder(id));
        }
      } catch (error) {
        if (!(error instanceof CniError) || error.code !== (held ? 4 : 11)) throw error;
        if (!held && !full) t.fail(`ADD ${id} failed: ${error.message}`);
      }
    },
    del(id) {
      someone().process.del(attachment(id), clock());
      forget(id);
    },
    gc() {
      const valid = new Set([...model.values()].filter(() => random(4) > 0));
      someone().process.use((store) => store.prune(({ containerId }) => valid.has(holder(containerId))), clock());
      for (const [name, text] of [...model]) if (!valid.has(text)) model.delete(name);
    },
    status() {
      const counted = someone().process.use((store) => store.count);
      if (counted !== model.size) t.fail(`${counted} counted, ${model.size} in the model`);
    },
    stranger(id) {
      const name = `10.22.0.${2 + random(29)}`;
      const path = join(f.folder, name);
      if (model.has(name)) {
        fs.unlinkSync(path);
        model.delete(name);
      } else {
        fs.writeFileSync(path, holder(`stranger-${id}`));
        model.set(name, holder(`stranger-${id}`));
      }
    },
    crash(id) {
      const { files, crashed } = crashingFiles(1 + random(40));
      const caller = someone();
      try {
        caller.process.del(attachment(id), { files });
        caller.process.flush();
      } catch {
        // died, or had nothing to do; the runtime asks again
      }
      if (crashed()) caller.process = f.caller(caller.host);
      someone().process.del(attachment(id));
      forget(id);
    },
    flush: () => someone().process.flush(),
  };

  const choices = ["add", "add", "add", "add", "del", "del", "del", "gc", "status", "stranger", "crash", "flush"];
  f.use(() => {}); // makes the folder
  for (let step = 0; step < STEPS; step++) {
    const name = random(20) === 0 ? "gc" : (choices[random(choices.length)] ?? "add");
    counts[name] = (counts[name] ?? 0) + 1;
    acts[name]?.(`pod${random(35)}`);
    const onDisk = new Map(Object.entries(f.onDisk()));
    if (onDisk.size !== model.size || [...model].some(([file, text]) => onDisk.get(file) !== text)) {
      t.strictSame(Object.fromEntries(onDisk), Object.fromEntries(model), `after step ${step}, ${name}`);
      return;
    }
  }
  for (const id of new Set([...model.values()].map((text) => text.split("\r\n")[0] ?? ""))) {
    t.strictSame(
      someone().process.use((store) => [...store.held(attachment(id))].sort()),
      namesOf(id).sort(),
    );
  }
  t.comment(counts);
});

function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * below);
  };
}
