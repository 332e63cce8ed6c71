import type { ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import type { AdminHandlers } from "../../proto/gen/podwire/v1/Admin.ts";
import type { Controller } from "../core/controller.ts";
import { invalid } from "../core/error.ts";
import { inspectionMessage, nodeMessage, podMessages, subnetMessages } from "../core/listing.ts";
import type { Log } from "../core/log.ts";
import { networkMessage, subnetMessage } from "../core/message.ts";
import { KINDS, type Kind } from "../core/notifier.ts";
import { callerName } from "./caller.ts";
import { toStatus } from "./status.ts";

/** Handlers of podwire.v1.Admin. */
export function adminHandlers(controller: Controller, log: Log): AdminHandlers {
  const { admin, mirror, sessions, distributor } = controller;
  const { state } = mirror;
  const lastSeen = (nodeId: string) => controller.lastSeen(nodeId);
  const answer =
    <Q, A>(handle: (request: Q) => A | Promise<A>) =>
    (call: ServerUnaryCall<Q, A>, callback: sendUnaryData<A>): void => {
      const fail = (error: unknown) => callback(toStatus(error, log));
      try {
        Promise.resolve(handle(call.request)).then((value) => callback(null, value), fail);
      } catch (error) {
        fail(error);
      }
    };
  /** As {@link answer}, with a line in the log: it changes something. */
  const change =
    <Q, A>(name: string, handle: (request: Q) => Promise<A>) =>
    (call: ServerUnaryCall<Q, A>, callback: sendUnaryData<A>): void => {
      log.info(
        { request: name, caller: callerName(call), peer: call.getPeer(), ...call.request },
        "an administrator changes something",
      );
      answer(handle)(call, callback);
    };
  return {
    ListNodes: answer(() => ({
      nodes: Array.from(state.nodes.values(), (node) =>
        nodeMessage(node, state, sessions.get(node.id), lastSeen(node.id)),
      ),
      revision: distributor.revision,
    })),
    ListNetworks: answer(() => ({ networks: Array.from(state.networks.values(), networkMessage) })),
    ListSubnets: answer(({ network }) => {
      if (network !== "") admin.network(network);
      return { subnets: subnetMessages(state, network) };
    }),
    ListPods: answer((filter) => ({ pods: podMessages(sessions, filter) })),
    InspectAddress: answer(({ address }) => inspectionMessage(admin, state, sessions, lastSeen, address)),
    CreateNetwork: change("CreateNetwork", async (request) => networkMessage(await admin.createNetwork(request))),
    SetNetwork: change("SetNetwork", async (request) => networkMessage(await admin.setNetwork(request))),
    DeleteNetwork: change("DeleteNetwork", async ({ name }) => {
      await admin.deleteNetwork(name);
      return {};
    }),
    ReserveSubnet: change("ReserveSubnet", async (request) => subnetMessage(await admin.reserveSubnet(request))),
    ReleaseSubnet: change("ReleaseSubnet", async ({ network, subnet, force }) => {
      await admin.releaseSubnet(network, subnet, force);
      return {};
    }),
    Watch: (call) => {
      try {
        const kinds = call.request.kinds.length === 0 ? KINDS : call.request.kinds.map(checkKind);
        const pending = new Set<Kind>();
        let isFull = false; // the reader is slow: what happens meanwhile becomes one message
        const tell = (changed: readonly Kind[]) => {
          for (const kind of changed) pending.add(kind);
          if (isFull || pending.size === 0) return;
          isFull = !call.write({ revision: distributor.revision, kinds: [...pending] });
          pending.clear();
        };
        const stop = controller.notifier.watch(kinds, tell);
        call.on("drain", () => {
          isFull = false;
          tell([]);
        });
        call.on("cancelled", stop);
        call.on("error", stop);
        call.on("close", stop);
      } catch (error) {
        call.emit("error", toStatus(error, log));
      }
    },
  };
}

function checkKind(kind: string): Kind {
  return KINDS.find((known) => known === kind) ?? invalid("kinds", kind, `is unknown; use ${KINDS.join(", ")}`);
}
