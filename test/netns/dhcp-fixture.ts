import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type DhcpMessage, decodeMessage, encodeMessage, MessageType, Option, typeOf } from "../../dhcp/message.ts";
import { openUdp } from "../../kernel/datagram.ts";
import { inNetns } from "../../kernel/netns.ts";
import { type Address, addressToBytes, parseAddress } from "../../net/address.ts";
import { fileOf } from "../../plugins/dhcp/lease-folder.ts";
import { bridgeConf } from "./bridge-fixture.ts";
import type { Node } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";

export const LEASES = "/run/podwire/dhcp";

/** A bridge network whose addresses come from DHCP. */
export const dhcpConf = (ipam: object = {}, keys: object = {}) =>
  bridgeConf({ bridge: "lan0", isDefaultGateway: false, ...keys, ipam: { type: "dhcp", ...ipam } });

/** A bridge that a server can stand on: 10.40.0.1/24. */
export async function makeLan(node: Node): Promise<void> {
  await node.sh(
    "ip link add lan0 address 02:00:00:00:40:01 type bridge && ip addr add 10.40.0.1/24 dev lan0 && ip link set lan0 up",
  );
}

/** A real dnsmasq on the bridge, and the leases that it has given. */
export async function startDnsmasq(node: Node, ...options: readonly string[]): Promise<{ leases(): string }> {
  const file = "/run/dnsmasq.leases";
  const server = node.spawn([
    ...["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--port=0"],
    ...["--log-facility=-", "--log-dhcp", "--interface=lan0", "--bind-interfaces", "--no-ping", "--dhcp-authoritative"],
    ...[`--dhcp-leasefile=${file}`, "--dhcp-range=10.40.0.50,10.40.0.90,255.255.255.0,1h", ...options],
  ]);
  await server.prints(/sockets bound exclusively to interface lan0/);
  return { leases: () => readFileSync(node.path(file), "utf8") };
}

/** The only lease that the node has written down. */
export async function onlyLease(node: Node): Promise<Record<string, unknown>> {
  return JSON.parse(await node.sh(`cat ${LEASES}/*.lease`));
}

/** What is written down of the pod's lease. @throws Error when there is none */
export function leaseOf(node: Node, { containerId }: Pod): WrittenLease {
  const file = fileOf({ network: "test", containerId, ifName: "eth0" });
  return JSON.parse(readFileSync(node.path(`${LEASES}/${file}`), "utf8"));
}

export interface WrittenLease {
  readonly address: string;
  readonly renewAt: number;
  readonly lost?: string;
}

/** What came, and whether to this server alone or to all. */
export interface Heard {
  readonly message: DhcpMessage;
  readonly way: "unicast" | "broadcast";
}

/** Seconds. */
export interface Grant {
  readonly renew: number;
  readonly rebind: number;
  readonly lease: number;
}

/** A DHCP server that does what a test says, on {@link makeLan}'s bridge: for times that no real one grants. */
export class ScriptedServer implements AsyncDisposable {
  readonly address = parseAddress("10.40.0.1");
  /** What a lease is granted for. */
  grant: (message: DhcpMessage) => Grant = () => ({ renew: 1800, rebind: 3150, lease: 3600 });
  /** What who asks for more time is told. */
  renew: (message: DhcpMessage) => "ack" | "nak" | "silent" = () => "ack";
  /** To whose unicast it is deaf: they must ask all servers together. */
  deafTo: (message: DhcpMessage) => boolean = () => false;
  readonly #heard: Heard[] = [];
  readonly #sockets: Socket[] = [];
  readonly #addresses = new Map<string, Address>();

  static async start(node: Node): Promise<ScriptedServer> {
    const server = new ScriptedServer();
    for (const [way, address] of [
      ["unicast", server.address],
      ["broadcast", parseAddress("255.255.255.255")],
    ] as const) {
      const socket = createSocket("udp4");
      server.#sockets.push(socket);
      socket.on("message", (bytes) => server.#hear({ message: decodeMessage(bytes), way }));
      socket.bind({ fd: inNetns(node.netns, () => openUdp(address, 67, { checksum: true })) });
      socket.setBroadcast(true);
    }
    return server;
  }

  isOf({ options }: DhcpMessage, pod: Pod): boolean {
    return Buffer.from(options.get(Option.clientId) ?? []).toString() === `\0${pod.containerId}/test/eth0`;
  }

  requests(pod: Pod): readonly Heard[] {
    return this.#of(pod, MessageType.request);
  }

  /** Requests of who has its address. */
  renewals(pod: Pod): readonly Heard[] {
    return this.requests(pod).filter(({ message }) => message.ciaddr !== "0.0.0.0");
  }

  broadcasts(pod: Pod): readonly Heard[] {
    return this.renewals(pod).filter(({ way }) => way === "broadcast");
  }

  releases(pod: Pod): readonly Heard[] {
    return this.#of(pod, MessageType.release);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) {
      socket.close();
      await once(socket, "close");
    }
  }

  #of(pod: Pod, type: number): readonly Heard[] {
    return this.#heard.filter(({ message }) => typeOf(message) === type && this.isOf(message, pod));
  }

  #hear(heard: Heard): void {
    this.#heard.push(heard);
    const { message, way } = heard;
    if (way === "unicast" && this.deafTo(message)) return;
    const type = typeOf(message);
    if (type === MessageType.discover) this.#answer(message, "offer");
    if (type !== MessageType.request) return;
    const word = message.ciaddr === "0.0.0.0" ? "ack" : this.renew(message);
    if (word !== "silent") this.#answer(message, word);
  }

  #answer(message: DhcpMessage, word: "ack" | "nak" | "offer"): void {
    const yiaddr = this.#addresses.get(message.chaddr) ?? parseAddress(`10.40.0.${100 + this.#addresses.size}`);
    this.#addresses.set(message.chaddr, yiaddr);
    const { renew, rebind, lease } = this.grant(message);
    const options = new Map<number, Uint8Array>([
      [Option.messageType, Uint8Array.of(MessageType[word])],
      [Option.server, addressToBytes(this.address)],
      [Option.subnetMask, Uint8Array.of(255, 255, 255, 0)],
      [Option.leaseTime, seconds(lease)],
      [Option.renewalTime, seconds(renew)],
      [Option.rebindingTime, seconds(rebind)],
    ]);
    const to = message.ciaddr === "0.0.0.0" || word === "nak" ? "10.40.0.255" : message.ciaddr;
    const reply = encodeMessage({ ...message, op: "reply", yiaddr: word === "nak" ? message.giaddr : yiaddr, options });
    this.#sockets[0]?.send(reply, 68, to);
  }
}

function seconds(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
