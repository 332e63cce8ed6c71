import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { PATIENCE_MS } from "./harness/eventually.ts";
import type { Owner } from "./harness/node.ts";

/** Answers whoever asks by TCP or UDP with its name and the asker's address, and asks when a line on stdin tells it to. */
const SCRIPT = `
const net = require("net"), dgram = require("dgram"), [name, ...ports] = process.argv.slice(1);
const plain = (address) => address.replace(/^::ffff:/, "");
let open = 2 * ports.length;
const ready = () => { if (--open === 0) console.log("ready"); };
for (const port of ports.map(Number)) {
  net.createServer((s) => { s.on("error", () => {}); s.end(name + " " + plain(s.remoteAddress)); }).listen(port, "::", ready);
  const u = dgram.createSocket("udp6").bind(port, "::", ready);
  u.on("message", (_, from) => u.send(name + " " + plain(from.address), from.port, from.address));
}
if (ports.length === 0) console.log("ready");
const asked = {
  tcp({ address, port, from }, tell) {
    const s = net.connect({ host: address, port, ...(from && { localPort: from }) });
    let text = "";
    s.on("data", (data) => { text += data; }).on("end", () => tell(text)).on("error", (e) => tell(e.code));
    return () => s.destroy();
  },
  udp({ address, port, from }, tell) {
    const s = dgram.createSocket(address.includes(":") ? "udp6" : "udp4").on("error", (e) => tell(e.code));
    s.on("message", (data) => tell(String(data)));
    s.bind(from ?? 0, () => s.send("?", port, address, (e) => e && tell(e.code)));
    const again = setInterval(() => s.send("?", port, address, () => {}), 300);
    return () => { clearInterval(again); s.close(); };
  },
};
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const question = JSON.parse(line);
  let stop = () => {};
  const timer = setTimeout(() => done("silence"), question.wait);
  const done = (answer) => { clearTimeout(timer); stop(); stop = () => {}; console.log(JSON.stringify({ id: question.id, answer })); };
  let told = false;
  stop = asked[question.protocol](question, (answer) => { if (!told) { told = true; done(answer); } });
}).on("close", () => process.exit());
`;

/** How long nothing may be said before it counts as silence, where silence is expected. */
const SILENCE_MS = 1000;

export interface Asking {
  readonly protocol?: "tcp" | "udp";
  /** The own port. */
  readonly from?: number;
  /** Do not wait for long. */
  readonly expectSilence?: boolean;
}

/** A program in a namespace that serves ports and asks others. */
export class Talker {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: string) => void>();
  #last = 0;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** @param enter the words before a command that make it run inside the namespace */
  static async start(
    owner: Owner,
    enter: readonly string[],
    name: string,
    ports: readonly number[] = [],
  ): Promise<Talker> {
    const [command = "", ...words] = [...enter, process.execPath, "-e", SCRIPT, name, ...ports.map(String)];
    const child = spawn(command, words, { stdio: ["pipe", "pipe", "inherit"] });
    const talker = new Talker(child);
    owner.teardown(() => void child.kill("SIGKILL"));
    await new Promise<void>((resolve, reject) => {
      child.on("exit", () => reject(new Error(`the talker ${name} ended`)));
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (line === "ready") return resolve();
        const { id, answer } = JSON.parse(line);
        talker.#waiting.get(id)?.(answer);
        talker.#waiting.delete(id);
      });
    });
    return talker;
  }

  /** Who answers, and whom it takes the asker for: `red 192.0.2.1`; `silence`; or an error such as ECONNREFUSED. */
  ask(address: string, port: number, { protocol = "tcp", from, expectSilence = false }: Asking = {}): Promise<string> {
    const id = ++this.#last;
    const wait = expectSilence ? SILENCE_MS : PATIENCE_MS;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.stdin?.write(`${JSON.stringify({ id, address, port, protocol, from, wait })}\n`);
    });
  }

  stop(): void {
    this.#child.kill("SIGKILL");
  }
}
