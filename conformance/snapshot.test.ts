import t from "tap";
import { added, readSnapshot } from "./snapshot.ts";

const section = (title: string, value: unknown) =>
  `\x1e${title}\n${typeof value === "string" ? value : JSON.stringify(value)}\n`;
const VETH = {
  ifname: "veth1",
  mtu: 1500,
  txqlen: 1000,
  address: "02:00:00:00:00:01",
  master: "cni0",
  flags: ["UP"],
  linkinfo: { info_kind: "veth" },
};

t.test("what differs is told in the words of ip and nft, with the line that takes it away", async (t) => {
  const before = readSnapshot(section("link", []) + section("route", []));
  const after = readSnapshot(
    section("link", [VETH]) +
      section("address", [
        {
          ifname: "veth1",
          addr_info: [
            { local: "10.1.0.1", prefixlen: 24, scope: "global" },
            { local: "fe80::1", prefixlen: 64, scope: "link" },
          ],
        },
      ]) +
      section("route", [
        { dst: "default", gateway: "fd00::1", dev: "veth1" },
        { dst: "10.1.0.0/24", dev: "veth1", protocol: "kernel" },
      ]) +
      `\x1dkit1\n${section("rule4", [{ priority: 100, src: "10.1.0.2" }])}`,
  );
  t.strictSame(
    added(before, after).map(({ text, remove }) => [text, remove]),
    [
      ["link veth1 type veth master cni0 mtu 1500", "ip link del veth1"],
      ["address 10.1.0.1/24 dev veth1", "ip address del 10.1.0.1/24 dev veth1"],
      ["route -6 default via fd00::1 dev veth1", "ip -6 route del default via fd00::1 dev veth1"],
      ["container kit1: rule -4 priority:100 src:10.1.0.2", "ip -n kit1 -4 rule del pref 100"],
    ],
  );
});

t.test("rules of two chains, a rule twice and the elements of a set stay apart", async (t) => {
  const rules = (lines: string) => readSnapshot(section("ruleset", lines));
  const before = rules(
    "table inet a {\n\tchain one {\n\t\taccept\n\t}\n\tset s {\n\t\telements = { 10.0.0.1 }\n\t}\n}\n",
  );
  const after = rules(
    "table inet a {\n\tchain one {\n\t\taccept\n\t\taccept\n\t}\n\tset s {\n\t\telements = { 10.0.0.1,\n\t\t\t     10.0.0.2 }\n\t}\n\tchain two {\n\t\taccept\n\t}\n}\n",
  );
  t.strictSame(
    added(before, after).map(({ text }) => text),
    [
      "ruleset table inet a chain one: accept (2)",
      "ruleset table inet a set s: elements = { 10.0.0.2",
      "ruleset table inet a: chain two {",
      "ruleset table inet a chain two: accept",
    ],
  );
});

t.test("processes count without the first, those of the snapshot itself, and zombies", async (t) => {
  const status = (pid: number, name: string, state: string, parent: number) =>
    `/proc/${pid}/status:Name:\t${name}\n/proc/${pid}/status:State:\t${state}\n/proc/${pid}/status:PPid:\t${parent}\n`;
  const text = `self 9\n${status(1, "cat", "S", 0)}${status(9, "sh", "S", 0)}${status(10, "grep", "R", 9)}${status(5, "left", "S", 1)}${status(6, "dead", "Z (zombie)", 1)}`;
  t.strictSame([...readSnapshot(section("process", text)).keys()], ["process left (1)"]);
});
