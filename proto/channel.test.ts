import t from "tap";
import { channelCredentials, plainDetails } from "./channel.ts";

t.test("plaintext beyond loopback is refused unless --insecure says so", async (t) => {
  t.doesNotThrow(() => channelCredentials({ endpoints: ["127.0.0.1:7444", "[::1]:7444", "localhost:7444"] }));
  for (const remote of ["192.0.2.1:7444", "controller:7444", "[2001:db8::1]:7444", "127.evil.example:1"]) {
    const endpoints = ["127.0.0.1:7444", remote];
    t.throws(() => channelCredentials({ endpoints }), { message: /^\S+ is not on this machine.*--tls-ca.*--insecure/ });
    t.doesNotThrow(() => channelCredentials({ endpoints, insecure: true }));
  }
});

t.test("TLS files: half a key pair, a contradiction and an unreadable file are told", async (t) => {
  const endpoints = ["192.0.2.1:7444"];
  t.throws(() => channelCredentials({ endpoints, tlsCert: "c" }), {
    message: /--tls-cert and --tls-key belong together/,
  });
  t.throws(() => channelCredentials({ endpoints, tlsCa: "ca", insecure: true }), {
    message: /--insecure means plaintext/,
  });
  t.throws(() => channelCredentials({ endpoints, tlsCa: "/nonexistent" }), { code: "ENOENT" });
});

t.test("grpc-js's note on name resolution is not for people", async (t) => {
  t.equal(
    plainDetails("No connection established. Last error: refused. Resolution note: "),
    "No connection established. Last error: refused",
  );
  t.equal(plainDetails('network "x" does not exist'), 'network "x" does not exist');
});
