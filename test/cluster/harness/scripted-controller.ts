import { once } from "node:events";
import { createServer } from "node:net";
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { inNetns } from "../../../kernel/netns.ts";
import type { Ack__Output } from "../../../proto/gen/podwire/v1/Ack.ts";
import type { ControllerMessage } from "../../../proto/gen/podwire/v1/ControllerMessage.ts";
import type { Hello__Output } from "../../../proto/gen/podwire/v1/Hello.ts";
import type { NodeMessage__Output } from "../../../proto/gen/podwire/v1/NodeMessage.ts";
import { loadProto } from "../../../proto/load.ts";
import { eventually } from "../../netns/harness/eventually.ts";
import type { Node, Owner } from "../../netns/harness/node.ts";

type Stream = ServerDuplexStream<NodeMessage__Output, ControllerMessage>;

/** A gRPC server in a node's namespace that says to agents whatever the test says. Plaintext. */
export class ScriptedController {
  readonly hellos: Hello__Output[] = [];
  readonly acks: Ack__Output[] = [];
  /** Sent first on every stream, after the hello. */
  greeting: readonly ControllerMessage[] = [];
  #stream: Stream | undefined;

  /** To the agent that connected last. */
  say(...messages: readonly ControllerMessage[]): void {
    for (const message of messages) this.#stream?.write(message);
  }

  /** Breaks the stream; the agent comes back by itself. */
  hangUp(): void {
    this.#stream?.end();
    this.#stream = undefined;
  }

  /** Waits until the agent has applied that revision, with failures or without. */
  acked(revision: number): Promise<Ack__Output> {
    const found = () => this.acks.findLast((ack) => ack.revision === revision);
    return eventually(found, `the ack of revision ${revision}; got ${this.acks.map((ack) => ack.revision)}`);
  }

  accept(stream: Stream): void {
    stream.on("error", () => {});
    stream.on("data", ({ hello, ack }: NodeMessage__Output) => {
      if (ack) this.acks.push(ack);
      if (!hello) return;
      this.hellos.push(hello);
      this.#stream = stream;
      this.say(...this.greeting);
    });
  }
}

/** Starts it on all addresses of the node; gone with the owner. */
export async function startScriptedController(owner: Owner, node: Node, port: number): Promise<ScriptedController> {
  const controller = new ScriptedController();
  const server = new Server();
  server.addService(loadProto().Nodes.service, { Session: (stream: Stream) => controller.accept(stream) });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = createServer((socket) => injector.injectConnection(socket));
  // Without a host it listens before the call returns, and so in the namespace.
  inNetns(node.netns, () => void listener.listen(port));
  await once(listener, "listening");
  owner.teardown(() => {
    listener.close();
    server.forceShutdown();
  });
  return controller;
}
