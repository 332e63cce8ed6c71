import type { Check } from "./check.ts";
import { errors, malformed, verbs, version } from "./checks/answers.ts";
import { chain, delegation } from "./checks/composition.ts";
import { incomplete, killed, leaks, parallel } from "./checks/deletion.ts";
import { existing, passing, results, truth, twice } from "./checks/results.ts";
import { collection, collectionAfterKill, exhaustion } from "./checks/upkeep.ts";
import { damaged, healthy } from "./checks/verification.ts";

/** Every check, in the order of the report. */
export const CHECKS: readonly Check[] = [
  version,
  errors,
  malformed,
  verbs,
  results,
  truth,
  passing,
  existing,
  twice,
  leaks,
  incomplete,
  parallel,
  killed,
  healthy,
  damaged,
  collection,
  collectionAfterKill,
  exhaustion,
  delegation,
  chain,
];
