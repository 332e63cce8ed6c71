import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import t from "tap";
import { eventually } from "../test/netns/harness/eventually.ts";
import { EMPTY_STATE } from "./cluster-state.ts";
import { decodeSavedState } from "./saved-state.ts";
import { StateKeeper } from "./state-keeper.ts";

function keeperIn(folder: string, bootId = "boot-1") {
  const lines: { level: number; msg: string; err?: { message: string } }[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { keeper: new StateKeeper(folder, bootId, log), lines };
}

const saved = (revision: number) => ({ state: { ...EMPTY_STATE, revision }, controllerAddress: undefined });
const revisionIn = (folder: string) =>
  decodeSavedState(readFileSync(join(folder, "state.json"), "utf8")).state.revision;

t.test("the newest of many states is on disk when it stops", async (t) => {
  const folder = t.testdir();
  const { keeper } = keeperIn(folder);
  for (let revision = 1; revision <= 1000; revision++) keeper.save(saved(revision));
  keeper.stop();
  t.equal(revisionIn(folder), 1000);
  t.equal(keeperIn(folder).keeper.load().state.revision, 1000);
});

t.test("a state is written at once after a quiet time, without being asked to stop", async (t) => {
  const folder = t.testdir();
  const { keeper } = keeperIn(folder);
  keeper.save(saved(5));
  await eventually(() => revisionIn(folder) === 5 || undefined, "the file");
  keeper.stop();
});

t.test("a disk that cannot be written is said once and is no error for the caller", async (t) => {
  const folder = t.testdir({ "state.json.new": {} }); // a folder where the new file would be
  const { keeper, lines } = keeperIn(folder);
  keeper.save(saved(1));
  keeper.stop();
  keeper.save(saved(2));
  keeper.stop();
  t.match(lines, [{ level: 50, msg: /cannot be saved/ }]);
  t.equal(lines.length, 1);
  rmdirSync(join(folder, "state.json.new"));
  keeper.save(saved(3));
  keeper.stop();
  t.equal(revisionIn(folder), 3);
  t.match(lines.at(-1), { level: 30, msg: /saved again/ });
});

t.test("a file that is broken, or of a newer agent, is said and ignored", async (t) => {
  for (const [text, why] of [
    ['{"version":1,"revi', /JSON/],
    ['{"version":99}', /newer agent/],
    ["null", /the state is missing/],
  ] as const) {
    const folder = t.testdir();
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "state.json"), text);
    const { keeper, lines } = keeperIn(folder);
    t.equal(keeper.load().state.revision, 0);
    t.match(lines, [{ level: 50, msg: /ignored/, err: { message: why } }]);
  }
});

t.test("who is killed before it has saved all says so to the next run, until the machine starts anew", async (t) => {
  const folder = t.testdir();
  const { keeper } = keeperIn(folder);
  const next = (bootId?: string) => keeperIn(folder, bootId).keeper.load();
  keeper.save(saved(1));
  keeper.stop();
  t.match(next(), { state: { revision: 1 }, mayBeBehind: false });
  keeper.save(saved(2)); // and killed here
  t.match(next(), { state: { revision: 1 }, mayBeBehind: true });
  t.match(next("boot-2"), { state: { revision: 1 }, mayBeBehind: false }, "a fresh kernel holds nothing of ours");
  keeper.stop();
  t.match(next(), { state: { revision: 2 }, mayBeBehind: false });
});
