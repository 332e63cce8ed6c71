/** What cnictl's exit code says. 0 and 1 are kubectl's; the others let scripts tell apart what they can wait for. */
export const ExitCode = {
  /** Done. For `status`: every node asked for has converged. */
  ok: 0,
  /** Wrong usage, nothing of that name, or the controller refused. */
  failure: 1,
  /** `status` alone: not every node has converged (with --wait: in that time). */
  notConverged: 2,
  /** `conformance` alone: wrong usage, or no namespaces to try plugins in. 1 says that a plugin has failed. */
  usage: 2,
  /** The controller cannot be reached, or did not answer in time. */
  unreachable: 3,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** An end of the command that the user is told about in one sentence, without a stack. */
export class CommandError extends Error {
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = ExitCode.failure, options?: ErrorOptions) {
    super(message, options);
    this.name = "CommandError";
    this.exitCode = exitCode;
  }
}

/** kubectl's sentence for an object that does not exist. */
export function notFound(kind: string, name: string): CommandError {
  return new CommandError(`Error from server (NotFound): ${kind} "${name}" not found`);
}

/** kubectl's prefix for a mistake on the command line. */
export function usageError(message: string, exitCode: ExitCode = ExitCode.failure): CommandError {
  return new CommandError(`error: ${message}`, exitCode);
}
