import t from "tap";
import { jsonLogger } from "./log.ts";

t.test("a log line is one JSON object, whatever its fields hold", async (t) => {
  let written = "";
  const to = { write: (text: string) => (written += text) };
  const log = jsonLogger(to, { plugin: "bridge" }, { now: () => new Date(0) });
  log.debug("not asked for");
  log.warn("two\nlines", { inode: 2n ** 60n, error: new AggregateError([new Error("a"), new Error("b")]) });
  t.equal(written.split("\n").length, 2);
  t.strictSame(JSON.parse(written), {
    time: "1970-01-01T00:00:00.000Z",
    level: "warn",
    plugin: "bridge",
    msg: "two\nlines",
    inode: "1152921504606846976",
    error: "a; b",
  });
});

t.test("debug lines are written when asked for", async (t) => {
  let written = "";
  jsonLogger({ write: (text: string) => (written += text) }, {}, { debug: true }).debug("RTM_NEWLINK");
  t.match(JSON.parse(written), { level: "debug", msg: "RTM_NEWLINK" });
});
