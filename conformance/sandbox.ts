import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { dirname } from "node:path";

/** Programs are looked for where a runtime's service would, and beside our own interpreter. */
const PATH = `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${dirname(process.execPath)}`;

/** Where the kit keeps what it needs inside. */
export const KIT = "/run/.kit";

/**
 * Makes the sandbox's own /proc, /sys, /run, /var/lib and /etc, says which process it is, and stays until its stdin closes. The
 * folder of plugins stays where it is, even when it lies in one of those that are replaced. /etc is a copy that may be
 * written, or cannot be written at all where the kernel has no overlayfs.
 */
const HOLD = `
set -e
read -r pid rest </proc/self/stat
mount -t proc proc /proc
mount -t sysfs sysfs /sys 2>/dev/null || :
exec 8<"$BIN"
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/netns /run/lock ${KIT}/etc ${KIT}/work ${KIT}/bin
mount -t overlay -o lowerdir=/etc,upperdir=${KIT}/etc,workdir=${KIT}/work etc /etc 2>/dev/null ||
  { mount --bind /etc /etc; mount -o remount,bind,ro /etc; }
mount -t tmpfs -o mode=755 lib /var/lib
mkdir -p /var/lib/cni
[ "$BIN" -ef /proc/self/fd/8 ] || { mkdir -p "$BIN"; mount -c --bind /proc/self/fd/8 "$BIN"; }
exec 8<&-
ip link set lo up
if [ -n "$DAEMON" ]; then
  sh -c "$DAEMON" >${KIT}/daemon.log 2>&1 </dev/null &
  while [ -n "$READY" ] && ! [ -e "$READY" ]; do
    kill -0 $! 2>/dev/null || { echo "the daemon has ended: $(tail -n 3 ${KIT}/daemon.log)" >&2; exit 1; }
    sleep 0.02
  done
fi
echo "ready $pid"
exec cat
`;

export interface SandboxOptions {
  /** The folder of plugins, an absolute path. */
  readonly bin: string;
  /** A shell command that runs in every sandbox before any plugin does, for plugins that need one. */
  readonly daemon?: string;
  /** The path that exists once the daemon is ready. */
  readonly ready?: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  /** Milliseconds after which it is killed with its children. */
  readonly limit?: number;
}

export interface Finished {
  /** The exit code; undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly milliseconds: number;
  /** Whether the limit ended it. */
  readonly overdue: boolean;
}

const LIMIT = 60_000;
const LARGEST_OUTPUT = 4 * 1024 * 1024;

/**
 * A machine to try plugins on: network, mount and process namespaces of its own, gone with everything in it when it is closed or when
 * this process ends. The only place where the kit starts processes, all of them inside.
 */
export class Sandbox implements AsyncDisposable {
  readonly #holder: ChildProcess;
  readonly #pid: number;

  private constructor(holder: ChildProcess, pid: number) {
    this.#holder = holder;
    this.#pid = pid;
  }

  /** @throws Error with what the system said when namespaces cannot be made: without root, for instance */
  static async open({ bin, daemon = "", ready = "" }: SandboxOptions): Promise<Sandbox> {
    const namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private"];
    const holder = spawn("unshare", [...namespaces, "sh", "-c", HOLD], {
      env: { PATH, BIN: bin, DAEMON: daemon, READY: ready },
      stdio: ["pipe", "pipe", "pipe"],
      cwd: "/",
    });
    let said = "";
    holder.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    holder.stdin.on("error", () => {});
    const failed = once(holder, "close").then(([code]) => {
      throw new Error(`no namespaces could be made (exit ${code}): ${said.trim()}`);
    });
    const [line] = (await Promise.race([once(holder.stdout, "data"), failed])) as [Buffer];
    failed.catch(() => {}); // closing it is no failure
    const [, pid] = /^ready (\d+)/.exec(line.toString()) ?? [];
    if (pid === undefined) throw new Error(`no namespaces could be made: ${line}${said}`);
    return new Sandbox(holder, Number(pid));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#holder.exitCode !== null || this.#holder.signalCode !== null) return;
    const closed = once(this.#holder, "close");
    this.#holder.stdin?.end();
    await closed;
  }

  /** Runs a program inside, with this environment and nothing else but PATH. A failure is no error. */
  run(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return this.#run(argv, options, options.limit ?? LIMIT);
  }

  /** Runs a line of sh(1) inside and gives what it prints. @throws Error with what it said when it fails */
  async sh(line: string): Promise<string> {
    const { code, signal, stdout, stderr } = await this.run(["sh", "-ec", line]);
    if (code !== 0) throw new Error(`${line.slice(0, 200)}: ${signal ?? `exit ${code}`}: ${stderr.trim()}`);
    return stdout;
  }

  #run(argv: readonly string[], { env, input }: RunOptions, limit: number): Promise<Finished> {
    const begun = performance.now();
    const enter = [`--target=${this.#pid}`, "--net", "--mount", "--pid", "--"];
    const child = spawn("nsenter", [...enter, ...argv], {
      env: { PATH, ...env },
      stdio: ["pipe", "pipe", "pipe"],
      cwd: "/",
      detached: true, // a group of its own, so that a kill ends its children too
    });
    let overdue = false;
    const timer = setTimeout(() => {
      overdue = true;
      killGroup(child);
    }, limit);
    const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
    child.stdin.on("error", () => {}); // it may end without reading
    child.stdin.end(input ?? "");
    return new Promise((resolve, reject) => {
      child.on("error", reject);
      // Not "close": a child that it left behind may hold its output open.
      child.on("exit", (code, signal) => {
        clearTimeout(timer);
        const milliseconds = performance.now() - begun;
        const finish = () => {
          resolve({
            code: code ?? undefined,
            signal: signal ?? undefined,
            stdout: stdout(),
            stderr: stderr(),
            milliseconds,
            overdue,
          });
        };
        const patience = setTimeout(() => {
          child.stdout.destroy();
          child.stderr.destroy();
        }, 2000);
        child.on("close", () => {
          clearTimeout(patience);
          finish();
        });
      });
    });
  }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length <= LARGEST_OUTPUT) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString("utf8");
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // the group has already ended
  }
}
