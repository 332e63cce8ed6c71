import t from "tap";
import { typesWith } from "../backends/backend.ts";
import { networkFromOptions } from "./network-create.ts";

const having = (key: Parameters<typeof typesWith>[0]) => typesWith(key).join(", ");
const OPTIONS = { cidr: ["10.244.0.0/16"], backend: "vxlan", masquerade: true };

t.test("what is not given is left to the controller", async (t) => {
  t.strictSame(networkFromOptions("default", OPTIONS), {
    name: "default",
    cidrs: ["10.244.0.0/16"],
    backend: { type: "vxlan", mode: "flow", vni: 0, port: 0, directRouting: false, mtu: 0 },
    masquerade: true,
  });
});

t.test("subnet lengths belong to the CIDRs in their order, whatever the family", async (t) => {
  const cidr = ["fd00::/48", "10.244.0.0/16"];
  t.match(networkFromOptions("dual", { ...OPTIONS, cidr, subnetLength: ["64", "25"] }), {
    ipv4SubnetLength: 25,
    ipv6SubnetLength: 64,
  });
});

t.test("wireguard has a port and no mode", async (t) => {
  const { backend } = networkFromOptions("x", { ...OPTIONS, backend: "wireguard", port: "51900" });
  t.match(backend, { type: "wireguard", mode: "", vni: 0, port: 51900 });
  t.throws(() => networkFromOptions("x", { ...OPTIONS, backend: "wireguard", mode: "flow" }), {
    message: `error: --mode is for --backend ${having("mode")}, not wireguard`,
  });
});

t.test("gre and ipip have modes, and gre a key in static mode", async (t) => {
  const gre = networkFromOptions("x", { ...OPTIONS, backend: "gre", mode: "static", vni: "7" });
  t.match(gre.backend, { type: "gre", mode: "static", vni: 7, port: 0 });
  t.match(networkFromOptions("x", { ...OPTIONS, backend: "ipip" }).backend, { type: "ipip", mode: "flow", vni: 0 });
});

t.test("ovs has a tunnel and a third mode", async (t) => {
  const given = networkFromOptions("x", { ...OPTIONS, backend: "ovs", mode: "both", tunnel: "geneve", port: "6082" });
  t.match(given.backend, { type: "ovs", mode: "both", tunnel: "geneve", vni: 0, port: 6082 });
  t.match(networkFromOptions("x", { ...OPTIONS, backend: "ovs" }).backend, { mode: "flow", tunnel: "vxlan" });
});

t.test("what cannot be is refused with the option and the value", async (t) => {
  const rows: [object, string][] = [
    [{ cidr: ["10.244.1.0/16"] }, '--cidr: "10.244.1.0/16" has host bits set; the network is 10.244.0.0/16'],
    [
      { cidr: ["10.0.0.0/8", "11.0.0.0/8"] },
      "--cidr 10.0.0.0/8,11.0.0.0/8: a network has at most one CIDR of each family",
    ],
    [{ subnetLength: ["8"] }, "--subnet-length 8: give a whole number from 16 to 30"],
    [{ subnetLength: ["24", "64"] }, "--subnet-length 24,64: give one for each of 10.244.0.0/16, in that order"],
    [{ vni: "16777216" }, "--vni 16777216: give a whole number from 1 to 16777215"],
    [{ port: "0" }, "--port 0: give a whole number from 1 to 65535"],
    [{ mtu: "-1" }, "--mtu -1: give a whole number from 576 to 65535"],
    [
      { backend: "host-gw", directRouting: true },
      `--direct-routing is for --backend ${having("directRouting")}, not host-gw`,
    ],
    [{ backend: "host-gw", vni: "1" }, `--vni is for --backend ${having("vni")}, not host-gw`],
    [{ backend: "gre", port: "4790" }, `--port is for --backend ${having("port")}, not gre`],
    [{ backend: "ipip", vni: "7" }, `--vni is for --backend ${having("vni")}, not ipip`],
    [{ backend: "gre", mode: "both" }, "--mode both is for --backend ovs, not gre"],
    [{ tunnel: "gre" }, "--tunnel is for --backend ovs, not vxlan"],
    [{ backend: "ovs", tunnel: "gre", port: "4789" }, "--port 4789: tunnels of type gre have no port"],
    [{ backend: "gre", vni: "7" }, "--vni 7 with --backend gre is the key of --mode static; the other mode sends none"],
  ];
  for (const [change, message] of rows) {
    t.throws(() => networkFromOptions("x", { ...OPTIONS, ...change }), { message: `error: ${message}` }, message);
  }
});
