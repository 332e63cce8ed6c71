import { performance } from "node:perf_hooks";
import { type ServerDuplexStream, status as Status } from "@grpc/grpc-js";
import type { ControllerMessage } from "../../proto/gen/podwire/v1/ControllerMessage.ts";
import type { NodeMessage__Output } from "../../proto/gen/podwire/v1/NodeMessage.ts";
import type { NodesDefinition, NodesHandlers } from "../../proto/gen/podwire/v1/Nodes.ts";
import type { Controller } from "../core/controller.ts";
import type { Encode } from "../core/distribution.ts";
import { RequestError } from "../core/error.ts";
import type { Log } from "../core/log.ts";
import { callerName } from "./caller.ts";
import { toStatus } from "./status.ts";

/** Messages a node may send in one go, and the rate at which that fills up again, a second. */
const BURST = 200;
const RATE = 50;

/** The service with a serializer that passes bytes through, so that one message to many nodes is encoded once. */
export function encodedOnce(definition: NodesDefinition): { definition: NodesDefinition; encode: Encode } {
  const { Session } = definition;
  const serialize = Session.responseSerialize;
  return {
    encode: serialize,
    definition: {
      ...definition,
      Session: {
        ...Session,
        responseSerialize: (value: ControllerMessage) => (Buffer.isBuffer(value) ? value : serialize(value)),
      },
    },
  };
}

/** Handlers of podwire.v1.Nodes. */
export function nodesHandlers(controller: Controller, log: Log): NodesHandlers {
  return {
    Session: (call) => serve(call, controller, log),
  };
}

function serve(
  call: ServerDuplexStream<NodeMessage__Output, ControllerMessage>,
  controller: Controller,
  log: Log,
): void {
  log.debug({ caller: callerName(call), peer: call.getPeer() }, "a node opened a session");
  const session = controller.connect({
    send: (message, done) => void call.write(message as unknown as ControllerMessage, done),
    end: (error) => {
      if (call.cancelled) return;
      if (error === undefined) call.end();
      else {
        log.info({ peer: call.getPeer(), status: error.status, reason: error.message }, "a session ends");
        call.emit("error", toStatus(error, log));
      }
    },
  });
  const mayReceive = rateLimit();
  call.on("data", (message: NodeMessage__Output) => {
    if (mayReceive()) session.receive(message);
    else session.end(new RequestError("RESOURCE_EXHAUSTED", `more than ${RATE} messages a second; send less often`));
  });
  const gone = () => session.end(undefined);
  call.on("end", gone);
  call.on("cancelled", gone);
  call.on("error", (error: { code?: number }) => {
    if (error.code !== undefined && error.code in Status) return; // the one emitted above
    gone();
  });
}

function rateLimit(): () => boolean {
  let tokens = BURST;
  let last = performance.now();
  return () => {
    const now = performance.now();
    tokens = Math.min(BURST, tokens + ((now - last) / 1000) * RATE);
    last = now;
    if (tokens < 1) return false;
    tokens--;
    return true;
  };
}
