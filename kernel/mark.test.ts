import t from "tap";
import { attachmentKey, formatMark, hostVethName, ifbName, isMarkOf, type Mark, parseMark } from "./mark.ts";

const veth = { role: "veth", network: "pods", containerId: "c".repeat(64), ifName: "eth0" } as const;

t.test("S15: an alias tells whose link it is", async (t) => {
  const marks: readonly [Mark, string][] = [
    [{ role: "bridge", network: "pods" }, "podwire bridge net=pods"],
    [{ role: "overlay", network: "pods" }, "podwire overlay net=pods"],
    [{ role: "vrf", network: "pods" }, "podwire vrf net=pods"],
    [{ ...veth, role: "ifb" }, `podwire ifb net=pods cid=${veth.containerId} if=eth0`],
    [
      { ...veth, pod: { namespace: "default", name: "web-1" } },
      `podwire veth net=pods cid=${veth.containerId} if=eth0 pod=default/web-1`,
    ],
    [veth, `podwire veth net=pods cid=${veth.containerId} if=eth0`],
    [{ ...veth, role: "interface" }, `podwire interface net=pods cid=${veth.containerId} if=eth0`],
    [
      { ...veth, role: "device", from: "enp1s0" },
      `podwire device net=pods cid=${veth.containerId} if=eth0 from=enp1s0`,
    ],
  ];
  for (const [mark, alias] of marks) {
    t.equal(formatMark(mark), alias);
    t.strictSame(parseMark(alias), mark);
  }
});

t.test("S15: foreign and broken aliases are not ours", async (t) => {
  const foreign = [
    "",
    "uplink",
    "podwire",
    "podwire veth",
    "podwire veth net=a",
    "podwire bridge",
    "podwire bridge net=",
    "podwire x net=a",
    "podwire x net=a cid=b if=c",
    "podwire device net=a cid=b if=c",
    " podwire bridge net=a",
    "podwirex bridge net=a",
  ];
  for (const alias of [undefined, ...foreign]) t.equal(parseMark(alias), undefined, String(alias));
});

t.test("S15: a mark is one attachment's, in one role", async (t) => {
  t.ok(isMarkOf(veth, "veth", { ...veth }));
  t.notOk(isMarkOf(veth, "interface", veth));
  t.notOk(isMarkOf(undefined, "veth", veth));
  for (const change of [{ network: "pods2" }, { containerId: "d" }, { ifName: "eth1" }]) {
    t.notOk(isMarkOf(veth, "veth", { ...veth, ...change }));
  }
});

t.test("the pod is dropped when the alias gets too long; what is too long even so is refused", async (t) => {
  const pod = { namespace: "n".repeat(63), name: "p".repeat(120) };
  t.equal(formatMark({ ...veth, pod }), formatMark(veth));
  t.throws(() => formatMark({ role: "bridge", network: "n".repeat(250) }), /255 bytes/);
  t.throws(() => formatMark({ role: "bridge", network: "a b" }), /net="a b"/);
  t.throws(() => formatMark({ role: "bridge", network: "" }), RangeError);
});

t.test("P11: names depend on network, container and interface, and fit the kernel", async (t) => {
  const name = hostVethName(veth);
  t.match(name, /^pw[0-9a-f]{12}$/);
  t.equal(hostVethName({ ...veth }), name);
  const others = [{ network: "pods2" }, { containerId: "d" }, { ifName: "eth1" }].map((change) =>
    hostVethName({ ...veth, ...change }),
  );
  t.equal(new Set([name, ...others]).size, 4);
  t.match(ifbName(veth), /^pwi[0-9a-f]{12}$/);
  t.not(ifbName({ ...veth, ifName: "eth1" }), ifbName(veth));
  t.match(attachmentKey(veth), /^[0-9a-f]{16}$/);
  t.ok(attachmentKey(veth).startsWith(name.slice(2)));
  t.not(
    hostVethName({ network: "a", containerId: "bc", ifName: "e" }),
    hostVethName({ network: "ab", containerId: "c", ifName: "e" }),
  );
});
