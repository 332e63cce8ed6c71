import { randomBytes } from "node:crypto";
import type { ControllerMessage__Output } from "../../proto/gen/podwire/v1/ControllerMessage.ts";
import type { HeldSubnet__Output } from "../../proto/gen/podwire/v1/HeldSubnet.ts";
import type { Hello__Output } from "../../proto/gen/podwire/v1/Hello.ts";
import type { NodeMessage__Output } from "../../proto/gen/podwire/v1/NodeMessage.ts";
import { loadProto } from "../../proto/load.ts";
import { MemoryStore } from "../store/memory.ts";
import type { Store } from "../store/store.ts";
import type { Clock, Timer } from "./clock.ts";
import { Controller } from "./controller.ts";
import type { RequestError } from "./error.ts";
import { checkNetwork, networkKey } from "./record.ts";
import type { Session } from "./session.ts";

const { responseSerialize, responseDeserialize } = loadProto().Nodes.service.Session;

/** Time that passes when a test says so. */
export class VirtualClock implements Clock {
  #now = Date.UTC(2026, 0, 1);
  readonly #timers = new Set<{ at: number; call: () => void }>();

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, call: () => void): Timer {
    const timer = { at: this.#now + milliseconds, call };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /** Lets that much time pass, running what falls due in order, with everything that follows from it. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    await settled();
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.at - b.at);
      if (next === undefined || next.at > end) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.call();
      await settled();
    }
    this.#now = end;
  }
}

/** A line of log, for asserting on. */
export interface LogLine {
  readonly level: string;
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

/** Controllers on one store under virtual time, with nodes that are plain objects. */
export class Testbed {
  readonly clock = new VirtualClock();
  readonly store: MemoryStore;
  readonly log: LogLine[] = [];
  readonly fatal: Error[] = [];
  readonly controllers: Controller[] = [];
  readonly leaseTtl: number;
  readonly secretRotation: number;

  constructor(options: { leaseTtl?: number; secretRotation?: number; store?: MemoryStore } = {}) {
    this.secretRotation = options.secretRotation ?? 24 * 3_600_000;
    this.leaseTtl = options.leaseTtl ?? 24 * 3_600_000;
    this.store = options.store ?? new MemoryStore();
  }

  /** A testbed with controllers and networks by name. */
  static async start(
    networks: Record<string, object>,
    options: { controllers?: number; leaseTtl?: number; secretRotation?: number } = {},
  ): Promise<Testbed> {
    const bed = new Testbed(options);
    for (const [name, network] of Object.entries(networks)) await bed.putNetwork(name, network);
    for (let i = 0; i < (options.controllers ?? 1); i++) await bed.addController();
    return bed;
  }

  async addController(store: Store = this.store): Promise<Controller> {
    const line = (level: string) => (fields: object, message: string) =>
      void this.log.push({ level, fields: fields as Record<string, unknown>, message });
    const controller = new Controller({
      store,
      clock: this.clock,
      log: { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") },
      encode: responseSerialize,
      leaseTtl: this.leaseTtl,
      random: Math.random,
      secretRotation: this.secretRotation,
      randomKey: () => randomBytes(32),
      onFatal: (error) => void this.fatal.push(error),
    });
    this.controllers.push(controller);
    await controller.start();
    return controller;
  }

  async putNetwork(name: string, network: object): Promise<void> {
    const value = JSON.stringify(checkNetwork({ createdAt: this.clock.now(), ...network }));
    await this.store.transact({ when: [], change: [{ put: networkKey(name), value }] });
  }

  async put(key: string, value: string): Promise<void> {
    await this.store.transact({ when: [], change: [{ put: key, value }] });
  }

  /** A node that connects to a controller and says hello. */
  join(
    id: string,
    hello: Partial<Hello__Output> = {},
    controller: Controller | undefined = this.controllers[0],
  ): FakeNode {
    if (controller === undefined) throw new Error("the testbed has no controller");
    return new FakeNode(controller, id, hello);
  }
}

/** The other end of a session. */
export class FakeNode {
  readonly session: Session;
  readonly received: Buffer[] = [];
  ended: { error: RequestError | undefined } | undefined;
  /** While true, nothing that is sent gets through. */
  slow = false;
  #stuck: (() => void)[] = [];

  constructor(controller: Controller, id: string, hello: Partial<Hello__Output>) {
    this.session = controller.connect({
      send: (message, done) => {
        this.received.push(message);
        if (this.slow) this.#stuck.push(done);
        else queueMicrotask(done);
      },
      end: (error) => {
        this.ended = { error };
      },
    });
    this.say({
      hello: {
        nodeId: id,
        nodeName: id,
        addresses: ["198.51.100.1"],
        backends: ["vxlan/flow"],
        networks: [],
        held: [],
        version: "1",
        bootId: `boot-${id}`,
        publicKey: "",
        ...hello,
      },
    });
  }

  say(message: NodeMessage__Output): void {
    this.session.receive(message);
  }

  renew(held: readonly HeldSubnet__Output[] = this.held()): void {
    this.say({ renew: { held: [...held] } });
  }

  /** The connection breaks. */
  drop(): void {
    this.session.end(undefined);
  }

  catchUp(): void {
    this.slow = false;
    for (const done of this.#stuck.splice(0)) done();
  }

  messages(): ControllerMessage__Output[] {
    return this.received.map((message) => responseDeserialize(message));
  }

  /** The last lease received for a network. */
  lease(network = "default") {
    return this.messages().findLast(({ lease }) => lease?.network === network)?.lease ?? undefined;
  }

  /** Subnets of the last leases, as the node would name them at the next hello. */
  held(): HeldSubnet__Output[] {
    const networks = new Set(this.messages().flatMap(({ lease }) => lease?.network ?? []));
    return [...networks].flatMap((network) =>
      (this.lease(network)?.subnets ?? []).map((subnet) => ({ network, ...subnet })),
    );
  }

  deltas() {
    return this.messages().flatMap(({ delta }) => delta ?? []);
  }

  /** What the node knows after applying everything: subnet to addresses. */
  view(): Map<string, string> {
    const view = new Map<string, string>();
    for (const { snapshot, delta } of this.messages()) {
      if (snapshot) view.clear();
      for (const { network, subnet } of delta?.deletedSubnets ?? []) view.delete(`${network} ${subnet}`);
      for (const { network, subnet, addresses, nodeId } of [...(snapshot?.subnets ?? []), ...(delta?.subnets ?? [])]) {
        view.set(`${network} ${subnet}`, `${nodeId} ${addresses.join()}`);
      }
    }
    return view;
  }
}

/** Resolves when everything that follows without time passing has happened. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}
