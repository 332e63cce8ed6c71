import t from "tap";
import { allowsSeveralAddresses, compareVersions, NEWEST, OLDEST, parseVersion, VERSIONS } from "./version.ts";

t.test("versions are ordered", async (t) => {
  t.strictSame(VERSIONS.toReversed().sort(compareVersions), VERSIONS);
  t.equal(VERSIONS.at(0), OLDEST);
  t.equal(VERSIONS.at(-1), NEWEST);
});

t.test("an absent version is 0.1.0, an unknown one is refused with those we know", async (t) => {
  for (const absent of [undefined, ""]) t.equal(parseVersion(absent), "0.1.0");
  for (const unknown of ["1.2.0", "1.1", "v1.1.0", "1.1.0 ", "01.1.0", "latest"]) {
    t.throws(() => parseVersion(unknown), { code: 1, message: new RegExp(VERSIONS.join(", ").replaceAll(".", "\\.")) });
  }
});

t.test("from 0.3.0 on a result holds several addresses of a family", async (t) => {
  t.strictSame(VERSIONS.filter(allowsSeveralAddresses), ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
});
