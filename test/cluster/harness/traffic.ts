import { randomBytes } from "node:crypto";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { connect, createServer, isIP, isIPv6, type Server, type Socket } from "node:net";
import { inNetns } from "../../../kernel/netns.ts";
import { eventually, PATIENCE_MS } from "../../netns/harness/eventually.ts";
import type { WiredPod } from "./cluster.ts";

const PORT = 7777;
/** More than one window, so that both directions carry full segments. */
const TCP_BYTES = 200_000;
const UDP_HEADERS = { 4: 28, 6: 48 } as const;

/** A TCP connection whose socket lives in the namespace. A literal address is looked up at once, and so inside. */
export function connectIn(netns: string, host: string, port: number): Socket {
  return inNetns(netns, () =>
    connect({
      host: "inside", // a name, for with an address Node.js connects later, outside
      port,
      autoSelectFamily: false,
      lookup: (_name, _options, done) => done(null, host, isIP(host)),
    }),
  );
}

/** One pod's ends: what comes by TCP goes back, and datagrams are answered with the same bytes. */
class Ends implements Disposable {
  readonly pod: WiredPod;
  readonly #server: Server;
  readonly #udp: Readonly<Record<"udp4" | "udp6", UdpSocket>>;
  readonly #answers = new Map<string, Buffer>();

  private constructor(pod: WiredPod, server: Server, udp4: UdpSocket, udp6: UdpSocket) {
    this.pod = pod;
    this.#server = server;
    this.#udp = { udp4, udp6 };
    for (const socket of [udp4, udp6]) {
      socket.on("message", (message, from) => {
        if (message[0] === 0) socket.send(Buffer.concat([Buffer.of(1), message.subarray(1)]), from.port, from.address);
        else this.#answers.set(message.subarray(1, 9).toString("hex"), message);
      });
    }
  }

  static open(pod: WiredPod): Ends {
    return inNetns(pod.pod.netnsFromOutside, () => {
      const server = createServer((socket) => void socket.on("error", () => {}).pipe(socket)).listen(PORT);
      const lookup = (host: string, _how: unknown, done: (error: null, address: string, family: number) => void) =>
        done(null, host, isIP(host));
      const [udp4, udp6] = [
        createSocket({ type: "udp4", lookup }),
        createSocket({ type: "udp6", ipv6Only: true, lookup }),
      ];
      return new Ends(pod, server, udp4.bind(PORT), udp6.bind(PORT));
    });
  }

  /** Whether all that was sent by TCP came back the same. */
  async tcp(address: string): Promise<boolean> {
    const sent = randomBytes(TCP_BYTES);
    const socket = connectIn(this.pod.pod.netnsFromOutside, address, PORT);
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error("nothing comes back")));
    socket.end(sent);
    const got: Buffer[] = [];
    for await (const chunk of socket) got.push(chunk);
    return Buffer.concat(got).equals(sent);
  }

  /** Whether a datagram came back the same. The MTU counts its headers. */
  async udp(address: string, mtu: number): Promise<boolean> {
    const [type, headers] = isIPv6(address) ? (["udp6", UDP_HEADERS[6]] as const) : (["udp4", UDP_HEADERS[4]] as const);
    const sent = Buffer.concat([Buffer.of(0), randomBytes(mtu - headers - 1)]);
    const key = sent.subarray(1, 9).toString("hex");
    let next = 0;
    const answer = await eventually(() => {
      if (Date.now() >= next) {
        next = Date.now() + 2000;
        this.#udp[type].send(sent, PORT, address);
      }
      return this.#answers.get(key);
    }, `UDP from ${this.pod.pod.name} to ${address}`);
    return answer.subarray(1).equals(sent.subarray(1));
  }

  [Symbol.dispose](): void {
    this.#server.close();
    for (const socket of Object.values(this.#udp)) socket.close();
  }
}

/**
 * TCP and UDP from every pod to every other, content compared, with datagrams of the MTU: by sockets that this process
 * opens in the pods' namespaces, for starting programs is what a guest is slow at.
 * @returns what failed, a line each
 */
export async function exchange(pods: readonly WiredPod[], mtu: number): Promise<string[]> {
  const all = pods.map((pod) => Ends.open(pod));
  const failures: string[] = [];
  const attempt = async (what: string, work: Promise<boolean>) => {
    const problem = await work.then((same) => (same ? undefined : "other bytes came back"), String);
    if (problem !== undefined) failures.push(`${what}: ${problem}`);
  };
  const talks = all.flatMap((from) =>
    pods
      .filter((to) => to !== from.pod)
      .flatMap((to) => to.addresses.map((address) => ({ from, address, what: `${from.pod.pod.name} to ${address}` }))),
  );
  await Promise.all(
    talks.flatMap(({ from, address, what }) => [
      attempt(`TCP, ${what}`, from.tcp(address)),
      attempt(`UDP, ${what}`, from.udp(address, mtu)),
    ]),
  );
  for (const each of all) each[Symbol.dispose]();
  return failures;
}

/**
 * Pings from every pod to every other with packets of the MTU that may not be fragmented, and with one byte more, which
 * must not pass.
 * @returns what is not so, a line each
 */
export async function pingFullSize(pods: readonly WiredPod[], mtu: number): Promise<string[]> {
  const ping = (address: string, bytes: number, wait: number) =>
    `ping -n -q -c1 -W${wait} -M do -s ${bytes - UDP_HEADERS[isIPv6(address) ? 6 : 4]} ${address} >/dev/null 2>&1`;
  const outputs = await Promise.all(
    pods.map(async (from) => {
      const lines = pods
        .filter((to) => to !== from)
        .flatMap((to) =>
          to.addresses.map(
            (address) => `${ping(address, mtu, 60)} || echo "ping, ${from.pod.name} to ${address}: no answer"
              ! ${ping(address, mtu + 1, 0.2)} || echo "ping, ${from.pod.name} to ${address}: ${mtu + 1} bytes pass"`,
          ),
        );
      return from.pod.runOk(["sh", "-c", lines.join("\n")]);
    }),
  );
  return outputs.flatMap((text) => text.split("\n").filter((line) => line !== ""));
}
