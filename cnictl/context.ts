import type { Admin } from "./connection.ts";

/** What a command gets of the world around it. */
export interface Context {
  /** Opens the connection that the command line describes; gRPC is loaded by the first call. */
  connect(): Promise<Admin>;
  /** Writes to standard output: the answer. */
  out(text: string): void;
  /** Writes to standard error: remarks that no script reads. */
  note(text: string): void;
  /** Milliseconds since the epoch. */
  now(): number;
}
