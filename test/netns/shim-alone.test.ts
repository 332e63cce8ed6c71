import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import t from "tap";
import { OUR_MARK } from "../../cni/delegate.ts";
import { LARGEST_DOCUMENT } from "../../cni/json.ts";
import { PLUGIN_NAMES } from "../../plugins/names.ts";
import { attach, bridgeConf, detach, kernelState } from "./bridge-fixture.ts";
import { BIN, type Node, startNode } from "./harness/node.ts";
import {
  ATTACHMENT,
  answerFrame,
  callShim,
  FakeAgent,
  FOLDER,
  jsonOfShim,
  placeRecorder,
  placeShim,
  SOCKET,
  SPOOL,
} from "./shim-fixture.ts";

if (!existsSync(join(BIN, ".podwire/bridge"))) throw new Error(`${BIN} holds no shims: install gcc, run hack/build`);

function spooled(node: Node): string[] {
  return existsSync(node.path(SPOOL)) ? readdirSync(node.path(SPOOL)) : [];
}

function mode(path: string): number {
  return statSync(path).mode & 0o7777;
}

t.test("the built plugins are the shim, marked as ours in its last line", async (t) => {
  for (const name of PLUGIN_NAMES) {
    const text = readFileSync(join(BIN, name), "latin1");
    t.ok(text.startsWith("\x7fELF") && text.endsWith(`\n${OUR_MARK}\n`), name);
    t.equal(statSync(join(BIN, name)).ino, statSync(join(BIN, "bridge")).ino, "one file");
  }
});

t.test("no agent: the plugin beside the shim attaches a pod, checks it and detaches it", async (t) => {
  const node = await startNode(t);
  const pod = await node.pod("red");
  const conf = bridgeConf({ isGateway: true });
  await attach(node, pod, conf); // the bridge stays
  await detach(node, pod, conf);
  const before = await kernelState(node);
  const prevResult = await attach(node, pod, conf);
  t.match(await pod.runOk(["ip", "-br", "address", "show", "eth0"]), /eth0@\S+ +UP +10\.22\./);
  t.match(await node.cni("CHECK", pod, { ...conf, prevResult }), { code: 0 });
  await detach(node, pod, conf);
  t.equal(await kernelState(node), before);
  t.strictSame(spooled(node), []);
});

t.test("no socket, and a socket that nobody serves: executed by Node.js, stdin untouched", async (t) => {
  const node = await startNode(t);
  const shim = placeShim(node);
  const stdin = "x".repeat(LARGEST_DOCUMENT);
  const run = (command: string) => jsonOfShim(node, shim, { command, withNode: true, stdin });
  for (const command of ["ADD", "DEL", "VERSION"])
    t.match(await run(command), { exit: 3, command, length: stdin.length });
  mkdirSync(node.path(dirname(SOCKET)));
  const dead = createServer().listen(node.path(`${SOCKET}.first`));
  await new Promise((resolve) => dead.once("listening", resolve));
  await node.sh(`ln ${SOCKET}.first ${SOCKET}`); // the file stays when the server goes
  await new Promise((resolve) => dead.close(resolve));
  t.match(await run("ADD"), { exit: 3, command: "ADD", length: stdin.length });
  t.strictSame(spooled(node), []);
});

t.test("no agent and no Node.js: every verb but DEL and VERSION says at once that it cannot", async (t) => {
  const node = await startNode(t);
  const shim = placeShim(node);
  for (const [command, code] of Object.entries({ ADD: 11, CHECK: 11, GC: 11, STATUS: 50, add: 4, "": 4 })) {
    const told = await jsonOfShim(node, shim, { command });
    t.match(told, { exit: 1, code, msg: /./, cniVersion: command === "" ? "1.0.0" : "0.4.0" }, command);
  }
  t.strictSame(spooled(node), []);
});

t.test("an error names the configuration's version, whatever the document is", async (t) => {
  const node = await startNode(t);
  const shim = placeShim(node);
  const documents: Record<string, string> = {
    '{ "name": "a", "cniVersion" :\n "1.1.0" }': "1.1.0",
    '{"cniVersion":"123456789.0.1"}': "123456789.0.1",
    "{}": "1.0.0",
    "": "1.0.0",
    '{"cniVersion":"1.0"}': "1.0.0",
    '{"cniVersion":"1.0.0.0"}': "1.0.0",
    '{"cniVersion":"..1"}': "1.0.0",
    '{"cniVersion":"1234567890.0.1"}': "1.0.0",
    '{"cniVersion":"1\\",\\"code\\":0,\\"x\\":\\".0.0"}': "1.0.0",
    '{"cniVersion":1.0.0}': "1.0.0",
    '{"cniVersion"': "1.0.0",
    '{"cniVersion":"1.1': "1.0.0",
    "\0\0\0": "1.0.0",
  };
  for (const [stdin, cniVersion] of Object.entries(documents)) {
    t.match(
      await jsonOfShim(node, shim, { command: "ADD", stdin }),
      { exit: 1, code: 11, cniVersion },
      JSON.stringify(stdin),
    );
  }
});

t.test("VERSION without agent and Node.js answers as the plugin for Node.js does", async (t) => {
  const node = await startNode(t);
  const shim = join(BIN, "bridge");
  const documents = ["", "{}", '{"cniVersion":"0.4.0"}', '{"cniVersion":"9.9.9","x":1}', '{"cniVersion":"x"}', "[1"];
  for (const stdin of documents) {
    const [ours, theirs] = [
      await callShim(node, placeShim(node), { command: "VERSION", stdin, env: {} }),
      await callShim(node, shim, { command: "VERSION", stdin, withNode: true, env: {} }),
    ];
    t.strictSame(ours.stdout.toString(), theirs.stdout.toString(), stdin);
    t.strictSame([ours.code, theirs.code], [0, 0]);
  }
});

t.test("DEL without agent and Node.js is written down as it would have been sent, and succeeds", async (t) => {
  const node = await startNode(t);
  const shim = placeShim(node);
  const agent = await new FakeAgent((socket) => socket.end(answerFrame(0, ""))).listen(node);
  const call = { command: "DEL", env: { ...ATTACHMENT, CNI_ARGS: "a=b", TRACEPARENT: "00-1" } };
  await callShim(node, shim, call);
  await agent.stop();
  const { code, stdout, stderr } = await callShim(node, shim, call);
  t.strictSame([code, stdout.toString(), stderr.toString()], [0, "", ""]);
  const [name = "", ...others] = spooled(node);
  t.strictSame(others, []);
  t.match(name, /^[^.].*\.del$/);
  t.ok(readFileSync(node.path(join(SPOOL, name))).equals(agent.last()));
  t.strictSame([mode(node.path(SPOOL)), mode(node.path(dirname(SPOOL)))], [0o700, 0o700]);
  t.equal(mode(node.path(join(SPOOL, name))), 0o600);
});

t.test("DEL without agent is written down when the agent goes away in the middle, too", async (t) => {
  const node = await startNode(t);
  const shim = placeShim(node);
  const agent = await new FakeAgent((socket) => socket.end()).listen(node);
  t.match(await callShim(node, shim, { command: "DEL" }), { code: 0 });
  const [name = ""] = spooled(node);
  t.ok(readFileSync(node.path(join(SPOOL, name))).equals(agent.last()));
});

t.test("DELs at the same time are each written down", async (t) => {
  const node = await startNode(t);
  const shim = placeShim(node);
  const stdin = (i: number) => `{"name":"net-${i}"}`;
  await Promise.all(Array.from({ length: 20 }, (_, i) => callShim(node, shim, { command: "DEL", stdin: stdin(i) })));
  const documents = spooled(node).map((name) =>
    readFileSync(node.path(join(SPOOL, name)), "utf8")
      .split("\0")
      .at(-1),
  );
  t.strictSame(documents.sort(), Array.from({ length: 20 }, (_, i) => stdin(i)).sort());
});

t.test("a DEL without the variables that it needs is refused, not written down", async (t) => {
  const node = await startNode(t);
  const shim = placeShim(node);
  for (const env of [{}, { CNI_CONTAINERID: "c" }, { CNI_IFNAME: "eth0" }, { CNI_CONTAINERID: "", CNI_IFNAME: "e" }]) {
    t.match(await jsonOfShim(node, shim, { command: "DEL", env }), { exit: 1, code: 4, msg: /CNI_CONTAINERID/ });
  }
  t.strictSame(spooled(node), []);
});

t.test("S12: DEL fails with the reason where the spool is no folder of ours alone", async (t) => {
  const podwire = dirname(SPOOL);
  const obstacles: Record<string, (node: Node) => unknown> = {
    "a link to a folder": (node) => {
      mkdirSync(node.path(podwire));
      symlinkSync("/run/elsewhere", node.path(SPOOL));
    },
    "in a folder that is a link": (node) => symlinkSync("/run/elsewhere", node.path(podwire)),
    "a file": (node) => node.sh(`mkdir ${podwire} && touch ${SPOOL}`),
    "a folder that everybody writes to": (node) => {
      mkdirSync(node.path(SPOOL), { recursive: true });
      chmodSync(node.path(SPOOL), 0o777);
    },
    "a folder of another user": (node) => {
      mkdirSync(node.path(SPOOL), { recursive: true });
      chownSync(node.path(SPOOL), 1000, 1000);
    },
    "on a read-only file system": (node) => node.sh("mount -o remount,ro /var/lib"),
    "on a full file system": (node) =>
      node.sh(`mkdir -p ${podwire} && mount -t tmpfs -o size=64k,mode=700 t ${podwire}`),
  };
  for (const [what, prepare] of Object.entries(obstacles)) {
    const node = await startNode(t);
    const shim = placeShim(node);
    mkdirSync(node.path("/run/elsewhere/spool"), { recursive: true });
    await prepare(node);
    const told = await jsonOfShim(node, shim, { command: "DEL", stdin: "x".repeat(100_000) });
    t.match(told, { exit: 1, code: 11, msg: /\/var\/lib\/podwire\/spool: \w+/ }, what);
    t.strictSame(readdirSync(node.path("/run/elsewhere/spool")), []);
    const { stdout } = await node.run(["find", podwire, "-type", "f"]);
    t.equal(stdout.replace(`${SPOOL}\n`, ""), "", "no half of a file stays");
  }
});

t.test("a shim elsewhere finds the agent, and without it the installed plugins", async (t) => {
  const node = await startNode(t);
  const shim = placeShim(node);
  await node.sh(`mount -t tmpfs opt /opt && rm -r ${FOLDER}/.podwire`);
  placeRecorder(node, "/opt/cni/bin");
  const agent = await new FakeAgent((socket) => socket.end(answerFrame(7, ""))).listen(node);
  t.match(await callShim(node, shim, { command: "ADD", withNode: true }), { code: 7 });
  await agent.stop();
  const plugin = "/opt/cni/bin/.podwire/bridge";
  t.match(await jsonOfShim(node, shim, { command: "ADD", withNode: true }), { exit: 3, plugin });
  await node.sh("rm -r /opt/cni/bin/.podwire");
  t.match(await jsonOfShim(node, shim, { command: "ADD", withNode: true }), { exit: 1, code: 11 });
});
