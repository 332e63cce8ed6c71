import { errnoName } from "../ffi/system-error.ts";

/** A request that the kernel refused: which one, errno, and the kernel's own sentence (extended ack) when it gave one. */
export class NetlinkError extends Error {
  override readonly name = "NetlinkError";
  /** Positive, as in <errno.h>. */
  readonly errno: number;
  /** The errno's name: "EEXIST", "ENODEV", … */
  readonly code: string;
  /** What was asked, in words: `RTM_NEWLINK vx0`. */
  readonly request: string;
  /** NLMSGERR_ATTR_MSG, the kernel's sentence. */
  readonly extack?: string;

  constructor(errno: number, request: string, extack?: string) {
    const code = errnoName(errno);
    super(extack === undefined ? `${request}: ${code}` : `${request}: ${code}: ${extack}`);
    this.errno = errno;
    this.code = code;
    this.request = request;
    if (extack !== undefined) this.extack = extack;
  }
}

/** Whether the kernel refused with one of these codes ("ENODEV"). */
export function isNetlinkError(error: unknown, ...codes: readonly string[]): error is NetlinkError {
  return error instanceof NetlinkError && codes.includes(error.code);
}
