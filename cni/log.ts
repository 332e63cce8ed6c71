import { messageOf } from "./error.ts";

/** Extra facts of a log line. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes JSON lines. Never to stdout: that belongs to the answer. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export interface LogOptions {
  /** Also write debug lines. */
  readonly debug?: boolean;
  readonly now?: () => Date;
}

/** A logger whose every line is `{"time", "level", ...bound, "msg", ...fields}`. */
export function jsonLogger(
  to: { write(text: string): unknown },
  bound: LogFields,
  { debug = false, now = () => new Date() }: LogOptions = {},
): Logger {
  const writer = (level: string) => (msg: string, fields?: LogFields) => {
    to.write(`${JSON.stringify({ time: now().toISOString(), level, ...bound, msg, ...fields }, writable)}\n`);
  };
  return {
    debug: debug ? writer("debug") : () => {},
    info: writer("info"),
    warn: writer("warn"),
    error: writer("error"),
  };
}

/** What JSON has no word for must not make a log line fail. */
function writable(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  return value instanceof Error ? messageOf(value) : value;
}
