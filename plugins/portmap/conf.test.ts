import t from "tap";
import { decodeConf } from "../../cni/conf.ts";
import type { Json } from "../../cni/json.ts";
import { decodePortmapConf } from "./conf.ts";

const conf = (keys: object) =>
  decodePortmapConf(
    decodeConf({ cniVersion: "1.0.0", name: "test", type: "portmap", ...keys } as unknown as Json, "ADD"),
  );
const mapping = (keys: object) => ({
  runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp", ...keys }] },
});

t.test("defaults are the reference plugin's", async (t) => {
  t.match(conf({}), { mappings: [], snat: true, masqAll: false, conditions: { 4: undefined, 6: undefined } });
  t.strictSame(conf(mapping({ protocol: "UDP", hostIP: "" })).mappings, [
    { hostPort: 8080, containerPort: 80, protocol: "udp" },
  ]);
});

t.test("conditions become ranges of addresses", async (t) => {
  const all4 = ["0.0.0.0", "255.255.255.255"];
  t.strictSame(conf({ conditionsV4: ["-s", "10.0.0.0/8"] }).conditions[4], {
    sources: [["10.0.0.0", "10.255.255.255"]],
    destinations: [all4],
  });
  t.strictSame(conf({ conditionsV4: ["!", "--source", "10.0.0.0/8", "-d", "192.0.2.1"] }).conditions[4], {
    sources: [
      ["0.0.0.0", "9.255.255.255"],
      ["11.0.0.0", "255.255.255.255"],
    ],
    destinations: [["192.0.2.1", "192.0.2.1"]],
  });
  t.strictSame(conf({ conditionsV6: ["!", "-d", "::/1"] }).conditions[6]?.destinations, [
    ["8000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ]);
});

t.test("what cannot be is refused by key and value", async (t) => {
  for (const [keys, message] of [
    [mapping({ hostPort: 0 }), /portMappings\[0\].hostPort: 0 is not an integer in 1\.\.65535/],
    [mapping({ containerPort: 65536 }), /portMappings\[0\].containerPort: 65536/],
    [mapping({ protocol: "icmp" }), /portMappings\[0\].protocol: "icmp" is not one of/],
    [mapping({ hostIP: "localhost" }), /portMappings\[0\].hostIP/],
    [{ markMasqBit: 32 }, /markMasqBit: 32/],
    [{ markMasqBit: 13, externalSetMarkChain: "KUBE-MARK-MASQ" }, /externalSetMarkChain.*exclude each other/],
    [{ backend: "nftables", externalSetMarkChain: "KUBE-MARK-MASQ" }, /is a chain of iptables/],
    [{ backend: "ipfw" }, /backend: "ipfw" is not one of "iptables", "nftables"/],
    [{ conditionsV4: ["-i", "eth0"] }, /conditionsV4: \["-i","eth0"\] cannot be used: only -s ADDRESS and -d ADDRESS/],
    [{ conditionsV4: ["-s", "10.0.0.0/8", "-s", "11.0.0.0/8"] }, /each once/],
    [{ conditionsV4: ["-s", "fd00::/8"] }, /where an IPv4 address or prefix is needed/],
    [{ conditionsV6: ["-d"] }, /where an IPv6 address/],
  ] as const) {
    t.throws(() => conf(keys), { code: 7, message });
  }
});
