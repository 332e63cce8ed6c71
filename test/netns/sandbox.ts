import { type ChildProcess, execFileSync, spawn } from "node:child_process";

/** A network and a mount namespace with a /run of its own, gone after the test with all that was made inside. */
export interface Sandbox {
  /** Runs a bash script inside and gives what it prints. @throws when a command of it fails, with what it said. */
  sh(script: string, input?: string): string;
  /** The path of a namespace that `ip netns add` made inside, as it is seen from outside. */
  netns(name: string): string;
  /** The path of the sandbox's own namespace, as it is seen from outside. */
  readonly own: string;
  /** The path of a file inside, as it is seen from outside. */
  file(inside: string): string;
  /** Runs a bash script inside that goes on, with its output in an open file. Ended with the sandbox. */
  spawn(script: string, output: number): ChildProcess;
  /** Whether the script succeeds. */
  succeeds(script: string): boolean;
}

interface Test {
  teardown(callback: () => void): void;
}

/** Opens a sandbox. Needs root. Inside, `ip netns add` makes further namespaces that nobody outside sees. */
export function openSandbox(t: Test): Sandbox {
  const holder = spawn("unshare", ["--net", "--mount", "--propagation", "private", "sleep", "infinity"], {
    stdio: "ignore",
  });
  holder.unref();
  t.teardown(() => void holder.kill());
  const pid = waitUntilInside(holder);
  const sh = (script: string, input = ""): string =>
    execFileSync("nsenter", ["--target", String(pid), "--net", "--mount", "bash", "-euc", script], {
      input,
      encoding: "utf8",
      stdio: "pipe",
    });
  sh("mount -t tmpfs tmpfs /run && ip link set lo up");
  return {
    sh,
    own: `/proc/${pid}/ns/net`,
    netns: (name) => `/proc/${pid}/root/run/netns/${name}`,
    file: (inside) => `/proc/${pid}/root${inside}`,
    spawn(script, output) {
      const enter = ["--target", String(pid), "--net", "--mount", "bash", "-euc", script];
      const child = spawn("nsenter", enter, { stdio: ["ignore", output, output] });
      t.teardown(() => void child.kill());
      return child;
    },
    succeeds(script) {
      try {
        sh(script);
        return true;
      } catch {
        return false;
      }
    },
  };
}

// unshare(1) executes the command once it is in its namespaces.
function waitUntilInside(holder: ChildProcess): number {
  const { pid } = holder;
  if (pid === undefined) throw new Error("unshare could not be started");
  execFileSync("bash", [
    "-c",
    `for i in {1..30000}; do [ "$(cat /proc/${pid}/comm)" = sleep ] && exit 0; read -rt 0.01 <> <(:) || :; done; exit 1`,
  ]);
  return pid;
}
