import { fileURLToPath } from "node:url";
import t from "tap";

// The plugins run in one process here, as in the agent, and that stands in a network namespace with a /run of its own.
const inside = fileURLToPath(new URL("resident.main.ts", import.meta.url));
const script = `mount -t tmpfs run /run; mount -t tmpfs lib /var/lib; mount -t sysfs sys /sys; ip link set lo up
  UV_THREADPOOL_SIZE=16 exec node --import=tsx "$0"`;
t.spawn(
  "unshare",
  ["--net", "--mount", "--propagation=private", "sh", "-ec", script, inside],
  {},
  "the resident machine",
);
