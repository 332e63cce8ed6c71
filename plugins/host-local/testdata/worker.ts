// For ../concurrent.test.ts: adds attachments to the network in the given data folder and prints a line for each when it is
// done, its name and its address; half-way it says "half" and waits for a byte on stdin. With "resident" it is a process that stays; "endless" ones add and delete until killed.
import { readSync } from "node:fs";
import { addressesOf, openNetwork } from "../fixture.ts";
import { makeResidentMachine, thisMachine } from "../machine.ts";

const [, , dataDir = "", prefix = "", count = "0", host = "one-shot"] = process.argv;
const machine = host === "resident" ? makeResidentMachine(console.error) : thisMachine;
const net = openNetwork(dataDir, undefined, machine);
for (let index = 0; count === "endless" || index < Number(count); index++) {
  if (index === Number(count) / 2) {
    process.stdout.write("half\n");
    readSync(0, Buffer.alloc(1));
  }
  const id = `${prefix}-${index}`;
  process.stdout.write(`${id} ${addressesOf(await net.ours("ADD", { id }))}\n`);
  if (count === "endless") await net.ours("DEL", { id: `${prefix}-${index - 3}` });
}
