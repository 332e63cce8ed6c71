import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { run } from "../test/netns/harness/exec.ts";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");

t.test("bench/attach measures every row of what it is asked for, and leaves nothing behind", async (t) => {
  const { code, stdout, stderr } = await run([`${ROOT}/bench/attach`, "--pods", "3", "--only", "plain,burst"], {
    timeout: 600_000,
  });
  t.equal(code, 0, code === 0 ? "it runs" : stderr);
  const { rows, phases } = JSON.parse(stdout);
  t.match(rows, [
    { work: "ADD, bridge + host-local" },
    { work: "DEL, one at a time" },
    { work: /^ADD inside the agent/ },
    { work: /ADDs at once, time to the last/ },
    { work: /ADDs at once, peak memory/ },
    { work: /DELs at once/ },
  ]);
  for (const { work, measured, limit, met } of rows) t.equal(met, measured <= limit, work);
  t.ok(phases.ADD.phases.link > 0, "phases from the agent's journal");
});
