import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { peerCredentials } from "../../kernel/peer-credentials.ts";
import { type Caller, decodeRequest, encodeAnswer, FrameReader, type ShimAnswer, type ShimRequest } from "./wire.ts";

/** Pods that start at once wait here, in the kernel, until the host gets to them. */
const BACKLOG = 4096;

export interface ServerOptions {
  /** The socket's path; its folder is made with 0700. */
  readonly path: string;
  /**
   * Answers a request; undefined when it is for somebody else, who is told by the closed connection. `caller` changes
   * when nobody waits for the answer any more.
   */
  readonly answer: (request: ShimRequest, caller: Caller) => Promise<ShimAnswer | undefined>;
  /** Told of connections that were refused. */
  readonly onRefused: (problem: string) => void;
}

/** Listens for shims. Only root's processes are heard. */
export class ShimServer {
  readonly #options: ServerOptions;
  readonly #server: Server;
  readonly #path: string;

  private constructor(options: ServerOptions) {
    this.#options = options;
    this.#path = options.path;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /**
   * Listens under another name first, so that nobody connects before the mode is 0600, and takes the place of a socket
   * that an agent left when it was killed.
   * @throws the system's error; Error when the folder is not root's own
   */
  static async listen(options: ServerOptions): Promise<ShimServer> {
    const server = new ShimServer(options);
    const { path } = options;
    const fresh = `${path}.new`;
    makePrivateFolder(dirname(path));
    rmSync(fresh, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      server.#server.listen({ path: fresh, backlog: BACKLOG }, resolve);
    });
    chmodSync(fresh, 0o600);
    renameSync(fresh, path);
    return server;
  }

  /** No new calls; those under way are answered. Resolves when the last one is. */
  async close(): Promise<void> {
    rmSync(this.#path, { force: true });
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    const caller = { gone: false };
    // A reset is as good as a close: the caller is gone.
    socket.on("error", () => {});
    socket.on("close", () => {
      caller.gone = true;
    });
    const problem = refusal(socket);
    if (problem !== undefined) {
      this.#refuse(socket, problem);
      return;
    }
    const reader = new FrameReader();
    const onData = (chunk: Buffer) => {
      try {
        const content = reader.push(chunk);
        if (content === undefined) return;
        socket.off("data", onData).resume(); // to hear of the end
        void this.#answer(socket, decodeRequest(content), caller);
      } catch (error) {
        this.#refuse(socket, error instanceof Error ? error.message : String(error));
      }
    };
    socket.on("data", onData);
  }

  async #answer(socket: Socket, request: ShimRequest, caller: Caller): Promise<void> {
    const answer = await this.#options.answer(request, caller);
    if (answer === undefined) socket.destroy();
    else socket.end(encodeAnswer(answer));
  }

  #refuse(socket: Socket, problem: string): void {
    socket.destroy();
    this.#options.onRefused(problem);
  }
}

/** Why a connection is not heard; undefined for root's. */
function refusal(socket: Socket): string | undefined {
  try {
    const { uid, pid } = peerCredentials(socket);
    return uid === 0 ? undefined : `process ${pid} of user ${uid} is not root's`;
  } catch (error) {
    return `who it is cannot be told: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** @throws Error when somebody else than root could put a socket of their own there */
function makePrivateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const { uid, mode } = lstatSync(path);
  const isFolder = (mode & 0o170000) === 0o040000;
  if (!isFolder || uid !== 0)
    throw new Error(`${path} is not a folder of root's: remove it, and start the agent again`);
  if ((mode & 0o077) !== 0) chmodSync(path, 0o700);
}
