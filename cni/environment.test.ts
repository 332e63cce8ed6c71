import t from "tap";
import { checkArgs, parseArgs } from "./args.ts";
import { checkContainerId, checkNetworkName, interfaceNameProblem } from "./attachment.ts";
import { readAttachment, requireVariables } from "./environment.ts";

const full = {
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/run/netns/red",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin:/usr/lib/cni",
};

t.test("each command needs its variables, and all that are missing are named at once", async (t) => {
  const rows: readonly [command: string, missing: string | undefined][] = [
    ["ADD", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME"],
    ["CHECK", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME"],
    ["DEL", "CNI_CONTAINERID,CNI_IFNAME"],
    ["GC", "CNI_PATH"],
    ["STATUS", undefined],
    ["VERSION", undefined],
    ["DANCE", undefined],
  ];
  for (const [command, missing] of rows) {
    t.doesNotThrow(() => requireVariables({ ...full, CNI_COMMAND: command }), command);
    const bare = () => requireVariables({ CNI_COMMAND: command, CNI_NETNS: "", CNI_CONTAINERID: "" });
    if (missing === undefined) t.doesNotThrow(bare, command);
    else t.throws(bare, { code: 4, message: `required env variables [${missing}] missing` }, command);
  }
});

t.test("an attachment is read from the environment", async (t) => {
  t.match(readAttachment({ ...full, CNI_ARGS: "A=1;K8S_POD_NAME=web", CNI_NETNS_OVERRIDE: "TRUE" }), {
    containerId: "c1",
    ifName: "eth0",
    netns: "/run/netns/red",
    path: ["/opt/cni/bin", "/usr/lib/cni"],
    args: { A: "1", K8S_POD_NAME: "web" },
    allowOwnNetns: true,
  });
  t.notOk("netns" in readAttachment({ ...full, CNI_NETNS: "" }), "DEL may come without a namespace");
  t.throws(() => readAttachment({ ...full, CNI_PATH: "/opt/cni/bin:bin" }), { code: 4, message: /CNI_PATH: "bin"/ });
});

t.test("container identifiers, network and interface names", async (t) => {
  for (const good of ["a", "0", "A.b_c-d", "x".repeat(300)]) {
    t.doesNotThrow(() => checkContainerId(good));
    t.doesNotThrow(() => checkNetworkName(good));
  }
  t.throws(() => checkContainerId(""), { code: 3 });
  t.throws(() => checkNetworkName(""), { code: 7 });
  for (const bad of ["-a", ".a", "_a", "a/b", "../a", "a b", "é", "a\n", "a\0", "a;b", "$(a)"]) {
    t.throws(() => checkContainerId(bad), { code: 4, message: /CNI_CONTAINERID/ }, JSON.stringify(bad));
    t.throws(() => checkNetworkName(bad), { code: 7, message: /^name / }, JSON.stringify(bad));
  }
  for (const good of ["eth0", "a.100", "x".repeat(15), "-", "été", "..."])
    t.equal(interfaceNameProblem(good), undefined);
  for (const bad of [
    "eth%d",
    "",
    ".",
    "..",
    "a/b",
    "a:1",
    "a b",
    "a\t",
    "a\u00a0b",
    "a\u2003",
    "x".repeat(16),
    "é".repeat(8),
  ]) {
    t.type(interfaceNameProblem(bad), "string", JSON.stringify(bad));
  }
});

t.test("CNI_ARGS", async (t) => {
  t.strictSame({ ...parseArgs("") }, {});
  t.strictSame({ ...parseArgs("IP=10.0.0.2;EMPTY=;IP=10.0.0.3") }, { IP: "10.0.0.3", EMPTY: "" });
  for (const bad of ["A", "=1", "A=1;", ";", "A=1=2", "A=1;;B=2"]) {
    t.throws(() => parseArgs(bad), { code: 4, message: /CNI_ARGS: ".*" is not KEY=value/ }, bad);
  }
  t.throws(() => parseArgs("IgnoreUnknown=maybe"), { code: 4, message: /IgnoreUnknown="maybe"/ });
  t.equal(Object.getPrototypeOf(parseArgs("__proto__=1")), null);
});

t.test("unknown CNI_ARGS are refused unless IgnoreUnknown says otherwise", async (t) => {
  const known = ["IP"];
  for (const fine of ["", "IP=1", "K8S_POD_NAME=a;IP=1", "IgnoreUnknown=1;FOO=1", "FOO=1;IgnoreUnknown=true"]) {
    t.doesNotThrow(() => checkArgs(parseArgs(fine), known), fine);
  }
  for (const bad of ["FOO=bar;IP=1", "IgnoreUnknown=0;FOO=bar", "IgnoreUnknown=False;FOO=bar", "FOO=bar;ip=1"]) {
    t.throws(() => checkArgs(parseArgs(bad), known), { code: 4, message: /CNI_ARGS: unknown "FOO=bar"/ }, bad);
  }
  t.doesNotThrow(() => checkArgs(parseArgs("FOO=bar"), undefined), "a plugin that does not look at them");
});
