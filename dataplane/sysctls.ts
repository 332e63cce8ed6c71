import { readSysctl, writeSysctl } from "../kernel/sysctl.ts";
import type { DesiredSysctl } from "../overlay/state.ts";
import type { Kind } from "../reconcile/step.ts";

/** Sysctls of this thread's namespace. There is nothing to remove: a key that is no longer wanted keeps its value. */
export function sysctlKind(wanted: readonly DesiredSysctl[]): Kind<DesiredSysctl> {
  return {
    name: "sysctl",
    key: ({ key }) => key,
    list: () =>
      wanted.flatMap(({ key, missingOk }) => {
        const value = readIfThere(key);
        if (value !== undefined) return [{ key, value }];
        return missingOk === true ? [{ key, value: MISSING }] : [];
      }),
    same: ({ value }, wish) =>
      value === MISSING || value === wish.value || (wish.onlyFrom !== undefined && value !== wish.onlyFrom),
    put: ({ key, value }) => void writeSysctl(key, value),
    remove: () => {},
  };
}

/** Writes one sysctl as its conditions say. @throws an error with code ENOENT when it has to be there and is not */
export function applySysctl({ key, value, onlyFrom, missingOk }: DesiredSysctl): void {
  const present = readIfThere(key);
  if (present === undefined && missingOk === true) return;
  if (onlyFrom !== undefined && present !== onlyFrom) return;
  writeSysctl(key, value);
}

const MISSING = "(missing)";

function readIfThere(key: string): string | undefined {
  try {
    return readSysctl(key);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
