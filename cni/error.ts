/** The error codes of the CNI specification, "Error"; 8 and 999 are from the reference library (pkg/types). */
export const Code = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodingFailure: 6,
  invalidConfig: 7,
  invalidNetns: 8,
  tryAgainLater: 11,
  notAvailable: 50,
  limitedConnectivity: 51,
  /** Ours, from the range for plugins: CHECK found that the kernel no longer holds what ADD made. */
  checkFailed: 100,
  /** Ours: what the configuration asks for cannot be had from this kernel. */
  lackingKernel: 101,
  internal: 999,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

export interface CniErrorOptions extends ErrorOptions {
  /** A longer text for the `details` key of the error. */
  readonly details?: string;
}

/** An error that leaves a plugin with this code and message. A delegate's error keeps whatever code the delegate chose. */
export class CniError extends Error {
  override readonly name = "CniError";
  readonly code: number;
  readonly details: string | undefined;

  constructor(code: number, message: string, options: CniErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.details = options.details;
  }
}

/** A delegate's executable could not be started at all, so there is nothing of it to clean up. */
export class NotStartedError extends CniError {}

/** The JSON form of an error on stdout. */
export interface ErrorAnswer {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

/**
 * The answer for anything that was thrown. What is not a {@link CniError} becomes code 999; an AggregateError takes the
 * first CNI code among its parts and names them all; a cause is told in `details`.
 */
export function errorAnswer(thrown: unknown, cniVersion: string): ErrorAnswer {
  const error = withoutSuppression(thrown);
  const details = error instanceof CniError && error.details !== undefined ? error.details : causes(error);
  return { cniVersion, code: codeOf(error), msg: messageOf(error), ...(details === "" ? {} : { details }) };
}

/** What was thrown, in one line. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    const parts = error.errors.map(messageOf).join("; ");
    return error.message === "" ? parts : `${error.message}: ${parts}`;
  }
  if (error instanceof Error) return error.message === "" ? error.name : error.message;
  return String(error);
}

function codeOf(error: unknown): number {
  if (error instanceof CniError) return error.code;
  if (error instanceof AggregateError) {
    const first = error.errors.find((part) => codeOf(part) !== Code.internal);
    if (first !== undefined) return codeOf(first);
  }
  return Code.internal;
}

function causes(error: unknown): string {
  const messages: string[] = [];
  let cause = error instanceof Error ? error.cause : undefined;
  while (cause !== undefined && messages.length < 8) {
    messages.push(messageOf(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return messages.join(": ");
}

/** A `using` block whose release failed too throws a SuppressedError: the first failure is the one to report. */
function withoutSuppression(error: unknown): unknown {
  let first = error;
  while (first instanceof Error && first.name === "SuppressedError" && "suppressed" in first) first = first.suppressed;
  return first;
}
