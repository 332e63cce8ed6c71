/** Time as an argument: the system's in production, a virtual one in tests. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Calls once after that many milliseconds, unless cancelled before. */
  after(milliseconds: number, call: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** Resolves after that many milliseconds of the clock. */
export function delay(clock: Clock, milliseconds: number): Promise<void> {
  return new Promise((resolve) => void clock.after(milliseconds, resolve));
}
