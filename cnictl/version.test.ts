import { readFileSync } from "node:fs";
import t from "tap";
import { fakeContext } from "./testdata/cluster.ts";
import { version } from "./version.ts";

t.test("the version is the package's", async (t) => {
  const context = fakeContext();
  await version(context, { output: "json" });
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };
  t.match(JSON.parse(context.printed), { clientVersion: { version: manifest.version, protocol: "podwire.v1" } });
});
