import t from "tap";
import { malformedInputs } from "./malformed.ts";
import { PROFILES } from "./profiles.ts";
import { VERSIONS } from "./spec.ts";

for (const [name, profile] of Object.entries(PROFILES)) {
  t.test(`${name}: some 150 malformed inputs, each with a name of its own`, async (t) => {
    const rows = malformedInputs(profile, VERSIONS);
    t.ok(rows.length >= 150, `${rows.length} inputs`);
    const names = rows.map((row) => row.name);
    t.strictSame(
      names.filter((each, i) => names.indexOf(each) !== i),
      [],
    );
  });
}

t.test("what is called no JSON is none", async (t) => {
  const profile = PROFILES.bridge;
  if (profile === undefined) throw new Error("there is no bridge");
  const conf = JSON.stringify({ cniVersion: "1.0.0", name: "kit-net", type: "bridge", mtu: 1500 });
  for (const { stdin, codes, name } of malformedInputs(profile, VERSIONS)) {
    if (stdin === undefined || codes?.[0] !== 6) continue;
    const text = Buffer.from(stdin(conf)).toString("utf8");
    const isObject = () => typeof JSON.parse(text) === "object" && !Array.isArray(JSON.parse(text));
    const taken = (() => {
      try {
        return isObject();
      } catch {
        return false;
      }
    })();
    t.notOk(taken, name);
  }
});
