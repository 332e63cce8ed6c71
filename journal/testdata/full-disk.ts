import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { readJournal } from "../reader.ts";
import { callNumber, openWriter } from "./calls.ts";

// The argument is a disk of some pages; what happens to a journal there is printed as JSON.
const disk = process.argv[2] ?? "";
const path = `${disk}/podwire/calls`;
mkdirSync(`${disk}/podwire`);
try {
  writeFileSync(`${disk}/filler`, Buffer.alloc(1024 * 1024));
} catch {} // now it is full
const newest = () => [...readJournal(path)][0]?.call.pod?.name;

let clock = 0;
const { writer, warnings } = openWriter(path, 64 * 1024, () => clock);
for (let n = 1; n <= 300; n++) writer.append(callNumber(n));
const full = { warnings: [...warnings], failures: writer.failures };
rmSync(`${disk}/filler`);
clock += 5000;
writer.append(callNumber(301));
const freed = newest();
try {
  writeFileSync(`${disk}/filler`, Buffer.alloc(1024 * 1024));
} catch {}
for (let n = 302; n <= 900; n++) writer.append(callNumber(n)); // several laps
const filled = { newest: newest(), warnings: warnings.length, failures: writer.failures };
process.stdout.write(JSON.stringify({ full, freed, filled }));
