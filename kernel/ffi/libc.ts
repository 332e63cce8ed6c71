import { koffi, type Library } from "./native.ts";
import { SystemError } from "./system-error.ts";

/** The functions of libc that we use, in koffi's words. Each is looked up at its first call, never at import. */
const PROTOTYPES = {
  socket: ["int", ["int", "int", "int"]],
  bind: ["int", ["int", "void *", "uint"]],
  connect: ["int", ["int", "void *", "uint"]],
  setsockopt: ["int", ["int", "int", "int", "void *", "uint"]],
  getsockopt: ["int", ["int", "int", "int", "void *", "void *"]],
  send: ["long", ["int", "void *", "size_t", "int"]],
  sendto: ["long", ["int", "void *", "size_t", "int", "void *", "uint"]],
  recvfrom: ["long", ["int", "void *", "size_t", "int", "void *", "void *"]],
  close: ["int", ["int"]],
  setns: ["int", ["int", "int"]],
  unshare: ["int", ["int"]],
  mount: ["int", ["str", "str", "str", "ulong", "void *"]],
  umount2: ["int", ["str", "int"]],
  eventfd: ["int", ["uint", "int"]],
  poll: ["int", ["void *", "ulong", "int"]],
  flock: ["int", ["int", "int"]],
  mallopt: ["int", ["int", "int"]],
  ioctl: ["int", ["int", "ulong", "ulong"]],
  clock_gettime: ["int", ["int", "void *"]],
  /** The same, of what takes a struct. */
  ioctlOf: ["int", ["int", "ulong", "void *"], "ioctl"],
} as const;

type Name = keyof typeof PROTOTYPES;
type Argument = number | string | Uint8Array | null;
/** A declared function: koffi's own type knows nothing of the arguments. */
export interface ForeignFunction {
  (...args: Argument[]): number;
  async(...args: [...Argument[], (error: Error | null, result: number) => void]): void;
}

let library: Library | undefined;
const declared = new Map<Name, ForeignFunction>();

function foreign(name: Name): ForeignFunction {
  const known = declared.get(name);
  if (known !== undefined) return known;
  library ??= koffi().load(null);
  const [result, parameters, symbol = name] = PROTOTYPES[name];
  const fresh = library.func(symbol, result, [...parameters]) as ForeignFunction;
  declared.set(name, fresh);
  return fresh;
}

/**
 * Calls a function of libc.
 * @param subject what it was called on, for the message
 * @throws SystemError when it returns -1
 */
export function call(name: Name, args: readonly Argument[], subject?: string): number {
  const result = foreign(name)(...args);
  if (result === -1) throw new SystemError(name, koffi().errno(), subject);
  return result;
}

/** As {@link call}, but gives the negated errno instead of throwing: for calls that fail in the normal course. */
export function tryCall(name: Name, args: readonly Argument[]): number {
  const result = foreign(name)(...args);
  return result === -1 ? -koffi().errno() : result;
}

/** Runs the function on a thread of the pool; the buffers belong to that thread until the callback. The result is libc's own, without errno. */
export function callAsync(name: Name, args: readonly Argument[], done: (result: number) => void): void {
  foreign(name).async(...args, (error: Error | null, result: number) => {
    if (error !== null) throw error;
    done(result);
  });
}

/** <sys/socket.h> */
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
type AttachFilter = (fd: number, level: number, option: number, program: object, size: number) => number;
let attach: { readonly call: AttachFilter; readonly size: number } | undefined;

/**
 * setsockopt(SO_ATTACH_FILTER): the kernel drops what the program does not accept (socket(7)).
 * @param instructions of struct sock_filter each
 * @throws SystemError EINVAL for a program that the kernel does not take
 */
export function attachFilter(fd: number, instructions: Uint8Array, count: number): void {
  attach ??= declareAttachFilter();
  const { call: setsockopt, size } = attach;
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, { len: count, filter: instructions }, size) === 0) return;
  throw new SystemError("setsockopt", koffi().errno(), "SO_ATTACH_FILTER");
}

/** struct sock_fprog, <linux/filter.h>, holds a pointer. */
function declareAttachFilter(): { call: AttachFilter; size: number } {
  const program = koffi().struct({ len: "uint16", filter: "void *" });
  library ??= koffi().load(null);
  const parameters = ["int", "int", "int", koffi().pointer(program), "uint"];
  return { call: library.func("setsockopt", "int", parameters) as AttachFilter, size: koffi().sizeof(program) };
}
