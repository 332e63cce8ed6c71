import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { channelCredentials } from "../../proto/channel.ts";
import type { ControllerMessage__Output } from "../../proto/gen/podwire/v1/ControllerMessage.ts";
import type { NodeMessage } from "../../proto/gen/podwire/v1/NodeMessage.ts";
import { loadProto } from "../../proto/load.ts";

// Nodes that have a session and no kernel: `sessions.main.ts ENDPOINT CA CERT KEY "IPv4"|"both families"`. A number on a line of stdin starts that
// node; a line of JSON on stdout says when it said hello and what it holds.

/** What is said of each node. */
export interface Joined {
  readonly node: number;
  readonly subnet: string;
  readonly addresses: readonly string[];
  /** Milliseconds since 1970. */
  readonly hello: number;
  readonly lease: number;
}

/** Streams that share one connection. */
const STREAMS_A_CHANNEL = 90;

const [endpoint = "", tlsCa, tlsCert, tlsKey, underlay] = process.argv.slice(2);
const credentials = channelCredentials({ endpoints: [endpoint], tlsCa, tlsCert, tlsKey });
const { Nodes } = loadProto();
let streams = 0;
let client = new Nodes(endpoint, credentials);

function join(node: number): void {
  if (++streams % STREAMS_A_CHANNEL === 0)
    client = new Nodes(endpoint, credentials, { "grpc.use_local_subchannel_pool": 1 });
  const stream: ClientDuplexStream<NodeMessage, ControllerMessage__Output> = client.Session();
  const hello = now();
  const addresses = [`172.${16 + (node >> 16)}.${(node >> 8) & 255}.${node & 255}`];
  if (underlay === "both families") addresses.push(`fd77:1::${node.toString(16)}`);
  let told = false;
  stream.on("error", (error) => {
    console.error(`node ${node}: ${error.message}`);
    process.exit(1);
  });
  stream.on("data", ({ lease }: ControllerMessage__Output) => {
    const [held] = lease?.subnets ?? [];
    if (told || held === undefined) return;
    told = true;
    const joined: Joined = { node, subnet: held.subnet, addresses, hello, lease: now() };
    process.stdout.write(`${JSON.stringify(joined)}\n`);
  });
  stream.write({
    hello: {
      nodeId: randomUUID(),
      nodeName: `session-${node}`,
      addresses,
      backends: ["vxlan/flow", "vxlan/static"],
      bootId: randomUUID(),
      version: "bench",
    },
  });
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

createInterface({ input: process.stdin }).on("line", (line) => join(Number(line)));
