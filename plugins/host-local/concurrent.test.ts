import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import t from "tap";
import { makeNetwork } from "./fixture.ts";

const PROCESSES = 3;
const ADDS = 50;

t.test(`${PROCESSES} processes with ${ADDS} ADDs each never get one address twice`, async (t) => {
  const net = makeNetwork(t);
  const worker = fileURLToPath(new URL("testdata/worker.ts", import.meta.url));
  const children = Array.from({ length: PROCESSES }, (_, index) =>
    spawn(process.execPath, ["--import=tsx", worker, net.dataDir, `process${index}`, String(ADDS)], {
      stdio: ["ignore", "pipe", "inherit"],
    }),
  );
  const outputs = await Promise.all(
    children.map(async (child) => {
      let text = "";
      child.stdout.on("data", (chunk) => {
        text += chunk;
      });
      await once(child, "close");
      return JSON.parse(text) as { readonly addresses: readonly string[] };
    }),
  );
  const addresses = outputs.flatMap((output) => output.addresses);
  t.equal(addresses.length, PROCESSES * ADDS);
  t.equal(new Set(addresses).size, addresses.length);
  t.equal(Object.keys(net.onDisk()).length, addresses.length);
  const runs = outputs.map((output) => output.addresses.map((address) => Number(address.split(/[./]/)[3])));
  const interleaved = runs.some((run) => run.some((last, index) => index > 0 && last !== (run[index - 1] ?? 0) + 1));
  t.ok(interleaved, "they ran at the same time");
});
