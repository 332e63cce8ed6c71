type LogCall = (fields: object, message: string) => void;

/** The part of a pino logger that the core needs. */
export interface Log {
  readonly debug: LogCall;
  readonly info: LogCall;
  readonly warn: LogCall;
  readonly error: LogCall;
}
