import t, { type Test } from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import type { Daemon } from "../netns/harness/exec.ts";
import { startUnderlay } from "../netns/harness/underlay.ts";
import { createAuthority } from "./harness/certificates.ts";
import { Cluster, type WiredPod } from "./harness/cluster.ts";

const DUAL_STACK = "--network-cidr=10.244.0.0/16,fd00:10:244::/56";
/** So long that only the kernel's own notifications can make the agent look again. */
const NO_RESYNC = "--resync-interval=3600";
const OLD = { 4: "192.168.77.11", 6: "fd77::11" } as const;
const NEW = { 4: "192.168.77.50", 6: "fd77::50" } as const;

/** Takes one connection and says how many lines, each the number of itself, have come; ends at anything else. */
const RECEIVE = `
import socket, sys
listener = socket.create_server(("::", 9000), family=socket.AF_INET6, dualstack_ipv6=True)
print("listening", flush=True)
lines = listener.accept()[0].makefile("r")
for number, line in enumerate(lines):
    assert int(line) == number, line
    print("got", number, flush=True)
print("closed", flush=True)
`;
/** Numbers its lines, and sends them until it reads the end of its stdin. */
const SEND = (address: string) => `
import os, socket, time
connection = socket.create_connection(("${address}", 9000))
number = 0
while not os.path.exists("/run/enough"):
    connection.sendall(f"{number:1000}\\n".encode())
    number += 1
    time.sleep(0.01)
connection.close()
print("sent", number, flush=True)
`;

/** A TCP connection that carries data all the time. */
class Flow {
  readonly #receiver: Daemon;
  readonly #sender: Daemon;

  private constructor(receiver: Daemon, sender: Daemon) {
    this.#receiver = receiver;
    this.#sender = sender;
  }

  static async start(from: WiredPod, to: WiredPod, address: string): Promise<Flow> {
    const receiver = to.pod.spawn([
      "python3",
      "-c",
      RECEIVE.replaceAll("9000", address.includes(":") ? "9006" : "9004"),
    ]);
    await receiver.prints(/listening/);
    const flow = new Flow(
      receiver,
      from.pod.spawn(["python3", "-c", SEND(address).replaceAll("9000", address.includes(":") ? "9006" : "9004")]),
    );
    await flow.goesOn();
    return flow;
  }

  get received(): number {
    return Number([...this.#receiver.output.matchAll(/got (\d+)/g)].at(-1)?.[1] ?? -1) + 1;
  }

  /** Resolves when ten more lines have come. */
  async goesOn(): Promise<void> {
    const before = this.received;
    await eventually(() => this.received >= before + 10, "the connection carries data");
  }

  /** How many lines were sent and how many have come, once the sender has been told to end. */
  async end(): Promise<readonly [number, number]> {
    const [, sent] = await this.#sender.prints(/sent (\d+)/);
    await this.#receiver.prints(/closed/);
    return [Number(sent), this.received];
  }
}

interface Case {
  readonly mode: string;
  readonly changes: 4 | 6;
  /** Of the nodes' underlay. */
  readonly underlay: readonly (4 | 6)[];
}

interface SubnetList {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly spec: { readonly node: { readonly name: string } };
    readonly status: { readonly addresses: readonly string[] };
  }[];
}

async function start(t: Test, { mode, underlay }: Case): Promise<Cluster> {
  const net = await startUnderlay(t, 2);
  const cluster = new Cluster(net, await createAuthority(t), {
    nodes: 2,
    controllerFlags: [DUAL_STACK, `--network-mode=${mode}`, "--listen=[::]:7444"],
    agentFlags: [NO_RESYNC, "--controller=[fd77::1]:7444"],
  });
  await cluster.startController();
  for (const index of [0, 1]) {
    if (!underlay.includes(4)) await cluster.node(index).sh("ip -4 address flush dev eth0");
    await (await cluster.startAgent(index)).prints(/"msg":"conflist written"/);
  }
  await cluster.converged(2);
  return cluster;
}

for (const each of [
  { mode: "flow", changes: 4, underlay: [4, 6], long: true },
  { mode: "flow", changes: 6, underlay: [6], long: false },
  { mode: "static", changes: 4, underlay: [4, 6], long: false },
  { mode: "static", changes: 6, underlay: [4, 6], long: true },
] as const) {
  const { mode, changes, underlay, long } = each;
  if (long && process.env.PODWIRE_TEST_LONG !== "1") continue;
  const over = underlay.length === 2 ? "both families" : `IPv${underlay.join()}`;
  t.test(
    `F4${changes === 6 ? ", F9" : ""}: ${mode} over ${over}: a node's IPv${changes} address changes, and connections of its pods go on`,
    async (t) => {
      const cluster = await start(t, each);
      const [here, there] = [await cluster.addPod(0, "here"), await cluster.addPod(1, "there")];
      const ours = async () => {
        const { items } = JSON.parse((await cluster.cnictl("get", "subnets", "-o", "json")).stdout) as SubnetList;
        return items
          .filter(({ spec }) => spec.node.name === "node-1")
          .map(({ metadata: { name }, status: { addresses } }) => ({ name, addresses }));
      };
      const before = await ours();
      t.equal(before.length, 2);
      const flows = await Promise.all(there.addresses.map((address) => Flow.start(here, there, address)));
      const back = await Promise.all(here.addresses.map((address) => Flow.start(there, here, address)));

      const [length, nodad, gateway] = changes === 4 ? [24, "", "192.168.77.1"] : [64, "nodad", "fd77::1"];
      await cluster.node(0).sh(`ip address del ${OLD[changes]}/${length} dev eth0
        ip address add ${NEW[changes]}/${length} dev eth0 ${nodad}; ip -${changes} route replace default via ${gateway}`);
      const changed = Date.now();
      const addresses = underlay.map((family) => (family === changes ? NEW : OLD)[family]);
      await eventually(
        async () => (await ours()).every((subnet) => subnet.addresses.join() === addresses.join()),
        "it is announced",
      );
      const announced = Date.now();
      await eventually(async () => {
        const rules = await cluster.node(1).sh("nft list table inet podwire");
        return rules.includes(NEW[changes]) && !rules.includes(OLD[changes]);
      }, "the peer has applied it");
      await Promise.all([...flows, ...back].map((flow) => flow.goesOn()));
      t.comment(
        `announced after ${announced - changed} ms, data again on all connections after ${Date.now() - changed} ms`,
      );
      t.strictSame(
        (await ours()).map(({ name }) => name),
        before.map(({ name }) => name),
        "the subnets are the same",
      );
      await cluster.node(0).sh("touch /run/enough");
      await cluster.node(1).sh("touch /run/enough");
      for (const flow of [...flows, ...back]) {
        const [sent, received] = await flow.end();
        t.equal(received, sent, "all came over one connection, in order");
      }
    },
  );
}
