// For ../concurrent.test.ts: adds attachments to the network in the given data folder and prints the addresses it got.
import { addressesOf, openNetwork } from "../fixture.ts";

const [, , dataDir = "", prefix = "", count = "0"] = process.argv;
const net = openNetwork(dataDir);
const addresses: unknown[] = [];
for (let index = 0; index < Number(count); index++) {
  addresses.push(...addressesOf(await net.ours("ADD", { id: `${prefix}-${index}` })));
}
process.stdout.write(JSON.stringify({ addresses }));
