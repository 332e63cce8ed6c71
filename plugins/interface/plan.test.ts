import t from "tap";
import type { Result } from "../../cni/result.ts";
import { parseAddress } from "../../net/address.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { planAddresses } from "./plan.ts";

type Leased = Pick<Result, "ips" | "routes">;
const leased = (
  addresses: readonly (readonly [address: string, gateway?: string])[],
  routes: Leased["routes"] = [],
) => ({
  ips: addresses.map(([address, gateway]) => ({
    address: parsePrefix(address),
    ...(gateway === undefined ? {} : { gateway: parseAddress(gateway) }),
  })),
  routes,
});
const plan = (given: Leased, isDefaultGateway: boolean, isGateway = isDefaultGateway) =>
  planAddresses(given, { isGateway, isDefaultGateway }, 2);

t.test("without isGateway nothing is added to what IPAM said", async (t) => {
  t.strictSame(plan(leased([["10.1.2.3/24"]]), false), {
    ips: [{ address: "10.1.2.3/24", interface: 2 }],
    routes: [],
    gateways: [],
    families: [4],
  });
});

t.test("isGateway gives the first address of the subnet where IPAM names none", async (t) => {
  const { ips, gateways } = plan(leased([["10.1.2.130/25"], ["fd00::5/64", "fd00::ffff"]]), false, true);
  t.strictSame(
    ips.map(({ gateway }) => gateway),
    ["10.1.2.129", "fd00::ffff"],
  );
  t.strictSame(gateways, ["10.1.2.129/25", "fd00::ffff/64"]);
  t.throws(() => plan(leased([["10.1.2.3/32"]]), true), { code: 7, message: /10\.1\.2\.3\/32/ });
});

t.test("isDefaultGateway adds one default route a family, by the family's first gateway", async (t) => {
  const { routes, families } = plan(leased([["10.1.2.3/24"], ["10.9.0.3/24"], ["fd00::5/64"]]), true);
  t.strictSame(routes, [
    { dst: "0.0.0.0/0", gw: "10.1.2.1" },
    { dst: "::/0", gw: "fd00::1" },
  ]);
  t.strictSame(families, [4, 6]);
});

t.test("a default route of IPAM's is kept when it fits, and refused when it does not", async (t) => {
  const route = (gw?: string) => ({
    dst: parsePrefix("0.0.0.0/0"),
    ...(gw === undefined ? {} : { gw: parseAddress(gw) }),
  });
  t.strictSame(plan(leased([["10.1.2.3/24"]], [route("10.1.2.1")]), true).routes, [route("10.1.2.1")]);
  t.strictSame(plan(leased([["10.1.2.3/24"]], [route()]), true).routes, [route()]);
  t.throws(() => plan(leased([["10.1.2.3/24"]], [route("10.1.2.9")]), true), { code: 7, message: /10\.1\.2\.9/ });
});

t.test("no address at all is an error", async (t) => {
  t.throws(() => plan(leased([]), true), { code: 7, message: /ips is empty/ });
});
