import t from "tap";
import { formatEndpoint, isLoopbackHost, parseEndpoint } from "./endpoint.ts";

t.test("endpoints of names and both families", async (t) => {
  for (const text of ["192.0.2.1:7444", "[2001:db8::1]:7444", "controller.example:1", "localhost:0"]) {
    t.equal(formatEndpoint(parseEndpoint(text)), text);
  }
  t.strictSame(parseEndpoint("::1", 7444), { host: "::1", port: 7444 });
  t.strictSame(parseEndpoint("controller", 7444), { host: "controller", port: 7444 });
  t.strictSame(parseEndpoint("[::1]", 7444), { host: "::1", port: 7444 });
});

t.test("what is no endpoint is refused by name", async (t) => {
  for (const text of ["", ":7444", "192.0.2.1", "::1:7444:x", "[name]:1", "h:65536", "h:1:2", "http://h:1", "a b:1"]) {
    t.throws(() => parseEndpoint(text), {
      message: `"${text}" is not host:port, such as 192.0.2.1:7444 or [2001:db8::1]:7444`,
    });
  }
});

t.test("only loopback is loopback", async (t) => {
  for (const host of ["localhost", "127.0.0.1", "127.9.9.9", "::1"]) t.ok(isLoopbackHost(host), host);
  for (const host of ["127.evil.example", "0.0.0.0", "::", "192.0.2.1", ""]) t.notOk(isLoopbackHost(host), host);
});
