import { runProgram } from "./program.ts";

// A reader that went away (`cnictl get pods | head`) is no error of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});
// grpc-js names a controller that is known by its address alone as the TLS server name, which Node warns of each time.
process.noDeprecation = true;

async function main(): Promise<void> {
  const code = await runProgram(process.argv.slice(2), {
    defaultServer: process.env.CNICTL_SERVER || "127.0.0.1:7444",
    out: (text) => process.stdout.write(text),
    note: (text) => process.stderr.write(text),
    now: Date.now,
  });
  // A connection that never came about keeps a socket open for as long as the kernel tries; the answer does not wait for that.
  process.stdout.write("", () => process.exit(code));
}

void main();
