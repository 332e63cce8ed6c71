import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { DelRequest, GcRequest, StatusRequest } from "../../cni/plugin.ts";
import type { Result } from "../../cni/result.ts";
import { UndoStack } from "../../cni/undo.ts";
import { attachmentKey } from "../../kernel/mark.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { type ChainedAddRequest, chained } from "../chained/chained.ts";
import { withInterface } from "../chained/result.ts";
import { Attempts } from "../node/attempts.ts";
import { findPodNetns, openPodNetns } from "../pod-netns.ts";
import { listBackups, readBackup, removeBackup, writeBackup } from "./backup.ts";
import { check } from "./check.ts";
import { DEFAULT_DATA_DIR, decodeDataDir, decodeTuningConf } from "./conf.ts";
import { refuseUnlisted } from "./sysctl.ts";
import { currentState, isEmpty, restore, tune } from "./tune.ts";

/** Changes sysctls of the pod's namespace and attributes of its interface, and takes them back. */
export const tuning = chained({ name: "tuning", knownArgs: ["MAC"], add, check, del, gc, status });

/**
 * Writes down how things are, then changes them. A change that the kernel refuses takes back those before it.
 * @throws CniError 7 for what cannot be, 4 when the interface is not there
 */
async function add({ conf: netConf, attachment, log, phases }: ChainedAddRequest): Promise<Result | undefined> {
  const conf = decodeTuningConf(netConf, attachment);
  refuseUnlisted(conf.sysctls);
  if (conf.sysctls.length === 0 && isEmpty(conf.link)) return undefined;
  const { containerId, ifName } = attachment;
  const name = { network: netConf.name, containerId, ifName };
  phases.enter("netns");
  using netns = openPodNetns(attachment);
  using rt = openRoute(netns);
  phases.enter("pod");
  const place = { netns, rt, ifName };
  const before = currentState(place, conf);
  await using undo = new UndoStack(log);
  writeBackup(conf.dataDir, name, before);
  undo.add(() => removeBackup(conf.dataDir, name));
  undo.add(() => restore(place, before));
  const link = tune(place, conf);
  undo.commit();
  if (link === undefined) return undefined;
  return withInterface(netConf.prevResult, ifName, {
    ...(conf.link.mac === undefined || link.mac === undefined ? {} : { mac: link.mac }),
    ...(conf.link.mtu === undefined ? {} : { mtu: link.mtu }),
  });
}

/** Puts back what ADD found, where namespace and interface are still there. Without them only the file is removed. */
async function del({ conf, attachment, log }: DelRequest): Promise<void> {
  const folder = dataDirOf({ conf, log });
  const { containerId, ifName } = attachment;
  const name = { network: conf.name, containerId, ifName };
  const before = readBackup(folder, name);
  using netns = before === undefined ? undefined : findPodNetns(attachment);
  if (before !== undefined && netns !== undefined) {
    using rt = openRoute(netns);
    try {
      await restore({ netns, rt, ifName }, before);
    } catch (error) {
      log.warn("what was tuned could not be put back", { error: messageOf(error) });
    }
  }
  removeBackup(folder, name);
}

/** Removes the files of attachments that are no more; their namespaces are gone. */
async function gc({ conf, validAttachments, log }: GcRequest): Promise<void> {
  const folder = dataDirOf({ conf, log });
  const valid = new Set(validAttachments.map((each) => attachmentKey({ network: conf.name, ...each })));
  const attempts = new Attempts();
  for (const name of listBackups(folder, conf.name)) {
    if (!valid.has(attachmentKey(name))) await attempts.try(name.containerId, () => removeBackup(folder, name));
  }
  attempts.finish(`GC of network ${conf.name} is not complete`);
}

/** @throws CniError 7 for the configuration, 50 when the node's allowlist does not allow it */
async function status({ conf }: StatusRequest): Promise<void> {
  const { sysctls } = decodeTuningConf(conf, { args: {}, ifName: "eth0" });
  try {
    refuseUnlisted(sysctls);
  } catch (error) {
    throw new CniError(Code.notAvailable, messageOf(error), { cause: error });
  }
}

/** A wrong one was refused by ADD, so nothing lies anywhere. */
function dataDirOf({ conf, log }: Pick<StatusRequest, "conf" | "log">): string {
  try {
    return decodeDataDir(conf);
  } catch (error) {
    log.info("dataDir ignored", { problem: messageOf(error) });
    return DEFAULT_DATA_DIR;
  }
}
