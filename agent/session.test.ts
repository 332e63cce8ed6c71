import { Server, ServerCredentials, type ServerDuplexStream, status } from "@grpc/grpc-js";
import t from "tap";
import { channelCredentials } from "../proto/channel.ts";
import type { ControllerMessage } from "../proto/gen/podwire/v1/ControllerMessage.ts";
import type { NodeMessage__Output } from "../proto/gen/podwire/v1/NodeMessage.ts";
import { loadProto } from "../proto/load.ts";
import { eventually } from "../test/netns/harness/eventually.ts";
import { delta, lease, snapshot } from "./fixture.ts";
import { Session, type SessionListener } from "./session.ts";

type Stream = ServerDuplexStream<NodeMessage__Output, ControllerMessage>;

/** A controller on loopback that does with each stream as it is told. */
async function startServer(t: Test, onStream: (stream: Stream, count: number) => void, port = 0) {
  const server = new Server();
  let streams = 0;
  server.addService(loadProto().Nodes.service, {
    Session: (stream: Stream) => {
      stream.on("error", () => {});
      onStream(stream, ++streams);
    },
  });
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, found) =>
      error ? reject(error) : resolve(found),
    ),
  );
  t.teardown(() => server.forceShutdown());
  return { endpoint: `127.0.0.1:${bound}`, server };
}

interface Test {
  teardown(work: () => void): void;
}

/** A session with a listener that writes down what it is told. */
function openSession(
  t: Test,
  controllers: readonly string[],
  more: Partial<SessionListener> & { patience?: number } = {},
) {
  const said: string[] = [];
  const { patience = 5_000, ...overrides } = more;
  const session = new Session({
    controllers,
    credentials: channelCredentials({ endpoints: controllers }),
    backoff: { first: 10, longest: 50 },
    random: () => 0,
    patience,
    listener: {
      hello: ({ address }) => ({ nodeId: "n", nodeName: address ?? "unresolved" }),
      onConnected: () => void said.push("connected"),
      onDisconnected: (_, reason, refused) => void said.push(`${refused ? "refused" : "disconnected"}: ${reason}`),
      onLease: ({ network }) => void said.push(`lease ${network}`),
      onSnapshot: ({ revision }) => void said.push(`snapshot ${revision}`),
      onDelta: ({ revision }) => void said.push(`delta ${revision}`),
      onSecrets: ({ epoch }) => void said.push(`secrets ${epoch}`),
      ...overrides,
    },
  });
  t.teardown(() => session.stop());
  session.start();
  return {
    session,
    said,
    hears: (what: string) => eventually(() => said.includes(what) || undefined, `${what} in ${said}`),
  };
}

t.test("hello first, then what the controller says in its order", async (t) => {
  const got: NodeMessage__Output[] = [];
  const { endpoint } = await startServer(t, (stream) => {
    stream.on("data", (message: NodeMessage__Output) => got.push(message));
    stream.write({ lease: lease("a") });
    stream.write({ snapshot: snapshot(4, [], []) });
    stream.write({ delta: delta(5) });
  });
  const { session, said, hears } = openSession(t, [endpoint]);
  await hears("delta 5");
  t.strictSame(said, ["connected", "lease a", "snapshot 4", "delta 5"]);
  session.send({ ack: { revision: 5, failures: [] } });
  await eventually(() => got.length === 2 || undefined, "the ack");
  t.match(got[0], { hello: { nodeId: "n", nodeName: "127.0.0.1" } }, "with the controller's address");
  t.match(got[1], { ack: { revision: 5 } });
});

t.test("a broken stream is opened again, with a hello, on the next controller in turn", async (t) => {
  const visits: string[] = [];
  const breaking = (name: string) => (stream: Stream) => {
    visits.push(name);
    if (visits.length < 6) stream.emit("error", { code: status.UNAVAILABLE, details: "going down" });
    else stream.write({ snapshot: snapshot(1, [], []) });
  };
  const [a, b] = [await startServer(t, breaking("a")), await startServer(t, breaking("b"))];
  const { said, hears } = openSession(t, [a.endpoint, b.endpoint]);
  await hears("snapshot 1");
  t.strictSame(visits, ["a", "b", "a", "b", "a", "b"]);
  t.equal(said[0], "disconnected: going down");
  t.equal(said.filter((each) => each === "connected").length, 1);
});

t.test("a controller that says no is told from one that is not there", async (t) => {
  const { endpoint } = await startServer(t, (stream) =>
    stream.emit("error", { code: status.ALREADY_EXISTS, details: "192.0.2.1 is that of node-9" }),
  );
  const { hears } = openSession(t, [endpoint]);
  await hears("refused: 192.0.2.1 is that of node-9");
  const { said } = openSession(t, ["127.0.0.1:1"]);
  await eventually(() => said.some((each) => /^disconnected: .*ECONNREFUSED/.test(each)) || undefined, "unreachable");
});

t.test("waits double up to the longest, and a controller that only opens streams does not reset them", async (t) => {
  const times: number[] = [];
  const { endpoint } = await startServer(t, (stream) => {
    times.push(performance.now());
    stream.write({ lease: lease("a") });
    setTimeout(() => stream.emit("error", { code: status.UNAVAILABLE, details: "" }), 1);
  });
  openSession(t, [endpoint]);
  await eventually(() => times.length >= 7 || undefined, "seven streams");
  const waits = times.slice(1).map((time, i) => time - (times[i] ?? 0));
  t.ok((waits[5] ?? 0) >= 24, `waits ${waits}`); // half of the longest, since random is 0
});

t.test("S11: a delta before any snapshot is not taken for the whole state", async (t) => {
  const { endpoint } = await startServer(t, (stream, count) => {
    if (count === 1) stream.write({ delta: delta(99) });
    else stream.write({ snapshot: snapshot(1, [], []) });
  });
  const { said, hears } = openSession(t, [endpoint]);
  await hears("snapshot 1");
  t.notOk(said.includes("delta 99"));
});

t.test("a controller that takes the stream and says nothing is left for another", async (t) => {
  const mute = await startServer(t, () => {});
  const good = await startServer(t, (stream) => void stream.write({ snapshot: snapshot(1, [], []) }));
  const { hears } = openSession(t, [mute.endpoint, good.endpoint], { patience: 100 });
  await hears("snapshot 1");
});

t.test("a node that cannot say hello yet tries again", async (t) => {
  const { endpoint } = await startServer(t, (stream) => void stream.write({ snapshot: snapshot(1, [], []) }));
  let asked = 0;
  const { hears } = openSession(t, [endpoint], { hello: () => (++asked < 4 ? undefined : { nodeId: "n" }) });
  await hears("snapshot 1");
  t.equal(asked, 4);
});

t.test("a host's name is resolved for the hello", async (t) => {
  const got: string[] = [];
  const { endpoint } = await startServer(t, (stream) =>
    stream.on("data", ({ hello }: NodeMessage__Output) => got.push(hello?.nodeName ?? "")),
  );
  openSession(t, [endpoint.replace("127.0.0.1", "localhost")]);
  await eventually(() => got.length > 0 || undefined, "hello");
  t.match(got[0], /^(127\.0\.0\.1|::1)$/);
});

t.test("to a controller that does not read, the newest of each kind waits, not all of them", async (t) => {
  const got: NodeMessage__Output[] = [];
  let held: Stream | undefined;
  const { endpoint } = await startServer(t, (stream) => {
    held = stream;
    stream.pause();
    stream.write({ snapshot: snapshot(1, [], []) });
  });
  const { session, hears } = openSession(t, [endpoint]);
  await hears("snapshot 1");
  const message = "x".repeat(100_000);
  for (let revision = 1; revision <= 500; revision++) session.send({ ack: { revision, failures: [message] } });
  held?.on("data", (each: NodeMessage__Output) => got.push(each)).resume();
  await eventually(() => got.some(({ ack }) => ack?.revision === 500) || undefined, "the last one");
  t.ok(got.length < 50, `${got.length} messages`);
});

t.test("stop ends it: no stream, no timer, no further try", async (t) => {
  let streams = 0;
  const { endpoint } = await startServer(t, (stream) => {
    streams++;
    stream.emit("error", { code: status.UNAVAILABLE, details: "" });
  });
  const { session } = openSession(t, [endpoint]);
  await eventually(() => streams > 1 || undefined, "some tries");
  session.stop();
  const before = streams;
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.ok(streams <= before + 1);
});
