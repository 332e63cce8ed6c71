import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import t, { type Test } from "tap";
import { LARGEST_DOCUMENT } from "../../cni/json.ts";
import { SHIM_FLAGS } from "../../hack/shim.ts";
import { type Node, startNode } from "./harness/node.ts";
import {
  ATTACHMENT,
  answerFrame,
  COMPILERS,
  CONF,
  callShim,
  compileShim,
  FakeAgent,
  FOLDER,
  jsonOfShim,
  nameShim,
  placeShim,
  SOCKET,
} from "./shim-fixture.ts";

const OTHERS = ["DEL", "CHECK", "GC", "STATUS", "VERSION"] as const;

/** A node with a shim and an agent that does this with each request. */
async function nodeWithAgent(t: Test, reply: (socket: Socket) => void): Promise<[Node, string, FakeAgent]> {
  const node = await startNode(t);
  return [node, placeShim(node), await new FakeAgent(reply).listen(node)];
}

t.test("the shim has fewer than 200 lines, and compiles without a warning", async (t) => {
  t.ok(readFileSync("plugins/shim/shim.c", "utf8").split("\n").length <= 200);
  for (const compiler of COMPILERS) {
    const out = join(tmpdir(), `podwire-shim-${process.pid}`);
    const args = [...SHIM_FLAGS, "-Werror", "-o", out, "plugins/shim/shim.c"];
    const { error, status, stderr } = spawnSync(compiler, args, { encoding: "utf8" });
    rmSync(out, { force: true });
    if (error !== undefined && compiler !== "cc") continue; // not installed
    t.equal(status, 0, `${compiler}: ${stderr}`);
  }
});

t.test("the request is the name, CNI_* and the trace context, an empty string, and stdin", async (t) => {
  const [node, shim, agent] = await nodeWithAgent(t, (socket) => socket.end(answerFrame(0, "")));
  const sent = {
    ...ATTACHMENT,
    CNI_ARGS: "A=b;C=\nd",
    CNI_NEW: "",
    TRACEPARENT: "00-1-2-01",
    TRACESTATE: "a=b",
    BAGGAGE: "k=v",
  };
  const kept = { XCNI_PATH: "no", CNI: "no", TRACEPARENTS: "no", HOME: "/root", NODE_OPTIONS: "" };
  const { code } = await callShim(node, shim, { command: "ADD", env: { ...sent, ...kept } });
  t.equal(code, 0);
  const frame = agent.last();
  t.equal(frame.readUInt32LE(0), frame.length - 4);
  const end = frame.indexOf("\0\0", 4);
  const head = frame.subarray(4, end + 1).toString();
  const [version, name, ...variables] = head.split("\0").slice(0, -1);
  t.strictSame([version, name], ["podwire 1", "bridge"]);
  const expected = Object.entries({ ...sent, CNI_COMMAND: "ADD" }).map(([key, value]) => `${key}=${value}`);
  t.strictSame(variables.sort(), expected.sort());
  t.equal(frame.subarray(end + 2).toString(), CONF);
});

t.test("exit code, stdout and stderr are the agent's, byte for byte", async (t) => {
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) % 256));
  const answers = [
    { code: 0, stdout: Buffer.from(""), stderr: Buffer.from("") },
    { code: 1, stdout: Buffer.from('{"code":7}\n'), stderr: Buffer.from("log\n") },
    { code: 255, stdout: bytes, stderr: bytes.subarray(1) },
  ];
  let frame: Buffer = Buffer.alloc(0);
  const [node, shim] = await nodeWithAgent(t, (socket) => socket.end(frame));
  for (const { code, stdout, stderr } of answers) {
    frame = answerFrame(code, stdout, stderr);
    const answer = await callShim(node, shim, { command: "ADD" });
    t.equal(answer.code, code);
    t.ok(answer.stdout.equals(stdout), "stdout");
    t.ok(answer.stderr.equals(stderr), "stderr");
  }
});

t.test("an answer may come in pieces, and the shim keeps its end open until it has them all", async (t) => {
  const [node, shim] = await nodeWithAgent(t, async (socket) => {
    for (const byte of answerFrame(4, "out", "err")) {
      socket.write(Buffer.of(byte));
      await pause(10); // so that it does not arrive in one
    }
  });
  const { code, stdout, stderr } = await callShim(node, shim, { command: "ADD" });
  t.strictSame([code, stdout.toString(), stderr.toString()], [4, "out", "err"]);
});

const HALF: Record<string, Uint8Array> = {
  nothing: Buffer.alloc(0),
  "half of an answer": answerFrame(0, '{"cniVersion":"1.0.0"}').subarray(0, 20),
  "an answer shorter than its head": Buffer.from([4, 0, 0, 0, 0, 0, 0, 0, 0]),
  "an answer whose stdout is longer than itself": Buffer.from([6, 0, 0, 0, 0, 9, 0, 0, 0, 65]),
  "an answer of 4 GB": Buffer.from([255, 255, 255, 255, 0, 9, 0, 0, 0, 65]),
};
for (const [what, bytes] of Object.entries(HALF)) {
  t.test(`the agent reads the request, answers with ${what} and closes: ADD says code 11`, async (t) => {
    const [node, shim] = await nodeWithAgent(t, (socket) => socket.end(bytes));
    t.match(await jsonOfShim(node, shim, { command: "ADD", withNode: true }), {
      exit: 1,
      cniVersion: "0.4.0",
      code: 11,
      msg: /went away/,
    });
    for (const command of OTHERS) {
      const told = await jsonOfShim(node, shim, { command, withNode: true, env: { ...ATTACHMENT, MARK: "m" } });
      t.strictSame(
        told,
        { exit: 3, plugin: `${FOLDER}/.podwire/bridge`, command, mark: "m", length: CONF.length, stdin: CONF },
        `${command} is executed by Node.js, with the same environment and stdin`,
      );
    }
  });
}

t.test("a connection that the agent closes before it has read the call: even ADD is executed by Node.js", async (t) => {
  const node = await startNode(t);
  const shim = placeShim(node);
  const agent = new FakeAgent(() => {});
  agent.server.removeAllListeners("connection");
  agent.server.on("connection", (socket: Socket) => socket.pause().destroy());
  await agent.listen(node);
  for (const stdin of [CONF, "x".repeat(LARGEST_DOCUMENT)]) {
    const told = await jsonOfShim(node, shim, { command: "ADD", withNode: true, stdin });
    t.match(told, { exit: 3, command: "ADD", length: stdin.length, stdin: stdin.slice(0, 100) });
  }
});

t.test("an agent that never answers: code 11 when the time has passed", async (t) => {
  const node = await startNode(t);
  const shim = compileShim(node, ["-DCONNECT_LIMIT=30", "-DANSWER_LIMIT=1"]);
  const env = { ...ATTACHMENT, PAUSE: "2500" };
  const slow = await jsonOfShim(node, shim, { command: "ADD", withNode: true, env });
  t.match(slow, { exit: 3, command: "ADD" }, "the limit is the agent's, not that of the plugin for Node.js");
  await new FakeAgent(() => {}).listen(node);
  for (const command of ["ADD", "DEL", "VERSION"]) {
    t.match(await jsonOfShim(node, shim, { command, withNode: true }), { exit: 1, code: 11, msg: /no answer in time/ });
  }
  const told = await jsonOfShim(node, shim, { command: "ADD", stdin: "{", open: true });
  t.match(told, { exit: 1, cniVersion: "1.0.0", code: 11, msg: /writes to stdin/ }, "or a stdin that never ends");
});

t.test("an agent that accepts no more connections: code 11 when the time has passed", async (t) => {
  const node = await startNode(t);
  const shim = compileShim(node, ["-DCONNECT_LIMIT=1", "-DANSWER_LIMIT=60"]);
  const listen = `require("fs").mkdirSync("/run/podwire");
    require("net").createServer().listen({ path: "${SOCKET}", backlog: 1 }, () => {
      require("fs").writeSync(1, "listening");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  await node.spawn([process.execPath, "-e", listen]).prints(/listening/);
  for (let full = false; !full; ) {
    const socket = createConnection(node.path(SOCKET));
    t.teardown(() => socket.destroy());
    full = await once(socket, "connect").then(
      () => false,
      (error) => error.code === "EAGAIN",
    );
  }
  for (const command of ["ADD", "DEL", "VERSION"]) {
    t.match(await jsonOfShim(node, shim, { command, withNode: true }), { exit: 1, code: 11, msg: /does not accept/ });
  }
});

t.test("S1: a name that no plugin has is refused, whatever it is", async (t) => {
  const [node, shim, agent] = await nodeWithAgent(t, (socket) => socket.end(answerFrame(0, "")));
  for (const name of ["Bridge", "a b", 'a"b', "a\nb", "a.b", "-é", "..b", "%s%n", "x".repeat(65), "$(id)"]) {
    const told = await jsonOfShim(node, nameShim(node, shim, name), { command: "ADD" });
    t.match(told, { exit: 1, code: 4, msg: /\[a-z0-9-\]\+/ }, JSON.stringify(name));
  }
  t.equal(agent.requests.length, 0);
  t.equal((await callShim(node, nameShim(node, shim, "host-local"), { command: "ADD" })).code, 0);
  t.match(agent.last().toString(), /podwire 1\0host-local\0/);
});

t.test("S2: stdin may have 1 MiB, and a byte more is code 6", async (t) => {
  const [node, shim, agent] = await nodeWithAgent(t, (socket) => socket.end(answerFrame(0, "")));
  const largest = "x".repeat(LARGEST_DOCUMENT);
  t.equal((await callShim(node, shim, { command: "ADD", stdin: largest })).code, 0);
  t.ok(agent.last().subarray(-LARGEST_DOCUMENT).equals(Buffer.from(largest)));
  for (const stdin of [`${largest}x`, largest.repeat(3)]) {
    t.match(await jsonOfShim(node, shim, { command: "ADD", stdin }), { exit: 1, code: 6, msg: /1 MiB/ });
  }
  t.equal(agent.requests.length, 1);
});

t.test("S2: more than 64 KiB of CNI_* variables are code 4", async (t) => {
  const [node, shim, agent] = await nodeWithAgent(t, (socket) => socket.end(answerFrame(0, "")));
  const env = { ...ATTACHMENT, CNI_ARGS: "x".repeat(65_000) };
  t.equal((await callShim(node, shim, { command: "ADD", env, stdin: "x".repeat(LARGEST_DOCUMENT) })).code, 0);
  t.ok(agent.last().length - 4 <= 65_536 + LARGEST_DOCUMENT);
  const told = await jsonOfShim(node, shim, { command: "ADD", env: { ...env, CNI_X: "x".repeat(1000) } });
  t.match(told, { exit: 1, code: 4, msg: /64 KiB/ });
});

t.test("without a command, and for VERSION at a terminal, nobody has to end stdin", async (t) => {
  const [node, shim, agent] = await nodeWithAgent(t, (socket) => socket.end(answerFrame(0, "", "about\n")));
  for (const command of [undefined, ""]) {
    const { code, stderr } = await callShim(node, shim, { command, env: {}, stdin: "{}", open: true });
    t.strictSame([code, stderr.toString()], [0, "about\n"]);
    t.ok(agent.last().toString().endsWith("\0\0"));
  }
  const terminal = spawn(node.enter[0] ?? "", [...node.enter.slice(1), "script", "-qec", shim, "/dev/null"], {
    stdio: ["pipe", "ignore", "inherit"],
    env: { PATH: process.env.PATH, CNI_COMMAND: "VERSION" },
  });
  t.strictSame(await once(terminal, "exit"), [0, null]);
});

t.test("closed descriptors are no obstacle, and none of them becomes the socket", async (t) => {
  const [node, shim, agent] = await nodeWithAgent(t, (socket) => socket.end(answerFrame(6, "out", "err")));
  const env = { ...ATTACHMENT, CNI_COMMAND: "ADD", PATH: "/usr/bin:/bin" };
  for (const closed of ["<&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"]) {
    t.match(await node.run(["sh", "-c", `exec ${shim} ${closed}`], { env }), { code: 6 }, closed);
    t.ok(agent.last().toString().endsWith("\0\0"), `${closed}: an empty document`);
  }
  const gone = `exec 9> >(exit 0); wait $!; ${shim} 2>&9`;
  t.match(await node.run(["bash", "-c", gone], { env }), { code: 6, stdout: "out" }, "nobody reads stderr any more");
});

t.test("a shim that ends early closes the connection, so that the agent knows", async (t) => {
  const node = await startNode(t);
  const agent = new FakeAgent(() => caller.kill("SIGKILL"));
  const closed = once(agent.server, "connection").then(([socket]) => once(socket, "close"));
  await agent.listen(node);
  const caller = spawn(node.enter[0] ?? "", [...node.enter.slice(1), placeShim(node)], {
    env: { ...ATTACHMENT, CNI_COMMAND: "ADD" },
    stdio: ["pipe", "ignore", "inherit"],
  });
  caller.stdin.end(CONF);
  await closed;
  t.equal(agent.requests.length, 1);
});
