import { RESTORABLE_FORWARDING } from "./firewall/pods.ts";
import type { Restorable } from "./node/restore.ts";
import { RESTORABLE_PORT_MAP } from "./portmap/publish.ts";

/** Whose elements come back when somebody takes them away. */
export const RESTORABLE: readonly Restorable[] = [RESTORABLE_PORT_MAP, RESTORABLE_FORWARDING];
