import type { Plugin } from "../../cni/plugin.ts";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { del } from "./del.ts";
import { gc } from "./gc.ts";
import { status } from "./status.ts";

/** Joins containers by a Linux bridge: the drop-in for the reference plugin of the same name. */
export const bridge: Plugin = { name: "bridge", knownArgs: ["IP", "MAC"], add, del, check, gc, status };
