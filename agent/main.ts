import { isMainThread } from "node:worker_threads";

// One executable is both threads; each loads only what is its own.
if (isMainThread) void import("./agent.main.ts").then(({ runAgent }) => runAgent());
else void import("./plugin-host/plugin-host.main.ts").then(({ runPluginHost }) => runPluginHost());
