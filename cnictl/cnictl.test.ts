import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { credentials } from "@grpc/grpc-js";
import t from "tap";
import { eventually } from "../test/netns/harness/eventually.ts";
import { CNICTL, cnictl, joinNode, startCnictl, startController, stop } from "./testdata/live.ts";

/** Where nobody listens, on an address of its own: a free port of 127.0.0.1 may be somebody else's a moment later. */
function freeAddress(): string {
  return `127.${randomInt(1, 255)}.${randomInt(256)}.${randomInt(1, 255)}:7444`;
}

t.test("one controller, two nodes: everything that cnictl shows and changes", async (t) => {
  const { address } = await startController(t, "--network-cidr", "10.244.0.0/16,fd00:244::/48");
  const run = (...words: string[]) => cnictl(address, ...words);

  await t.test("an empty cluster", async (t) => {
    t.strictSame(await run("get", "nodes"), { code: 0, out: "", err: "No resources found.\n" });
    t.match(await run("get", "networks"), {
      code: 0,
      out: /^NAME +CIDRS +BACKEND .*\ndefault +10\.244\.0\.0\/16,fd00:244::\/48 +vxlan\/flow +true /,
    });
    t.match(await run("status", "--nodes", "1"), { code: 2, err: /1 more nodes are expected/ });
  });

  const one = joinNode(t, address, "node-1", { addresses: ["192.0.2.1"] });
  const { subnets } = await one.next("lease");
  const subnet = subnets.find(({ subnet }) => subnet.includes("."))?.subnet ?? "";
  const pod = subnet.replace(/0\/24$/, "7");
  await one.next("snapshot");

  await t.test("status waits, by the watch, until the last node has applied the newest revision", async (t) => {
    t.match(await run("status"), { code: 2, out: /^node-1 +true +0 /m, err: /node-1 has applied revision 0 of \d+/ });
    const waiting = run("status", "--wait", "300s", "--nodes", "2");
    const two = joinNode(t, address, "node-2", { addresses: ["192.0.2.2"] });
    const { revision } = await two.next("snapshot");
    two.send({ ack: { revision, failures: [] } });
    const { revision: newest } = await one.next("delta");
    one.send({ ack: { revision: newest, failures: [] } });
    two.send({ ack: { revision: newest, failures: [] } });
    t.match(await waiting, { code: 0, out: /^NODE .*\nnode-1 +true +\d+ +0 +0 .*\nnode-2 +true +\d+ +0 +0 /, err: "" });

    one.send({ ack: { revision: newest, failures: ["RTM_NEWROUTE 10.244.9.0/24: EINVAL"] } });
    await t.resolveMatch(run("status", "--wait", "1500ms", "node-1"), {
      code: 2,
      err: /RTM_NEWROUTE 10\.244\.9\.0\/24: EINVAL/,
    });
    one.send({ ack: { revision: newest, failures: [] } });
  });

  await t.test("pods, and whose address that is", async (t) => {
    one.send({
      status: {
        pods: [
          {
            network: "default",
            containerId: "c".repeat(64),
            interfaceName: "eth0",
            namespace: "shop",
            name: "web-0",
            addresses: [pod],
            createdAt: Date.now() - 300_000,
          },
        ],
        conditions: [{ type: "Ready", status: true, reason: "", message: "" }],
      },
    });
    const watching = startCnictl(address, "get", "pods", "--watch", "-o", "name");
    t.teardown(() => stop(watching));
    if (watching.stdout === null) throw new Error("stdout is a pipe");
    const [first] = await once(createInterface({ input: watching.stdout }), "line");
    t.equal(first, "pod/shop/web-0");
    t.match(await run("get", "po", "--no-headers"), {
      code: 0,
      out: new RegExp(`^shop +web-0 +default +node-1 +${pod} +\\d+m`),
    });
    t.match(await run("subnet", "inspect", pod), {
      code: 0,
      out: new RegExp(
        [
          `Address: +${pod}`,
          "Network: +default .*",
          `Subnet: +${subnet}`,
          "Node: +node-1 \\(id-node-1\\), Ready",
          "Node addresses: +192.0.2.1",
          "Lease: +epoch \\d+, \\w+ old, expires in 2[34]h",
          "Pod: +shop/web-0 ",
        ].join("\n"),
      ),
    });
    t.match(JSON.parse((await run("subnet", "inspect", pod, "-o", "json")).out), {
      metadata: { name: pod },
      status: { subnet: { metadata: { name: subnet } }, pod: { metadata: { name: "web-0", namespace: "shop" } } },
    });
    t.match(await run("subnet", "inspect", "203.0.113.1"), {
      code: 1,
      err: /^Error from server \(NotFound\): 203\.0\.113\.1 belongs to none/,
    });
    t.match(await run("subnet", "inspect", "10.244"), { code: 1, err: 'error: "10.244" is not an IP address\n' });
    t.match(await run("describe", "node", "node-1"), {
      code: 0,
      out: new RegExp(`Pods:\n .*\n  shop/web-0 +default +eth0 +${pod}`),
    });
    t.match(await run("describe", "subnet", subnet), {
      code: 0,
      out: /^Name: +10\.244[\s\S]*Pods:\n.*\n {2}shop\/web-0/,
    });
  });

  await t.test("routes between the two", async (t) => {
    const { out } = await run("get", "routes", "--node", "node-2", "--network", "default", "--no-headers");
    t.match(out, new RegExp(`^node-2 +${subnet} +default +node-1 +192\\.0\\.2\\.1 +vxlan/flow$`, "m"));
    t.match(out, /^node-2 +fd00:244:\S+ +default +node-2 +<none> +local$/m);
  });

  await t.test("networks are created, shown and deleted; what is refused is said", async (t) => {
    const create = [
      "network",
      "create",
      "lab",
      "--cidr",
      "10.50.0.0/16",
      "--subnet-length",
      "26",
      "--mode",
      "static",
      "--no-masquerade",
    ];
    t.strictSame(await run(...create), { code: 0, out: "network/lab created\n", err: "" });
    t.match(await run(...create), { code: 1, out: "", err: /^Error from server \(AlreadyExists\): .*"lab"/ });
    t.match(await run("network", "create", "clash", "--cidr", "10.244.7.0/24"), {
      code: 1,
      err: /^Error from server \(InvalidArgument\): .*overlaps/,
    });
    t.match(JSON.parse((await run("get", "network", "lab", "-o", "json")).out), {
      kind: "Network",
      spec: { subnetLengths: [26], masquerade: false, backend: { type: "vxlan", mode: "static" } },
    });
    t.match(await run("subnet", "reserve", "10.50.0.128/26", "--network", "lab"), {
      code: 0,
      out: "subnet/10.50.0.128/26 reserved\n",
    });
    t.match(await run("subnet", "reserve", "10.50.0.130/26", "--network", "lab"), {
      code: 1,
      err: /has host bits set; the network is 10\.50\.0\.128\/26/,
    });
    t.match(await run("get", "sn", "10.50.0.128/26", "--no-headers"), {
      code: 0,
      out: /^10\.50\.0\.128\/26 +lab +<none> +true +never /,
    });
    t.match(await run("subnet", "release", "10.50.0.128/26", "--network", "lab"), {
      code: 0,
      out: "subnet/10.50.0.128/26 released\n",
    });
    t.match(await run("subnet", "release", subnet, "--network", "default"), {
      code: 1,
      err: /^Error from server \(FailedPrecondition\): .*node-1.*--force/,
    });
    t.match(await run("network", "delete", "lab"), { code: 0, out: "network/lab deleted\n" });
    t.match(await run("network", "delete", "lab"), { code: 1, err: /^Error from server \(NotFound\)/ });
  });

  await t.test("NotFound is kubectl's sentence", async (t) => {
    t.strictSame(await run("get", "node", "x"), {
      code: 1,
      out: "",
      err: 'Error from server (NotFound): node "x" not found\n',
    });
    t.match(await run("describe", "node", "x"), { code: 1, err: 'Error from server (NotFound): node "x" not found\n' });
  });

  await t.test("--watch prints a row for each change, and ends with exit 3 when the controller does", async (t) => {
    const own = await startController(t);
    const watching = startCnictl(own.address, "get", "networks", "-w", "--output-watch-events");
    t.teardown(() => stop(watching));
    if (watching.stdout === null) throw new Error("stdout is a pipe");
    const lines = createInterface({ input: watching.stdout })[Symbol.asyncIterator]();
    const next = async () => ((await lines.next()).value as string).split(/ +/).slice(0, 2).join(" ");
    t.equal(await next(), "EVENT NAME");
    t.equal(await next(), "ADDED default");
    await cnictl(own.address, "network", "create", "lab", "--cidr", "10.50.0.0/16");
    t.equal(await next(), "ADDED lab");
    await cnictl(own.address, "network", "delete", "lab");
    t.equal(await next(), "DELETED lab");
    await stop(own.process, "SIGKILL");
    const [code] = await once(watching, "exit");
    t.equal(code, 3);
  });

  await t.test("bash completes commands, options, and names that the controller knows", async (t) => {
    const script = (await run("completion", "bash")).out;
    const complete = (line: string) =>
      execFileSync(
        "bash",
        [
          "--norc",
          "-c",
          `${script}\ncnictl() { ${CNICTL.join(" ")} "$@"; }\nCOMP_LINE=$1 COMP_POINT=\${#1}\n_cnictl\nprintf '%s\\n' "\${COMPREPLY[@]}"`,
          "bash",
          line,
        ],
        {
          cwd: join(import.meta.dirname, ".."),
          encoding: "utf8",
          env: { ...process.env, CNICTL_SERVER: address },
        },
      )
        .split("\n")
        .slice(0, -1);
    // Completion gives up asking after two seconds, which a slow machine may need for an answer: then again.
    const completes = (line: string, expected: (words: readonly string[]) => boolean) =>
      eventually(() => {
        const words = complete(line);
        if (!expected(words)) throw new Error(`${line}: ${words.join(" ")}`);
        return t.pass(line);
      }, line);
    const exactly =
      (...expected: string[]) =>
      (words: readonly string[]) =>
        words.join(" ") === expected.join(" ");
    await completes("cnictl de", exactly("describe"));
    await completes("cnictl get ", exactly("nodes", "subnets", "networks", "pods", "routes"));
    await completes("cnictl get nodes ", exactly("node-1", "node-2"));
    await completes(`cnictl --server ${address} -o wide describe node node-`, exactly("node-1", "node-2"));
    await completes("cnictl subnet release --network de", exactly("default"));
    await completes("cnictl subnet release 10.", (words) => words.includes(subnet));
    // ":" ends a word for readline: what it is to insert goes on after the last one.
    await completes(
      "cnictl subnet release fd00:244:",
      (words) => words.length > 0 && words.every((word) => /^[0-9a-f:]+\/64$/.test(word) && !word.startsWith("fd00")),
    );
    await completes("cnictl get -o ", exactly("table", "wide", "json", "yaml", "name"));
    await completes("cnictl get nodes --wa", exactly("--watch"));
  });
});

t.test("a controller that is not there: exit 3 and a sentence with its address", async (t) => {
  const address = freeAddress();
  t.match(await cnictl(address, "get", "nodes"), {
    code: 3,
    out: "",
    err: new RegExp(`^error: cannot reach the controller at ${address} .*--server HOST:PORT or CNICTL_SERVER\n$`),
  });
  const started = Date.now();
  t.match(await cnictl(address, "status", "--wait", "700ms"), { code: 3, err: new RegExp(address) });
  t.ok(Date.now() - started > 700, "it waited for one to start");
});

t.test("status --wait is there before the controller is", async (t) => {
  const address = freeAddress();
  const waiting = cnictl(address, "status", "--wait", "300s");
  await startController(t, "--listen", address);
  t.match(await waiting, { code: 0, err: "No resources found.\n" });
});

t.test("a controller that never answers: exit 3 after --timeout", async (t) => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await once(silent, "listening");
  t.teardown(() => silent.close());
  const sockets: { destroy(): void }[] = [];
  silent.on("connection", (socket) => sockets.push(socket));
  t.teardown(() => sockets.forEach((socket) => void socket.destroy()));
  const address = silent.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  t.match(await cnictl(`127.0.0.1:${address.port}`, "get", "nodes", "--timeout", "500ms"), {
    code: 3,
    err: /^error: the controller at 127\.0\.0\.1:\d+ did not answer within 500ms; see its log, or allow more with --timeout\n$/,
  });
});

t.test("plaintext stays on this machine unless --insecure says so; TLS is mutual", async (t) => {
  t.match(await cnictl("192.0.2.1:7444", "get", "nodes"), {
    code: 1,
    err: /^error: 192\.0\.2\.1:7444 is not on this machine and plaintext would be readable on the way: give --tls-ca .*, or --insecure/,
  });
  const dir = t.testdir({});
  makeCertificates(dir);
  const at = (file: string) => join(dir, file);
  const { address } = await startController(
    t,
    "--tls-cert",
    at("server.crt"),
    "--tls-key",
    at("server.key"),
    "--tls-ca",
    at("ca.crt"),
  );
  const trust = ["--tls-ca", at("ca.crt")];
  const own = ["--tls-cert", at("client.crt"), "--tls-key", at("client.key")];
  t.match(await cnictl(address, "get", "net", "-o", "name", ...trust, ...own), { code: 0, out: "network/default\n" });
  t.match(await cnictl(address, "get", "net", ...trust), { code: 3, out: "" }, "no certificate, no answer");
  t.match(await cnictl(address, "get", "net", "--timeout", "2s"), { code: 3, out: "" }, "plaintext gets no answer");
  t.match(await cnictl(address, "get", "net", ...trust, "--tls-cert", at("client.crt")), {
    code: 1,
    err: /belong together/,
  });
  t.match(await cnictl(address, "get", "net", ...trust, ...own, "--insecure"), { code: 1, err: /contradicts/ });
  t.match(await cnictl(address, "get", "net", "--tls-ca", at("absent.pem")), {
    code: 1,
    err: /cannot read .*absent\.pem/,
  });

  const read = (file: string) => readFileSync(at(file));
  const channel = credentials.createSsl(read("ca.crt"), read("client.key"), read("client.crt"));
  const node = joinNode(t, address, "node-1", { addresses: ["192.0.2.1"] }, channel);
  await node.next("snapshot");
  t.match(await cnictl(address, "get", "nodes", "-o", "name", ...trust, ...own), { code: 0, out: "node/node-1\n" });
});

/** A CA, a server certificate for 127.0.0.1 and a client certificate. */
function makeCertificates(dir: string): void {
  const openssl = (...words: string[]) => execFileSync("openssl", words, { cwd: dir, stdio: "pipe" });
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  openssl("req", "-x509", ...ec, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test CA");
  for (const [name, extra] of [
    ["server", ["-addext", "subjectAltName=IP:127.0.0.1"]],
    ["client", []],
  ] as const) {
    openssl(
      "req",
      "-x509",
      ...ec,
      "-CA",
      "ca.crt",
      "-CAkey",
      "ca.key",
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.crt`,
      "-subj",
      `/CN=${name}`,
      ...extra,
    );
  }
}
