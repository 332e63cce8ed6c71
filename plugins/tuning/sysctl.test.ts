import t from "tap";
import { sysctlOf } from "./sysctl.ts";

t.test("names are read as sysctl(8) does, and IFNAME is the interface", async (t) => {
  const rows: readonly [name: string, key: string][] = [
    ["net.core.somaxconn", "net/core/somaxconn"],
    ["net/core/somaxconn", "net/core/somaxconn"],
    ["net.ipv4.conf.IFNAME.arp_filter", "net/ipv4/conf/eth0.100/arp_filter"],
    ["net/ipv4/conf/IFNAME/arp_filter", "net/ipv4/conf/eth0.100/arp_filter"],
    ["net/ipv4/conf/net1.7/arp_filter", "net/ipv4/conf/net1.7/arp_filter"],
    ["net.ipv4.conf.net1/7.arp_filter", "net/ipv4/conf/net1.7/arp_filter"],
  ];
  for (const [name, key] of rows) t.strictSame(sysctlOf(name, "1", "eth0.100"), { name, key, value: "1" });
});

t.test("S1: nothing above or beside net", async (t) => {
  const foreign = [
    "",
    "net",
    "kernel.x",
    "net..x",
    "net/../kernel/x",
    "/net/x",
    "../net/x",
    "net/./x",
    "net/x\0",
    "NET.x",
  ];
  for (const name of foreign) t.throws(() => sysctlOf(name, "1", "eth0"), { code: 7 }, JSON.stringify(name));
});
