import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type ChannelCredentials, credentials, Metadata, status as Status } from "@grpc/grpc-js";
import t from "tap";
import type { ControllerMessage__Output } from "../../proto/gen/podwire/v1/ControllerMessage.ts";
import type { ListNodesResponse__Output } from "../../proto/gen/podwire/v1/ListNodesResponse.ts";
import type { ListPodsResponse__Output } from "../../proto/gen/podwire/v1/ListPodsResponse.ts";
import type { NodesClient } from "../../proto/gen/podwire/v1/Nodes.ts";
import { loadProto } from "../../proto/load.ts";
import { BIN } from "../netns/harness/node.ts";

const { Nodes, Admin } = loadProto();
const folder = mkdtempSync(join(tmpdir(), "podwire-controller-"));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const CONTROLLER = `${BIN}/podwire-controller`;

t.test("kill -9 of the controller: the leases and epochs are the same after a restart", async (t) => {
  const flags = ["--data-dir", join(folder, "crash")];
  const controller = await start(flags);
  const nodes = Array.from(
    { length: 20 },
    (_, i) => new Node(controller.address, { nodeId: `n${i}`, addresses: [`198.51.100.${i + 1}`] }),
  );
  const before = await Promise.all(nodes.map((node) => node.lease()));
  t.ok(before.every((lease) => lease.state === "LEASE_STATE_HELD"));
  await controller.kill("SIGKILL");
  t.equal((await nodes[0]?.ended)?.code, Status.UNAVAILABLE);
  const second = await start(flags);
  const again = Array.from(
    { length: 20 },
    (_, i) => new Node(second.address, { nodeId: `n${i}`, addresses: [`198.51.100.${i + 1}`] }),
  );
  const after = await Promise.all(again.map((node) => node.lease()));
  t.same(
    after.map(({ subnets }) => subnets),
    before.map(({ subnets }) => subnets),
  );
  const third = spawnController([...flags]);
  t.equal((await once(third, "exit"))[0], 1, "a second controller on the same folder is refused");
  for (const node of again) node.close();
  t.equal(await second.kill("SIGTERM"), 0);
});

t.test("administration over gRPC: lists, inspection, reservations, watch, errors with codes", async (t) => {
  const controller = await start(["--store", "memory", "--network-cidr", "10.0.0.0/16,fd00::/48"]);
  const node = new Node(controller.address, { nodeId: "a", nodeName: "worker-1" });
  const lease = await node.lease();
  const snapshot = await node.next(({ snapshot }) => snapshot ?? undefined);
  node.call.write({ ack: { revision: snapshot.revision, failures: ["x"] } });
  const pod = {
    network: "default",
    containerId: "c1",
    interfaceName: "eth0",
    namespace: "ns",
    name: "web",
    addresses: ["10.0.0.5", "fd00::5"],
  };
  node.call.write({ status: { pods: [pod], conditions: [{ type: "Ready", status: true }] } });
  const admin = new Admin(controller.address, credentials.createInsecure());
  const watch = admin.Watch({ kinds: ["pods", "networks"] });
  const noticed: string[][] = [];
  watch.on("data", ({ kinds }) => noticed.push(kinds));
  watch.on("error", () => {});
  await until(
    async () => (await answerOf<ListPodsResponse__Output>((done) => admin.ListPods({}, done))).pods.length === 1,
  );
  const { nodes, revision } = await answerOf<ListNodesResponse__Output>((done) => admin.ListNodes({}, done));
  t.match(nodes, [
    { id: "a", name: "worker-1", connected: true, appliedRevision: revision, failures: ["x"], podCount: 1 },
  ]);
  t.same(
    nodes[0]?.subnets.map(({ subnet }) => subnet),
    lease.subnets.map(({ subnet }) => subnet),
  );
  t.match(await answerOf((done) => admin.InspectAddress({ address: "10.0.0.5" }, done)), {
    network: { name: "default" },
    subnet: { subnet: "10.0.0.0/24" },
    node: { id: "a" },
    pod: { name: "web", nodeName: "worker-1" },
  });
  t.match(
    await answerOf((done) => admin.InspectAddress({ address: "FD00:0::5" }, done)),
    { pod: { name: "web" } },
    "in whatever form the address is written",
  );
  t.match(await answerOf((done) => admin.InspectAddress({ address: "fd00::7" }, done)), {
    subnet: { subnet: "fd00::/64" },
    pod: null,
  });
  t.match(await answerOf((done) => admin.InspectAddress({ address: "192.0.2.1" }, done)), {
    network: null,
    subnet: null,
  });
  await t.rejects(
    answerOf((done) => admin.InspectAddress({ address: "nonsense" }, done)),
    { code: Status.INVALID_ARGUMENT, details: /address: "nonsense"/ },
  );
  await answerOf((done) => admin.CreateNetwork({ network: { name: "blue", cidrs: ["172.16.0.0/16"] } }, done));
  t.equal((await node.next(({ lease }) => (lease?.network === "blue" ? lease : undefined))).state, "LEASE_STATE_HELD");
  t.match(await answerOf((done) => admin.ReserveSubnet({ network: "blue", subnet: "172.16.9.0/24" }, done)), {
    reserved: true,
  });
  await answerOf((done) => admin.ReleaseSubnet({ network: "blue", subnet: "172.16.9.0/24" }, done));
  await t.rejects(
    answerOf((done) => admin.DeleteNetwork({ name: "none" }, done)),
    { code: Status.NOT_FOUND },
  );
  await until(async () =>
    noticed.some((kinds) => kinds.includes("networks") && !kinds.includes("nodes") && noticed.length > 1),
  );
  t.same(noticed[0], ["pods", "networks"], "all that was asked for, at once");
  t.equal((await fetch(`http://${controller.metrics}/readyz`)).status, 200);
  t.match(await (await fetch(`http://${controller.metrics}/metrics`)).text(), /podwire_controller_sessions 1\n/);
  watch.cancel();
  admin.close();
  node.close();
  await controller.kill("SIGTERM");
});

t.test("TLS: a client with the CA's certificate is served, one without is not, plaintext is not", async (t) => {
  const pki = makeCertificates(join(folder));
  const controller = await start([
    "--store",
    "memory",
    "--tls-cert",
    pki.server.cert,
    "--tls-key",
    pki.server.key,
    "--tls-ca",
    pki.ca,
  ]);
  const read = (path: string) => readFileSync(path);
  const good = new Node(
    controller.address,
    { nodeId: "a" },
    credentials.createSsl(read(pki.ca), read(pki.client.key), read(pki.client.cert)),
  );
  t.equal((await good.lease()).state, "LEASE_STATE_HELD");
  good.close();
  for (const bad of [
    credentials.createSsl(read(pki.ca)),
    credentials.createSsl(read(pki.ca), read(pki.stranger.key), read(pki.stranger.cert)),
    credentials.createInsecure(),
  ]) {
    const node = new Node(controller.address, { nodeId: "b" }, bad);
    t.equal((await node.ended).code, Status.UNAVAILABLE);
    node.close();
  }
  await controller.kill("SIGTERM");
});

t.test("plaintext beyond loopback is refused unless --insecure says so", async (t) => {
  for (const host of ["0.0.0.0", "[::]", "192.0.2.1"]) {
    const child = spawnController(["--store", "memory", "--listen", `${host}:0`]);
    let text = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    t.equal((await once(child, "exit"))[0], 2);
    t.match(text, /--listen: plaintext on .* --tls-cert, --tls-key and --tls-ca.*--insecure/);
  }
  const allowed = await start(["--store", "memory", "--listen", "0.0.0.0:0", "--insecure"]);
  t.equal(await allowed.kill("SIGTERM"), 0);
});

t.test("a reader that stops reading gets merged state later; the others are not held up", async (t) => {
  const controller = await start(["--store", "memory", "--network-cidr", "10.0.0.0/8"]);
  const slow = new Node(controller.address, { nodeId: "slow", addresses: ["198.18.255.1"] });
  const quick = new Node(controller.address, { nodeId: "quick", addresses: ["198.18.255.2"] });
  await Promise.all([
    slow.next(({ snapshot }) => snapshot ?? undefined),
    quick.next(({ snapshot }) => snapshot ?? undefined),
  ]);
  slow.call.pause();
  const names = Array.from({ length: 300 }, (_, i) => i);
  for (let i = 0; i < names.length; i += 20) {
    const some = names
      .slice(i, i + 20)
      .map((n) => new Node(controller.address, { nodeId: `n${n}`, addresses: [`198.18.${n >> 8}.${n & 255}`] }));
    await Promise.all(some.map((node) => node.lease()));
    for (const node of some) node.close();
  }
  await until(async () => quick.view().size === 302);
  slow.call.resume();
  await until(async () => slow.view().size === 302);
  t.same([...slow.view()].sort(), [...quick.view()].sort());
  slow.close();
  quick.close();
  await controller.kill("SIGTERM");
});

t.test("hostile streams end with a code and a sentence", async (t) => {
  const controller = await start(["--store", "memory"]);
  const early = new Nodes(controller.address, credentials.createInsecure()).Session(new Metadata());
  early.write({ renew: { held: [] } });
  const [error] = (await once(early, "error")) as [{ code: number; details: string }];
  t.match(error, { code: Status.FAILED_PRECONDITION, details: /hello: must come before/ });
  const flood = new Node(controller.address, { nodeId: "flood" });
  for (let i = 0; i < 5_000; i++) flood.call.write({ ack: { revision: i } });
  t.match(await flood.ended, { code: Status.RESOURCE_EXHAUSTED });
  const large = new Node(controller.address, { nodeId: "large" });
  large.call.write({ ack: { revision: 1, failures: ["x".repeat(2 * 1024 * 1024)] } });
  t.match(await large.ended, { code: Status.RESOURCE_EXHAUSTED });
  const calm = new Node(controller.address, { nodeId: "calm" });
  t.equal((await calm.lease()).state, "LEASE_STATE_HELD", "others are served");
  for (const node of [flood, large, calm]) node.close();
  await controller.kill("SIGTERM");
});

/** The answer to a unary call; an error that has the gRPC code. */
function answerOf<A>(call: (done: (error: Error | null, answer?: A) => void) => unknown): Promise<A> {
  return new Promise((resolve, reject) => {
    call((error, answer) => {
      if (error !== null || answer === undefined) reject(error);
      else resolve(answer);
    });
  });
}

/** A node's end of a real stream. */
class Node {
  readonly call: ReturnType<NodesClient["Session"]>;
  readonly ended: Promise<{ code: number; details: string }>;
  readonly messages: ControllerMessage__Output[] = [];
  readonly #client: NodesClient;
  #wake = () => {};

  constructor(address: string, hello: object, channel: ChannelCredentials = credentials.createInsecure()) {
    this.#client = new Nodes(address, channel, { "grpc.use_local_subchannel_pool": 1 });
    this.call = this.#client.Session(new Metadata());
    this.call.on("data", (message: ControllerMessage__Output) => {
      this.messages.push(message);
      this.#wake();
    });
    this.ended = new Promise((resolve) => void this.call.on("status", resolve));
    this.call.on("error", () => this.#wake());
    this.call.write({ hello: { addresses: ["198.51.100.1"], bootId: "boot", version: "1", ...hello } });
  }

  /** The first message that the function answers for. */
  async next<T>(pick: (message: ControllerMessage__Output) => T | undefined): Promise<T> {
    for (let at = 0; ; at++) {
      while (at >= this.messages.length) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      const message = this.messages[at];
      const picked = message && pick(message);
      if (picked !== undefined) return picked;
    }
  }

  lease() {
    return this.next(({ lease }) => lease ?? undefined);
  }

  view(): Map<string, string> {
    const view = new Map<string, string>();
    for (const { snapshot, delta } of this.messages) {
      for (const { subnet, addresses } of [...(snapshot?.subnets ?? []), ...(delta?.subnets ?? [])])
        view.set(subnet, addresses.join());
      for (const { subnet } of delta?.deletedSubnets ?? []) view.delete(subnet);
    }
    return view;
  }

  close(): void {
    this.call.cancel();
    this.#client.close();
  }
}

function spawnController(flags: readonly string[]): ChildProcess {
  const listen = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
  return spawn(CONTROLLER, [...listen, ...flags], { stdio: ["ignore", "pipe", "pipe"] });
}

async function start(flags: readonly string[]) {
  const child = spawnController(flags);
  t.teardown(() => child.kill("SIGKILL"));
  child.stderr?.pipe(process.stderr);
  const listening = new Promise<{ address: string; metrics: string }>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the controller ended with ${code}`)));
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on("line", (line) => {
      const fields = JSON.parse(line) as { msg: string; address: string; metrics: string };
      if (fields.msg === "listening") resolve(fields);
    });
  });
  const { address, metrics } = await listening;
  return {
    address: address.replace("0.0.0.0", "127.0.0.1"),
    metrics,
    kill: async (signal: NodeJS.Signals) => {
      const exited = once(child, "exit");
      child.kill(signal);
      return (await exited)[0] as number | null;
    },
  };
}

/** A CA, a server's and a client's certificate of it, and a client's of another CA. */
function makeCertificates(directory: string) {
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: directory, stdio: "pipe" });
  const authority = (name: string) => {
    openssl(
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "2",
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.crt`,
      "-subj",
      `/CN=${name}`,
    );
  };
  const issue = (ca: string, name: string) => {
    openssl(
      "req",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
      "-subj",
      `/CN=${name}`,
      "-addext",
      "subjectAltName=IP:127.0.0.1,DNS:localhost",
    );
    openssl(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      `${ca}.crt`,
      "-CAkey",
      `${ca}.key`,
      "-CAcreateserial",
      "-days",
      "2",
      "-copy_extensions",
      "copy",
      "-out",
      `${name}.crt`,
    );
    return { cert: join(directory, `${name}.crt`), key: join(directory, `${name}.key`) };
  };
  authority("ca");
  authority("other-ca");
  return {
    ca: join(directory, "ca.crt"),
    server: issue("ca", "controller"),
    client: issue("ca", "node-a"),
    stranger: issue("other-ca", "node-x"),
  };
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 20));
}
