import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import t from "tap";
import { PLUGIN_NAMES } from "../plugins/names.ts";

/** Which folder may import which: ARCHITECTURE.md, "Who may import whom". The longest matching folder counts. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  net: [],
  backends: ["net"],
  "kernel/ffi": [],
  "kernel/netlink": ["kernel/ffi", "net"],
  "kernel/rtnetlink": ["kernel/netlink", "kernel/ffi", "net", "kernel"],
  "kernel/nftables": ["kernel/netlink", "kernel/ffi", "kernel"],
  "kernel/wireguard": ["kernel/netlink", "net"],
  kernel: ["kernel/ffi", "kernel/netlink", "kernel/rtnetlink", "kernel/nftables", "net"],
  cni: ["net"],
  ipam: ["cni", "net"],
  dhcp: ["net"],
  journal: ["cni", "net"],
  overlay: ["backends", "kernel", "kernel/rtnetlink", "net"],
  firewall: ["backends", "kernel", "kernel/nftables", "net"],
  reconcile: [],
  ovs: ["net"],
  dataplane: [
    "backends",
    "ovs",
    "overlay",
    "firewall",
    "kernel",
    "kernel/rtnetlink",
    "kernel/nftables",
    "kernel/wireguard",
    "reconcile",
    "net",
  ],
  plugins: [
    "backends",
    "dataplane",
    "cni",
    "ipam",
    "dhcp",
    "overlay",
    "firewall",
    "kernel",
    "kernel/rtnetlink",
    "kernel/nftables",
    "kernel/netlink",
    "reconcile",
    "net",
  ],
  agent: [
    "backends",
    "journal",
    "dataplane",
    "plugins",
    "cni",
    "ipam",
    "dhcp",
    "reconcile",
    "overlay",
    "firewall",
    "kernel",
    "kernel/rtnetlink",
    "kernel/nftables",
    "kernel/netlink",
    "kernel/wireguard",
    "proto",
    "net",
  ],
  controller: ["backends", "proto", "net"],
  cnictl: [
    "backends",
    "proto",
    "net",
    "journal",
    "kernel",
    "kernel/rtnetlink",
    "kernel/nftables",
    "kernel/netlink",
    "kernel/wireguard",
    "overlay",
    "conformance",
  ],
  conformance: [],
  proto: ["net"],
};
/** Folders whose code is pure: no file, socket, environment, clock or log. */
const PURE = ["net", "backends", "dhcp", "overlay", "firewall"];
const NODE_MODULES_OF_PURE = ["node:net", "node:crypto"]; // isIP, createHash
const FREE = ["test", "bench", "hack", "examples"];

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.ts"], {
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && !file.startsWith("proto/gen/"));
const product = files.filter(
  (file) =>
    !FREE.includes(file.split("/")[0] ?? "") && !/(\.test|fixture)\.ts$/.test(file) && !file.includes("testdata/"),
);

function folderOf(file: string): string {
  const matching = Object.keys(MAY_IMPORT).filter((folder) => file.startsWith(`${folder}/`));
  return matching.sort((a, b) => b.length - a.length)[0] ?? "";
}

function importsOf(file: string): { specifier: string; typeOnly: boolean }[] {
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s+(type\s)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/g;
  return [...readFileSync(file, "utf8").matchAll(pattern)].map((match) => ({
    specifier: match[2] ?? match[3] ?? "",
    typeOnly: match[1] !== undefined,
  }));
}

t.test("every folder imports only what the table allows", async (t) => {
  for (const file of product) {
    const folder = folderOf(file);
    t.not(folder, "", `${file} lies in a folder of the table`);
    for (const { specifier } of importsOf(file)) {
      if (!specifier.startsWith(".")) continue;
      const target = folderOf(normalize(join(dirname(file), specifier)));
      const allowed = target === folder || (MAY_IMPORT[folder] ?? []).includes(target);
      if (!allowed) t.fail(`${file} imports ${specifier}: ${folder} may not import ${target}`);
    }
  }
});

t.test("no plugin imports another plugin, and only plugins/all.ts knows them all", async (t) => {
  const pluginOf = (file: string) => PLUGIN_NAMES.find((name) => file.startsWith(`plugins/${name}/`));
  for (const file of product.filter((path) => /^plugins\/[^/]+\//.test(path))) {
    for (const { specifier } of importsOf(file)) {
      if (!specifier.startsWith(".")) continue;
      const plugin = pluginOf(normalize(join(dirname(file), specifier)));
      t.ok(plugin === undefined || plugin === pluginOf(file), `${file} imports ${specifier}`);
    }
  }
  for (const name of PLUGIN_NAMES) t.ok(product.includes(`plugins/${name}/plugin.ts`), `${name} has a folder`);
});

t.test("packages: koffi only in kernel/ffi, no npm package in a plugin", async (t) => {
  for (const file of product) {
    for (const { specifier, typeOnly } of importsOf(file)) {
      if (specifier.startsWith(".") || specifier.startsWith("node:")) continue;
      t.not(specifier, "ip-num", `${file}: only the tests of net compare with it`);
      if (specifier === "koffi") t.ok(typeOnly || folderOf(file) === "kernel/ffi", file);
      t.notMatch(
        file,
        /^(plugins|cni|ipam|dhcp|backends|overlay|firewall|reconcile)\//,
        `${file} imports the package ${specifier}`,
      );
    }
  }
});

t.test("the pure folders touch no file, socket, environment, clock or log", async (t) => {
  for (const file of product.filter((path) => PURE.includes(folderOf(path)) || path.startsWith("controller/core/"))) {
    for (const { specifier } of importsOf(file)) {
      if (specifier.startsWith("node:")) t.ok(NODE_MODULES_OF_PURE.includes(specifier), `${file} imports ${specifier}`);
    }
    t.notMatch(
      readFileSync(file, "utf8"),
      /\bprocess\.|\bDate\.now\(|\bnew Date\(\)|\bconsole\.|\bsetTimeout\(|\bMath\.random\(/,
      file,
    );
  }
});

t.test("only main.ts files read the environment", async (t) => {
  for (const file of product.filter((path) => !/(^|[/.])main\.ts$/.test(path))) {
    t.notMatch(readFileSync(file, "utf8"), /\bprocess\.(env|argv)\b/, file);
  }
});

t.test(
  "S3: no child process and no shell outside tests and tools, but for third-party plugins, the kit that judges them, and ovs-ofctl",
  async (t) => {
    const executing = product.filter((file) => /node:child_process/.test(readFileSync(file, "utf8")));
    // The conformance kit judges anybody's plugins, by executing them as a runtime does; cnictl loads it for that command alone.
    // Open vSwitch's flows go through ovs-ofctl, in the agent's pass, when they are not as they should be.
    t.strictSame(executing.toSorted(), ["cni/execute.ts", "conformance/sandbox.ts", "ovs/ofctl.ts"]);
    for (const file of product) t.notMatch(readFileSync(file, "utf8"), /shell:\s*true/, file);
  },
);

t.test("files stay small, and names say what they hold", async (t) => {
  for (const file of files) {
    const lines = readFileSync(file, "utf8").split("\n").length;
    t.ok(lines <= 401, `${file} has ${lines} lines; 400 at most`);
    t.notMatch(file, /(^|\/)(utils?|common|helpers?|managers?|base)(\.ts$|\/)/, file);
    if (!product.includes(file)) continue;
    t.notMatch(readFileSync(file, "utf8"), /^export (default|\*)/m, `${file}: no default export, no export *`);
  }
});

t.test("no import cycles", async (t) => {
  const graph = new Map(
    product.map((file) => [
      file,
      importsOf(file)
        .filter(({ specifier, typeOnly }) => specifier.startsWith(".") && !typeOnly)
        .map(({ specifier }) => normalize(join(dirname(file), specifier))),
    ]),
  );
  const state = new Map<string, "open" | "done">();
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open")
      return void t.fail(`cycle: ${[...path.slice(path.indexOf(file)), file].join(" → ")}`);
    state.set(file, "open");
    for (const target of graph.get(file) ?? []) visit(target, [...path, file]);
    state.set(file, "done");
  };
  for (const file of graph.keys()) visit(file, []);
  t.pass(`${graph.size} files`);
});
