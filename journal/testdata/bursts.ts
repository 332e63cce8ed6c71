import { callNumber, openWriter } from "./calls.ts";

// Writes a burst of calls of several lengths into the file that is named first for each byte on stdin, and says when it is done.
const BURST = 40;
const { writer } = openWriter(process.argv[2] ?? "", Number(process.argv[3]), () => 0);
process.stdout.write("ready\n");
let n = 0;
process.stdin.on("data", () => {
  for (const end = n + BURST; n < end; n++) writer.append(callNumber(n, { message: "x".repeat(n % 250) }));
  process.stdout.write("done\n");
});
