import { randomBytes } from "node:crypto";
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";

/** Another living process holds the lock. */
export class LockedError extends Error {
  readonly code = "LOCKED";
}

export interface Lock {
  release(): Promise<void>;
}

/** Where the holder's name is kept, for whoever has the folder open. */
export interface Register {
  /** Writes `next` if the name there is still `expected`; answers the name that was there. Atomic between processes. */
  exchange(expected: string | undefined, next: string): string | undefined;
}

/**
 * Takes a lock that a process loses when it dies, however it dies. Each contender listens on a unix socket of its own in the
 * folder, under a name that is never used again, and then puts that name into the register in place of the name of nobody
 * or of one that does not listen. A name that was found dead stays dead, so compare-and-swap leaves no gap between looking
 * and taking, and nothing depends on process ids, which differ between containers.
 * @throws LockedError
 */
export async function acquireLock(directory: string, register: Register): Promise<Lock> {
  // Socket paths hold 107 bytes; through the folder's descriptor any folder will do.
  const folder = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  const path = (name: string) => `/proc/self/fd/${folder}/${name}`;
  const own = `lock-${randomBytes(8).toString("hex")}.sock`;
  let server: Server | undefined;
  try {
    server = await listen(path(own));
    let dead: string | undefined;
    for (;;) {
      const holder = register.exchange(dead, own);
      if (holder === dead) break;
      if (holder !== undefined && (await isAlive(path(holder)))) {
        const advice = "stop it, or give this one its own --data-dir";
        throw new LockedError(`${directory}: the store is in use by another controller; ${advice}`);
      }
      dead = holder;
    }
    if (dead !== undefined) rmSync(path(dead), { force: true });
  } catch (error) {
    await close(server);
    closeSync(folder);
    throw error;
  }
  return {
    release: async () => {
      await close(server);
      closeSync(folder);
    },
  };
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", reject);
    server.listen(path, () => resolve(server.unref()));
  });
}

/** Takes the socket's file away, too. */
function close(server: Server | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (server === undefined) resolve();
    else server.close(() => resolve());
  });
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      else reject(error);
    });
  });
}
