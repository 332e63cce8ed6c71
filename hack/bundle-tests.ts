import { readFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type BuildOptions, build, type Plugin } from "esbuild";

/** Files look for others beside themselves: each goes on to believe that it lies where it lies. */
const keepPlaces: Plugin = {
  name: "places",
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      const place = (_: string, word: string) =>
        JSON.stringify(
          { url: pathToFileURL(path).href, dirname: dirname(path), filename: basename(path) }[word] ?? word,
        );
      return { contents: text.replaceAll(/\bimport\.meta\.(url|dirname|filename)\b/g, place), loader: "ts" };
    });
  },
};

const OPTIONS = {
  bundle: true,
  packages: "external",
  platform: "node",
  target: "node20",
  format: "esm",
  logLevel: "warning",
  plugins: [keepPlaces],
} as const satisfies BuildOptions;

/** All files as one program, which runs their tests one after the other. */
export async function bundleAsOne(files: readonly string[], outfile: string): Promise<void> {
  const contents = files.map((file) => `import ${JSON.stringify(resolve(file))};`).join("\n");
  await build({ ...OPTIONS, stdin: { contents, resolveDir: "." }, outfile });
}

/**
 * Each file as a program of its own, under the folder at the path it has here.
 * @returns the programs, in the files' order
 */
export async function bundleEach(files: readonly string[], outdir: string): Promise<string[]> {
  await build({
    ...OPTIONS,
    entryPoints: [...files],
    outdir,
    outbase: ".",
    outExtension: { ".js": ".mjs" },
    splitting: true,
    sourcemap: true,
  });
  return files.map((file) => `${outdir}/${file.replace(/\.ts$/, ".mjs")}`);
}
