import type { Attachment, AttachmentId } from "./attachment.ts";
import type { NetConf } from "./conf.ts";
import type { JsonObject } from "./json.ts";
import type { Logger } from "./log.ts";
import type { Phases } from "./phases.ts";
import type { Result } from "./result.ts";

/**
 * A CNI plugin. Every verb of the specification is there; the host (host.ts) has validated what it is given, and turns
 * what it throws into the error answer.
 */
export interface Plugin {
  /** The `type` it answers to. */
  readonly name: string;
  /**
   * The CNI_ARGS keys that it reads, such as `IP`; others are refused unless IgnoreUnknown=1. `K8S_*` are always known.
   * A plugin without the list does not look at CNI_ARGS and refuses none.
   */
  readonly knownArgs?: readonly string[];
  add(request: AddRequest): Promise<Result>;
  /** Must succeed when there is nothing left, whatever is missing: namespace, interface, prevResult. */
  del(request: DelRequest): Promise<void>;
  check(request: CheckRequest): Promise<void>;
  /** Removes whatever is not one of the valid attachments, goes on after failures, then throws them together. */
  gc(request: GcRequest): Promise<void>;
  /** Throws 50 or 51 when an ADD could not be served. */
  status(request: StatusRequest): Promise<void>;
}

/** Runs work that is not ours to speed up. */
export type Aside = <T>(work: () => Promise<T>) => Promise<T>;

export interface StatusRequest {
  readonly conf: NetConf;
  /** Calls other plugins (IPAM, or a whole main plugin) with the same attachment. */
  readonly delegator: Delegator;
  readonly log: Logger;
  readonly phases: Phases;
  /** Waits for what other machines or programs do in their own time; a host that bounds what runs at once lets others go on. */
  readonly aside: Aside;
}

export interface DelRequest extends StatusRequest {
  readonly attachment: Attachment;
}

export interface AddRequest extends StatusRequest {
  readonly attachment: Attachment & { readonly netns: string };
}

export interface CheckRequest extends AddRequest {
  readonly conf: NetConf & { readonly prevResult: Result };
}

export interface GcRequest extends StatusRequest {
  readonly validAttachments: readonly AttachmentId[];
}

/**
 * Runs another plugin with the caller's environment. `type` is the delegate's name on CNI_PATH and `conf` the whole
 * configuration it reads on stdin: `request.conf.raw` for an IPAM plugin. The delegate's own error code and message are
 * passed on as a CniError.
 */
export interface Delegator {
  /** ADD. When the delegate fails after it was started, DEL is run on it before this throws. */
  add(type: string, conf: JsonObject): Promise<Result>;
  del(type: string, conf: JsonObject): Promise<void>;
  check(type: string, conf: JsonObject): Promise<void>;
  gc(type: string, conf: JsonObject): Promise<void>;
  status(type: string, conf: JsonObject): Promise<void>;
}
