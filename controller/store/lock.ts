import { closeSync, constants, openSync, statSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";

/** Another living process holds the lock. */
export class LockedError extends Error {
  readonly code = "LOCKED";
}

export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes a lock that the kernel frees when the process dies, however it dies: a listening unix socket in the folder. A
 * socket file that nobody listens on was left by a dead process and is replaced.
 * @throws LockedError
 */
export async function acquireLock(directory: string, name: string): Promise<Lock> {
  // Socket paths hold 107 bytes; through the folder's descriptor any folder will do.
  const folder = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  const path = `/proc/self/fd/${folder}/${name}`;
  try {
    const server = (await listen(path)) ?? (await replaceStale(path, directory));
    return {
      release: async () => {
        await new Promise((resolve) => server.close(resolve)); // takes the file away too
        closeSync(folder);
      },
    };
  } catch (error) {
    closeSync(folder);
    throw error;
  }
}

async function replaceStale(path: string, directory: string): Promise<Server> {
  const { ino } = statSync(path);
  if (!(await isStale(path))) {
    throw new LockedError(`${directory} is in use by another controller; stop it, or give this one its own --data-dir`);
  }
  if (statSync(path).ino === ino) unlinkSync(path);
  const server = await listen(path);
  if (server === undefined) throw new LockedError(`${directory} was taken by another controller a moment ago`);
  return server;
}

/** Undefined when the path exists. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen(path, () => resolve(server.unref()));
  });
}

function isStale(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") resolve(true);
      else reject(error);
    });
  });
}
