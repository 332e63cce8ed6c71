import { ROUTE_PROTOCOL } from "../kernel/mark.ts";
import { familyOf } from "../net/address.ts";
import { prefixFamily } from "../net/prefix.ts";
import type { DesiredAddress, DesiredLink, DesiredRoute, DesiredState, DesiredSysctl } from "./state.ts";

/**
 * The state as the commands of ip(8), bridge(8) and sysctl(8) that would make it, in their order. For people and tests:
 * nothing of ours runs it. Names and addresses were checked before, so nothing needs quoting but the alias.
 */
export function ipScript(state: DesiredState): string[] {
  return [
    ...state.links.flatMap(linkLines),
    ...state.addresses.map(addressLine),
    ...state.sysctls.map(sysctlLine),
    ...state.neighbours.map(
      ({ device, address, mac }) =>
        `ip neighbour replace ${address} lladdr ${mac} dev ${device} nud permanent protocol ${ROUTE_PROTOCOL}`,
    ),
    ...state.fdb.map(({ device, mac, dst }) => `bridge fdb replace ${mac} dev ${device} dst ${dst} self permanent`),
    ...state.routes.map(routeLine),
    ...Object.entries(state.podMtu).map(([network, mtu]) => `# pods of network ${network} have MTU ${mtu}`),
    ...state.refusals.map((refusal) => `# ${refusal}`),
  ];
}

function linkLines({ name, mtu, mac, alias, vxlan, sysctls }: DesiredLink): string[] {
  const kind = words(
    "type vxlan",
    vxlan.collectMetadata && "external",
    vxlan.gpe && "gpe",
    vxlan.id !== undefined && `id ${vxlan.id}`,
    vxlan.local && `local ${vxlan.local}`,
    `dstport ${vxlan.port}`,
    !vxlan.collectMetadata && !vxlan.learning && "nolearning",
  );
  return [
    words(`ip link add ${name}`, mac && `address ${mac}`, `mtu ${mtu}`, kind),
    `ip link set ${name} alias '${alias}'`,
    ...sysctls.map(sysctlLine),
    `ip link set ${name} up`,
  ];
}

function addressLine({ device, address }: DesiredAddress): string {
  return words(`ip address replace ${address} dev ${device}`, prefixFamily(address) === 6 && "nodad");
}

function sysctlLine({ key, value, onlyFrom }: DesiredSysctl): string {
  return words(onlyFrom !== undefined && `[ "$(sysctl -n ${key})" != ${onlyFrom} ] ||`, `sysctl -qw ${key}=${value}`);
}

function routeLine({ dst, type, encap, via, device, onlink, src, mtu, metric }: DesiredRoute): string {
  return words(
    "ip route replace",
    type !== "unicast" && type,
    dst,
    encap && `encap ${familyOf(encap.dst) === 4 ? "ip" : "ip6"} id ${encap.id}`,
    encap?.src && `src ${encap.src}`,
    encap && `dst ${encap.dst}`,
    encap?.flags?.join(" "),
    via && `via ${via}`,
    device && `dev ${device}`,
    onlink && "onlink",
    `proto ${ROUTE_PROTOCOL}`,
    src && `src ${src}`,
    metric !== undefined && `metric ${metric}`,
    mtu !== undefined && `mtu ${mtu}`,
  );
}

function words(...parts: readonly (string | false | undefined)[]): string {
  return parts.filter(Boolean).join(" ");
}
