import { getSystemErrorName } from "node:util";

/** A libc call that failed; shaped like the errors of Node.js (`code`, `errno`, `syscall`), so one test fits both. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  /** Positive, as in <errno.h>. */
  readonly errno: number;
  /** "ENOENT", "EPERM", … */
  readonly code: string;
  readonly syscall: string;
  constructor(syscall: string, errno: number, subject?: string) {
    const code = errnoName(errno);
    super(subject === undefined ? `${syscall}: ${code}` : `${syscall} ${subject}: ${code}`);
    this.errno = errno;
    this.code = code;
    this.syscall = syscall;
  }
}

/** "ENODEV" for 19; "errno N" for one that Node.js has no name for. */
export function errnoName(errno: number): string {
  if (errno === 95) return "EOPNOTSUPP"; // the kernel's word for it; libuv says ENOTSUP
  if (errno <= 0) return `errno ${errno}`;
  const name = getSystemErrorName(-errno);
  return name.startsWith("Unknown") ? `errno ${errno}` : name;
}
