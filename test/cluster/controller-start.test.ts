import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { BIN } from "../netns/harness/node.ts";
import { createAuthority } from "./harness/certificates.ts";

const CONTROLLER = `${BIN}/podwire-controller`;
const folder = mkdtempSync(join(tmpdir(), "podwire-start-"));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a controller that is not meant to live; ended by SIGTERM once its output matches. */
async function run(flags: readonly string[], until?: RegExp) {
  const listen = ["--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--store=memory"];
  const child = spawn(CONTROLLER, [...listen, ...flags]);
  t.teardown(() => child.kill("SIGKILL"));
  let [stdout, stderr] = ["", ""];
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk;
  });
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk;
    if (until?.test(stdout)) child.kill("SIGTERM");
  });
  const [code, signal] = await once(child, "close");
  return { code: code as number | null, signal: signal as string | null, stdout, stderr };
}

/** It ends with 1, and its last line is JSON with a reason. */
async function refused(t: Test, flags: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(flags);
  t.equal(code, 1, flags.join(" "));
  t.equal(stderr, "", "nothing but JSON lines");
  const line = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { level: string; reason: string };
  t.equal(line.level, "fatal");
  return line.reason;
}

t.test("usage errors: 2, and words on standard error; help: 0", async (t) => {
  const unknown = await run(["--no-such-flag"]);
  t.match(unknown, { code: 2, stdout: "", stderr: /unknown option '--no-such-flag'/ });
  t.match(await run(["--lease-ttl=soon"]), { code: 2, stderr: /--lease-ttl.*soon.*24h/ });
  t.match(await run(["--help"]), { code: 0, stdout: /PODWIRE_<UPPER_SNAKE>/ });
});

t.test("a port that is taken ends it with 1 and a sentence", async (t) => {
  const other = createServer().listen(0, "127.0.0.1");
  t.teardown(() => other.close());
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  t.match(await refused(t, [`--listen=127.0.0.1:${port}`]), new RegExp(`--listen: .*127.0.0.1:${port}.*EADDRINUSE`));
  t.match(await refused(t, [`--metrics-listen=127.0.0.1:${port}`]), /--metrics-listen: .*EADDRINUSE/);
});

t.test("wrong TLS files end it with 1 and a sentence that names the flag and the file", async (t) => {
  const authority = await createAuthority(t);
  const ca = ["--tls-ca", authority.ca];
  const one = await authority.issue("one", ["127.0.0.1"]);
  const other = await authority.issue("other", ["127.0.0.1"]);
  t.match(
    await refused(t, [...ca, "--tls-cert=/nonexistent.crt", "--tls-key", one.key]),
    /--tls-cert: cannot read \/nonexistent\.crt.*ENOENT/,
  );
  t.match(await refused(t, [...ca, "--tls-cert", one.cert, "--tls-key", other.key]), /--tls-key .*its own key/);
  const text = join(folder, "text.pem");
  writeFileSync(text, "no certificate\n");
  t.match(await refused(t, [...ca, "--tls-cert", text, "--tls-key", one.key]), /--tls-cert .*text\.pem.*PEM/);
});

t.test("a wrong CIDR ends it with 1 and a sentence with the value", async (t) => {
  t.match(await refused(t, ["--network-cidr=10.244.0.1/16"]), /10\.244\.0\.1\/16.*10\.244\.0\.0\/16/);
  t.match(await refused(t, ["--network-cidr=10.244.0.0/28"]), /subnet length.*24/);
});

t.test("a store that another process has open ends it with 1 and a sentence", async (t) => {
  const flags = ["--store=embedded", `--data-dir=${join(folder, "store")}`];
  const first = spawn(CONTROLLER, ["--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", ...flags]);
  t.teardown(() => first.kill("SIGKILL"));
  for await (const chunk of first.stdout) if (String(chunk).includes("listening")) break;
  t.match(await refused(t, flags), /store is in use by another controller.*--data-dir/);
});

t.test("etcd that nobody reaches is waited for, with a line each few seconds, and SIGTERM still ends it", async (t) => {
  const flags = ["--store=etcd", "--etcd-endpoints=http://127.0.0.1:1"];
  const { code, stdout } = await run(flags, /trying again[\s\S]*trying again/);
  t.equal(code, 0);
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { level: string; msg: string; reason: string });
  t.match(lines[0], { level: "warn", msg: /store does not answer; trying again/ });
  t.match(lines[0]?.reason, /etcd.*127\.0\.0\.1:1/);
});
