import { CniError, Code } from "../../cni/error.ts";
import type { CheckRequest, DelRequest, GcRequest, Plugin, StatusRequest } from "../../cni/plugin.ts";
import type { Result } from "../../cni/result.ts";

/** ADD of a plugin behind others; as for CHECK, `conf.prevResult` is there. */
export type ChainedAddRequest = CheckRequest;

/** A plugin that changes what another plugin of the chain made, and makes no interface of the pod itself. */
export interface ChainedPlugin extends Pick<Plugin, "name" | "knownArgs"> {
  /** @returns what it makes of prevResult; undefined passes that on as it came. */
  add(request: ChainedAddRequest): Promise<Result | undefined>;
  check(request: CheckRequest): Promise<void>;
  /** Must succeed without anything: namespace, interface, prevResult, a right value in the configuration. */
  del?(request: DelRequest): Promise<void>;
  gc?(request: GcRequest): Promise<void>;
  status?(request: StatusRequest): Promise<void>;
}

/**
 * The plugin as the host calls it. What it leaves out of DEL, GC and STATUS is nothing to do: a plugin that keeps nothing
 * outside the pod's namespace has nothing to clean up once that is gone.
 */
export function chained({ del, gc, status, ...plugin }: ChainedPlugin): Plugin {
  return {
    ...plugin,
    async add(request) {
      const { prevResult } = request.conf;
      if (prevResult === undefined) {
        throw new CniError(
          Code.invalidConfig,
          `prevResult is missing; ${plugin.name} works on what another plugin made: put it behind one in the chain's "plugins"`,
        );
      }
      return (await plugin.add({ ...request, conf: { ...request.conf, prevResult } })) ?? prevResult;
    },
    del: del ?? nothing,
    gc: gc ?? nothing,
    status: status ?? nothing,
  };
}

async function nothing(): Promise<void> {}
