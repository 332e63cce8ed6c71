import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";
import { lackingFeatures } from "../test/netns/harness/full-kernel.ts";

/**
 * Makes one program of test files: `guest-tests.main.ts OUT.mjs FILE.test.ts ...`. One start of Node.js and no
 * translation of TypeScript is what an emulated processor affords. Prints which features this machine's kernel lacks.
 */
const [out = "", ...files] = process.argv.slice(2);

/** Files look for others beside themselves: each goes on to believe that it lies where it lies. */
const keepPlaces: Plugin = {
  name: "places",
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const { readFile } = await import("node:fs/promises");
      const url = JSON.stringify(pathToFileURL(path).href);
      return { contents: (await readFile(path, "utf8")).replaceAll("import.meta.url", url), loader: "ts" };
    });
  },
};

await build({
  stdin: { contents: files.map((file) => `import ${JSON.stringify(resolve(file))};`).join("\n"), resolveDir: "." },
  outfile: out,
  bundle: true,
  packages: "external",
  platform: "node",
  target: "node20",
  format: "esm",
  logLevel: "warning",
  plugins: [keepPlaces],
});
writeFileSync(1, `${lackingFeatures().join(" ")}\n`);
