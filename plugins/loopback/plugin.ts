import type { Plugin } from "../../cni/plugin.ts";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { del } from "./del.ts";

/** Brings `lo` of the container's namespace up. Keeps nothing, so GC and STATUS have nothing to do. */
export const loopback: Plugin = {
  name: "loopback",
  add,
  del,
  check,
  async gc() {},
  async status() {},
};
