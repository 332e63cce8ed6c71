import { createHash } from "node:crypto";
import { isIP } from "node:net";
import { collapseIPv6Number, IPv6 } from "ip-num";
import t from "tap";
import {
  addressFromBigInt,
  addressFromBytes,
  addressToBigInt,
  addressToBytes,
  addToAddress,
  compareAddresses,
  isAddress,
  isLinkLocal,
  isMulticast,
  parseAddress,
} from "./address.ts";
import { isGroupMac, localMacFromHash, macFromBytes, macToBytes, parseMac } from "./mac.ts";
import {
  contains,
  coveringPrefix,
  firstAddress,
  lastAddress,
  networkOf,
  overlaps,
  parseNetwork,
  parsePrefix,
  subnetAt,
  subnetCount,
  subnetIndex,
} from "./prefix.ts";

t.test("an address has one canonical text", async (t) => {
  const rows: readonly [text: string, canonical: string][] = [
    ["10.22.0.2", "10.22.0.2"],
    ["FD00:0:0:0:0:0:0:1", "fd00::1"],
    ["::", "::"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
  ];
  for (const [text, canonical] of rows) {
    const address = parseAddress(text);
    t.equal(address, canonical);
    t.equal(addressFromBytes(addressToBytes(address)), canonical, "bytes round trip");
    const family = canonical.includes(":") ? 6 : 4;
    t.equal(addressFromBigInt(family, addressToBigInt(address)), canonical, "number round trip");
  }
});

t.test("RFC 5952: the canonical text of random addresses is what ip-num makes of them", async (t) => {
  const bytes = (i: number) => createHash("sha256").update(String(i)).digest().subarray(0, 16);
  for (let i = 0; i < 500; i++) {
    const sparse = bytes(i).map((byte, at) => (((bytes(-1 - i)[at >> 1] ?? 0) & 3) === 0 ? byte : 0));
    const address = addressFromBytes(sparse);
    if (!address.includes(":")) continue; // an IPv4-mapped one
    const number = BigInt(`0x${Buffer.from(sparse).toString("hex")}`);
    t.equal(addressToBigInt(address), number);
    t.equal(addressFromBigInt(6, number), address);
    t.equal(address, collapseIPv6Number(new IPv6(number).toString()), address);
  }
});

t.test("a text is an address when node:net says so, but for zones", async (t) => {
  const parts = ["::", ":", "1", "ffff", "0", "10.0.0.1", ".", "256", "g", "fe80", "12345", "%eth0", "/8", " ", "A"];
  let seed = 1;
  const next = () => {
    seed = (seed * 48271) % 0x7fffffff;
    return parts[seed % parts.length] ?? "";
  };
  for (let i = 0; i < 20_000; i++) {
    const text = Array.from({ length: 1 + (i % 9) }, next).join(i % 2 === 0 ? "" : ":");
    if (isAddress(text) !== (isIP(text) !== 0 && !text.includes("%"))) t.fail(text);
  }
  t.equal(isAddress("1:2:3:4:5:6:7:8"), true);
});

t.test("what is not an address is refused by name", async (t) => {
  for (const text of ["", "10.22.0", "10.22.0.256", "010.1.1.1", " 10.0.0.1", "fe80::1%eth0", "10.0.0.1/8", "::g"]) {
    t.notOk(isAddress(text), text);
    t.throws(() => parseAddress(text), { message: `"${text}" is not an IP address` });
  }
  t.throws(() => addToAddress(parseAddress("255.255.255.255"), 1), /IPv4/);
  t.throws(() => addressFromBytes(new Uint8Array(5)), /not 5/);
});

t.test("addresses are ordered, counted and classified", async (t) => {
  t.equal(addToAddress(parseAddress("10.0.0.255"), 1), "10.0.1.0");
  t.equal(addToAddress(parseAddress("fd00::"), -1), "fcff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  const sorted = ["fd00::2", "10.0.0.10", "10.0.0.9"].map(parseAddress).sort(compareAddresses);
  t.strictSame(sorted, ["10.0.0.9", "10.0.0.10", "fd00::2"]);
  t.ok(isMulticast(parseAddress("224.0.0.1")));
  t.ok(isMulticast(parseAddress("ff02::1")));
  t.notOk(isMulticast(parseAddress("223.255.255.255")));
  t.ok(isLinkLocal(parseAddress("fe80::1")));
  t.notOk(isLinkLocal(parseAddress("fec0::1")));
});

t.test("prefixes of both families", async (t) => {
  t.equal(networkOf(parsePrefix("10.22.3.4/16")), "10.22.0.0/16");
  t.equal(networkOf(parsePrefix("fd00:1::5/64")), "fd00:1::/64");
  t.equal(lastAddress(parsePrefix("10.22.3.4/16")), "10.22.255.255");
  t.equal(firstAddress(parsePrefix("0.0.0.0/0")), "0.0.0.0");
  t.equal(lastAddress(parsePrefix("::/0")), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  t.throws(() => parseNetwork("10.22.3.4/16"), {
    message: '"10.22.3.4/16" has host bits set; the network is 10.22.0.0/16',
  });
  for (const text of ["10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "/8", "10.0.0.0/8/8"]) {
    t.throws(() => parsePrefix(text), RangeError, text);
  }
});

t.test("containment never crosses families", async (t) => {
  const cidr = parsePrefix("10.244.0.0/16");
  t.ok(contains(cidr, parseAddress("10.244.255.255")));
  t.ok(contains(cidr, parsePrefix("10.244.7.0/24")));
  t.notOk(contains(cidr, parsePrefix("10.0.0.0/8")));
  t.notOk(contains(parsePrefix("0.0.0.0/0"), parseAddress("::1")));
  t.ok(overlaps(cidr, parsePrefix("10.0.0.0/8")));
  t.notOk(overlaps(cidr, parsePrefix("10.245.0.0/16")));
});

t.test("the prefix that covers several", async (t) => {
  t.equal(coveringPrefix(["10.1.0.0/24", "10.2.5.0/24"].map(parsePrefix)), "10.0.0.0/14");
  t.equal(coveringPrefix(["fd00::1/128"].map(parsePrefix)), "fd00::1/128");
  t.throws(() => coveringPrefix(["10.1.0.0/24", "fd00::/64"].map(parsePrefix)), /no prefix holds/);
});

t.test("subnets by index", async (t) => {
  const cidr = parsePrefix("10.244.0.0/16");
  t.equal(subnetCount(cidr, 24), 256n);
  t.equal(subnetAt(cidr, 24, 255n), "10.244.255.0/24");
  t.equal(subnetIndex(cidr, parsePrefix("10.244.7.0/24")), 7n);
  t.equal(subnetAt(parsePrefix("fd00:a::/48"), 64, 0x10n), "fd00:a:0:10::/64");
  t.throws(() => subnetAt(cidr, 24, 256n), /index 256/);
  t.throws(() => subnetCount(cidr, 8), /length 8/);
});

t.test("MAC addresses", async (t) => {
  t.equal(parseMac("0A-58-0A-16-00-02"), "0a:58:0a:16:00:02");
  t.equal(macFromBytes(macToBytes(parseMac("02:00:00:00:00:ff"))), "02:00:00:00:00:ff");
  t.equal(localMacFromHash(new Uint8Array(32).fill(0xff)), "fe:ff:ff:ff:ff:ff");
  t.ok(isGroupMac(parseMac("01:00:5e:00:00:01")));
  t.throws(() => parseMac("02:00:00:00:00"), { message: '"02:00:00:00:00" is not a MAC address' });
});
