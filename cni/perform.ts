import { checkArgs } from "./args.ts";
import type { Attachment } from "./attachment.ts";
import type { NetConf } from "./conf.ts";
import { CniError, Code } from "./error.ts";
import type { Logger } from "./log.ts";
import type { Phases } from "./phases.ts";
import type { Aside, Delegator, Plugin } from "./plugin.ts";
import type { Result } from "./result.ts";
import { type Command, requireCommand } from "./version.ts";

export type PluginCommand = Exclude<Command, "VERSION">;

/** What a call has besides its configuration. */
export interface CallContext {
  /** Absent for GC and STATUS. */
  readonly attachment: Attachment | undefined;
  readonly delegator: Delegator;
  readonly log: Logger;
  readonly phases: Phases;
  readonly aside: Aside;
}

/** For a host of one call, in which nobody else waits. */
export const atOnce: Aside = (work) => work();

/**
 * Calls one verb of a plugin in this process, after the checks that every plugin needs.
 * @throws CniError 1 when the configuration's version lacks the verb, 4 for unknown CNI_ARGS, 7 when a CHECK or GC lacks
 * what it compares with; and whatever the plugin throws.
 */
export async function perform(
  plugin: Plugin,
  command: PluginCommand,
  conf: NetConf,
  { attachment, delegator, log, phases, aside }: CallContext,
): Promise<Result | undefined> {
  requireCommand(command, conf.cniVersion);
  const request = { conf, delegator, log, phases, aside };
  if (command === "STATUS") return void (await plugin.status(request));
  if (command === "GC") {
    return void (await plugin.gc({
      ...request,
      validAttachments: present(conf.validAttachments, "valid attachments"),
    }));
  }

  const attached = present(attachment, "attachment");
  if (command === "DEL") return void (await plugin.del({ ...request, attachment: attached })); // whatever CNI_ARGS says
  checkArgs(attached.args, plugin.knownArgs);

  const { netns } = attached;
  if (netns === undefined) throw new CniError(Code.invalidEnvironment, "required env variables [CNI_NETNS] missing");
  if (command === "ADD") return await plugin.add({ ...request, attachment: { ...attached, netns } });

  const { prevResult } = conf;
  if (prevResult === undefined) {
    throw new CniError(Code.invalidConfig, "prevResult is missing; CHECK needs the result of ADD");
  }
  return void (await plugin.check({
    ...request,
    attachment: { ...attached, netns },
    conf: { ...conf, prevResult },
  }));
}

function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`this command was called without its ${what}`);
  return value;
}
