import { writeFileSync } from "node:fs";
import { lackingFeatures } from "../test/netns/harness/full-kernel.ts";
import { bundleAsOne } from "./bundle-tests.ts";

/**
 * Makes one program of test files: `guest-tests.main.ts OUT.mjs FILE.test.ts ...`. One start of Node.js and no
 * translation of TypeScript is what an emulated processor affords. Prints which features this machine's kernel lacks.
 */
const [out = "", ...files] = process.argv.slice(2);
await bundleAsOne(files, out);
writeFileSync(1, `${lackingFeatures().join(" ")}\n`);
