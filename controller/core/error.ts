/** Names of gRPC status codes that a request can end with. */
export type StatusName =
  | "INVALID_ARGUMENT"
  | "ALREADY_EXISTS"
  | "NOT_FOUND"
  | "FAILED_PRECONDITION"
  | "RESOURCE_EXHAUSTED"
  | "UNAVAILABLE"
  | "ABORTED"
  | "DEADLINE_EXCEEDED"
  | "INTERNAL";

/** What a node or an administrator asked for cannot be done; the message says which key and value, and what to do. */
export class RequestError extends Error {
  readonly status: StatusName;
  constructor(status: StatusName, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** @throws RequestError INVALID_ARGUMENT, always: a shorthand for validators. */
export function invalid(key: string, value: unknown, advice: string): never {
  const shown = typeof value === "string" ? JSON.stringify(value.slice(0, 80)) : String(value);
  throw new RequestError("INVALID_ARGUMENT", `${key}: ${shown} ${advice}`);
}

/** What `check` gives. @throws RequestError INVALID_ARGUMENT with the message of its RangeError */
export function refusing<T>(check: () => T): T {
  try {
    return check();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new RequestError("INVALID_ARGUMENT", cause.message, { cause });
  }
}
