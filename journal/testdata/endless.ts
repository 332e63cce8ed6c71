import { callNumber, openWriter } from "./calls.ts";

// Writes calls of several lengths into the file that is named first until it is killed, and says so after the first.
const { writer } = openWriter(process.argv[2] ?? "", Number(process.argv[3]), () => 0);
for (let n = 1; ; n++) {
  writer.append(callNumber(n, { message: "x".repeat(n % 500) }));
  if (n === 1) process.stdout.write("writing\n");
}
