import t from "tap";
import { parseAddress } from "../net/address.ts";
import { parsePrefix } from "../net/prefix.ts";
import { checkDisjoint, checkRangeSet, inRange, makeRange, rangeSize } from "./range.ts";

function range(subnet: string, rangeStart?: string, rangeEnd?: string, gateway?: string) {
  const address = (text: string | undefined) => (text === undefined ? undefined : parseAddress(text));
  return makeRange({
    subnet: parsePrefix(subnet),
    rangeStart: address(rangeStart),
    rangeEnd: address(rangeEnd),
    gateway: address(gateway),
    path: "ipam.ranges[0][0]",
  });
}

t.test("what a range leaves out is filled in as the reference plugin does", async (t) => {
  const rows: readonly [ReturnType<typeof range>, string][] = [
    [range("10.22.0.0/16"), "10.22.0.1-10.22.255.254 via 10.22.0.1, 65533"],
    [range("10.22.0.0/30"), "10.22.0.1-10.22.0.2 via 10.22.0.1, 1"],
    [range("fd00::/64"), "fd00::1-fd00::ffff:ffff:ffff:ffff via fd00::1, 18446744073709551614"],
    [range("fd00::/126"), "fd00::1-fd00::3 via fd00::1, 2"],
    [range("10.22.0.0/24", "10.22.0.10", "10.22.0.20"), "10.22.0.10-10.22.0.20 via 10.22.0.1, 11"],
    [range("10.22.0.0/24", undefined, undefined, "10.22.0.254"), "10.22.0.1-10.22.0.254 via 10.22.0.254, 253"],
    [range("fd00::/126", undefined, undefined, "fe80::1"), "fd00::1-fd00::3 via fe80::1, 3"],
    [range("10.22.0.0/24", "10.22.0.0", "10.22.0.255"), "10.22.0.0-10.22.0.255 via 10.22.0.1, 255"],
  ];
  for (const [made, expected] of rows) {
    t.equal(`${made.start}-${made.end} via ${made.gateway}, ${rangeSize(made)}`, expected);
  }
});

t.test("a refusal is code 7 and names key, value and remedy", async (t) => {
  const rows: readonly [() => unknown, RegExp][] = [
    [
      () => range("10.22.0.5/16"),
      /ipam\.ranges\[0\]\[0\]\.subnet: "10\.22\.0\.5\/16" has host bits set; write 10\.22\.0\.0\/16/,
    ],
    [() => range("10.22.0.0/31"), /subnet: "10\.22\.0\.0\/31" is too small/],
    [() => range("10.22.0.0/32"), /too small/],
    [() => range("fd00::/127"), /too small/],
    [() => range("10.22.0.0/24", "10.23.0.1"), /rangeStart: "10\.23\.0\.1" is not in subnet 10\.22\.0\.0\/24/],
    [() => range("10.22.0.0/24", undefined, "fd00::1"), /rangeEnd: "fd00::1" is not in subnet/],
    [() => range("10.22.0.0/24", undefined, undefined, "fe80::1"), /gateway: "fe80::1" is of another address family/],
    [
      () => range("10.22.0.0/24", "10.22.0.9", "10.22.0.8"),
      /rangeEnd: "10\.22\.0\.8" is before rangeStart 10\.22\.0\.9/,
    ],
    [() => checkRangeSet([], "ipam.ranges[1]"), /ipam\.ranges\[1\]: \[\] holds no range/],
    [
      () => checkRangeSet([range("10.0.0.0/24"), range("fd00::/64")], "s"),
      /s\[1\]\.subnet: "fd00::\/64" is of another address family/,
    ],
    [
      () => checkRangeSet([range("10.0.0.0/24"), range("10.0.0.0/16", "10.0.0.9", "10.0.0.12")], "s"),
      /s\[1\]: "10\.0\.0\.9-10\.0\.0\.12" overlaps with 10\.0\.0\.1-10\.0\.0\.254/,
    ],
    [
      () =>
        checkDisjoint([
          { set: [range("10.0.0.0/24")], path: "a" },
          { set: [range("10.1.0.0/24"), range("10.0.0.0/24", "10.0.0.200")], path: "b" },
        ]),
      /b\[1\]: .* overlaps with/,
    ],
  ];
  for (const [refuse, message] of rows) t.throws(refuse, { code: 7, message });
});

t.test("one subnet may be split between two ranges", async (t) => {
  const low = range("10.0.0.0/24", undefined, "10.0.0.99");
  const high = range("10.0.0.0/24", "10.0.0.100");
  t.doesNotThrow(() => checkRangeSet([low, high], "s"));
  t.ok(inRange(low, parseAddress("10.0.0.99")));
  t.notOk(inRange(low, parseAddress("10.0.0.100")));
  t.notOk(inRange(low, parseAddress("fd00::1")));
});
