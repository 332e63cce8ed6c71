import t from "tap";
import type { NetConf } from "../../cni/conf.ts";
import type { JsonObject } from "../../cni/json.ts";
import { decodeBridgeConf } from "./conf.ts";

function netConf(raw: JsonObject): NetConf {
  const { runtimeConfig = {}, args = {} } = raw as { runtimeConfig?: JsonObject; args?: JsonObject };
  return { cniVersion: "1.1.0", name: "test", type: "bridge", capabilities: {}, runtimeConfig, args, raw };
}
const decode = (raw: JsonObject, args: Record<string, string> = {}) => decodeBridgeConf(netConf(raw), { args });

t.test("an empty configuration has the reference plugin's defaults", async (t) => {
  t.strictSame(decode({}), {
    bridge: "cni0",
    isGateway: false,
    isDefaultGateway: false,
    forceAddress: false,
    ipMasq: false,
    ipMasqBackend: undefined,
    mtu: undefined,
    hairpinMode: false,
    promiscMode: false,
    portIsolation: false,
    macSpoofCheck: false,
    disableContainerInterface: false,
    enableDad: false,
    vlan: 0,
    vlanTrunk: [],
    mac: undefined,
  });
  t.match(decode({ bridge: "", ipMasqBackend: "" }), { bridge: "cni0", ipMasqBackend: undefined });
});

t.test("isDefaultGateway means isGateway, even against its word", async (t) => {
  t.match(decode({ isDefaultGateway: true, isGateway: false }), { isGateway: true });
});

t.test("VLAN ranges", async (t) => {
  const { vlanTrunk } = decode({ vlanTrunk: [{ id: 7 }, { minID: 1, maxID: 4094 }] });
  t.strictSame(vlanTrunk, [
    { first: 7, last: 7 },
    { first: 1, last: 4094 },
  ]);
  for (const range of [{}, { id: 1, minID: 1, maxID: 2 }, { minID: 1 }, { maxID: 1 }, { id: 4095 }]) {
    t.throws(() => decode({ vlanTrunk: [range] }), { code: 7, message: /vlanTrunk\[0\]/ });
  }
});

t.test("a MAC address is canonical, and none is no error", async (t) => {
  t.equal(decode({ runtimeConfig: { mac: "0A-58-0A-16-00-02" } }).mac, "0a:58:0a:16:00:02");
  t.equal(decode({ runtimeConfig: { mac: "" }, args: { cni: { mac: "" } } }, { MAC: "" }).mac, undefined);
  t.throws(() => decode({}, { MAC: "00:00:00:00:00:00" }), { code: 4, message: /CNI_ARGS MAC/ });
  t.throws(() => decode({ args: { cni: { mac: 7 } } }), { code: 7, message: "args.cni.mac: 7 is not a string" });
});
