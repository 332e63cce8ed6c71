import { status as Status } from "@grpc/grpc-js";
import { RequestError } from "../core/error.ts";
import type { Log } from "../core/log.ts";
import { StoreUnavailableError } from "../store/store.ts";

/** The error in the form that gRPC sends. What nobody foresaw is logged here and tells the caller nothing. */
export function toStatus(error: unknown, log: Log): { code: number; details: string } {
  if (error instanceof RequestError) return { code: Status[error.status], details: error.message };
  if (error instanceof StoreUnavailableError) {
    return {
      code: Status.UNAVAILABLE,
      details: `the controller's store does not answer: ${error.message}; try again later`,
    };
  }
  log.error({ err: error }, "a request failed");
  return { code: Status.INTERNAL, details: "the controller failed; its log says why" };
}
