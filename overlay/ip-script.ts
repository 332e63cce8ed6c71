import { ROUTE_PROTOCOL } from "../kernel/mark.ts";
import { familyOf } from "../net/address.ts";
import { formatEndpoint } from "../net/endpoint.ts";
import { prefixFamily } from "../net/prefix.ts";
import type {
  DesiredAddress,
  DesiredFlow,
  DesiredLink,
  DesiredRoute,
  DesiredState,
  DesiredSwitch,
  DesiredSysctl,
  DesiredWireguard,
  TunnelDevice,
} from "./state.ts";

/**
 * The state as the commands of ip(8), bridge(8) and sysctl(8) that would make it, in their order. For people and tests:
 * nothing of ours runs it. Names and addresses were checked before, so nothing needs quoting but the alias.
 */
export function ipScript(state: DesiredState): string[] {
  return [
    ...state.switches.flatMap(switchLines),
    ...state.links.flatMap(linkLines),
    ...state.addresses.map(addressLine),
    ...state.sysctls.map(sysctlLine),
    ...state.neighbours.map(
      ({ device, address, mac }) =>
        `ip neighbour replace ${address} lladdr ${mac} dev ${device} nud permanent protocol ${ROUTE_PROTOCOL}`,
    ),
    ...state.fdb.map(({ device, mac, dst }) => `bridge fdb replace ${mac} dev ${device} dst ${dst} self permanent`),
    ...state.wireguard.flatMap(wireguardLines),
    ...state.switches.flatMap(({ name, flows }) =>
      flows.map((flow) => `ovs-ofctl add-flow ${name} '${flowLine(flow)}'`),
    ),
    ...state.routes.map(routeLine),
    ...Object.entries(state.podMtu).map(([network, mtu]) => `# pods of network ${network} have MTU ${mtu}`),
    ...state.refusals.map((refusal) => `# ${refusal}`),
  ];
}

function switchLines({ name, network, mac, mtu, ports }: DesiredSwitch): string[] {
  return [
    words(
      `ovs-vsctl --may-exist add-br ${name} -- set bridge ${name} fail_mode=secure other_config:hwaddr='"${mac}"'`,
      `external_ids:podwire=${network} -- set interface ${name} mtu_request=${mtu}`,
    ),
    ...ports.map((port) => {
      const options = Object.entries(port.options).map(([key, value]) => `options:${key}='"${value}"'`);
      return `ovs-vsctl --may-exist add-port ${name} ${port.name} -- set interface ${port.name} type=${port.type} ${options.join(" ")}`;
    }),
  ];
}

/** In the words that ovs-ofctl(8) takes. */
function flowLine({ priority, from, match, set, to }: DesiredFlow): string {
  const output = to === "LOCAL" ? to : `output:${to}`;
  return `priority=${priority},in_port=${from},${match},actions=${[...set, output].join(",")}`;
}

function linkLines(link: DesiredLink): string[] {
  const { name, mtu, mac, alias, sysctls } = link;
  const make =
    link.kind === "ovs"
      ? []
      : [words(`ip link add ${name}`, mac && `address ${mac}`, `mtu ${mtu}`, `type ${link.kind}`, tunnelWords(link))];
  return [...make, `ip link set ${name} alias '${alias}'`, ...sysctls.map(sysctlLine), `ip link set ${name} up`];
}

function tunnelWords(device: Exclude<TunnelDevice, { readonly kind: "ovs" }>): string {
  if (device.kind === "vxlan") {
    const { collectMetadata, gpe, id, local, port, learning } = device.vxlan;
    return words(
      collectMetadata && "external",
      gpe && "gpe",
      id !== undefined && `id ${id}`,
      local && `local ${local}`,
      `dstport ${port}`,
      !collectMetadata && !learning && "nolearning",
    );
  }
  if (device.kind === "wireguard") return "";
  const { collectMetadata, local, remote } = device.kind === "ipip" ? device.ipip : device.gre;
  const { outputKey, noEncapLimit } = device.kind === "ipip" ? {} : device.gre;
  return words(
    collectMetadata && "external",
    local && `local ${local}`,
    remote && `remote ${remote}`,
    outputKey !== undefined && `key ${outputKey}`,
    noEncapLimit && "encaplimit none",
  );
}

function addressLine({ device, address }: DesiredAddress): string {
  return words(`ip address replace ${address} dev ${device}`, prefixFamily(address) === 6 && "nodad");
}

/** Of wg(8), which reads the private key from the agent's file. Preshared keys stand in no state, and so not here. */
function wireguardLines({ device, listenPort, peers }: DesiredWireguard): string[] {
  return [
    `wg set ${device} listen-port ${listenPort} private-key /var/lib/podwire/agent/wireguard-key`,
    ...peers.map(({ publicKey, endpoint, allowedIps }) => {
      const where = formatEndpoint({ host: endpoint.address, port: endpoint.port });
      return `wg set ${device} peer ${publicKey} endpoint ${where} allowed-ips ${allowedIps.join()}`;
    }),
  ];
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
