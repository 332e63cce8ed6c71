import t from "tap";
import { parseAddress } from "../../net/address.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { gatewayRoutes } from "./pod.ts";

const ip = (address: string, gateway?: string) => ({
  address: parsePrefix(address),
  ...(gateway === undefined ? {} : { gateway: parseAddress(gateway) }),
});

const shown = (...ips: ReturnType<typeof ip>[]) =>
  gatewayRoutes(ips, 7).map(({ dst, via, src }) => `${dst}${via === undefined ? "" : ` via ${via}`} src ${src}`);

t.test("a gateway is reached by itself, its subnet by way of it", async (t) => {
  t.strictSame(shown(ip("10.1.0.5/24", "10.1.0.1"), ip("fd00::5/64", "fd00::1")), [
    "10.1.0.1/32 src 10.1.0.5",
    "10.1.0.0/24 via 10.1.0.1 src 10.1.0.5",
    "fd00::1/128 src fd00::5",
    "fd00::/64 via fd00::1 src fd00::5",
  ]);
});

t.test("addresses may share a gateway, have a subnet of their own, or no gateway", async (t) => {
  t.strictSame(shown(ip("10.1.0.5/24", "10.1.0.1"), ip("10.1.0.6/24", "10.1.0.1")), [
    "10.1.0.1/32 src 10.1.0.5",
    "10.1.0.0/24 via 10.1.0.1 src 10.1.0.5",
  ]);
  t.strictSame(shown(ip("192.0.2.9/32", "169.254.1.1"), ip("10.1.0.5/24")), ["169.254.1.1/32 src 192.0.2.9"]);
});
