import type { Logger } from "pino";
import type { NodeMessage } from "../proto/gen/podwire/v1/NodeMessage.ts";
import type { NodeStatus } from "../proto/gen/podwire/v1/NodeStatus.ts";
import type { Metrics } from "./metrics.ts";
import type { Endpoint } from "./session.ts";
import { summary } from "./status.ts";

export interface ConnectionPorts {
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "connected" | "appliedRevision">;
  send(message: NodeMessage): void;
}

/** Whether the controller hears us, what it has been told on this stream, and what is wrong otherwise. */
export class Connection {
  readonly #ports: ConnectionPorts;
  #open = false;
  #refusal: string | undefined;
  #problem: string | undefined = "the controller has not been reached yet";
  /** Said last, by controller: with several, each is tried in turn. */
  readonly #said = new Map<string, string>();
  #sentAck = "";
  #sentStatus = "";

  constructor(ports: ConnectionPorts) {
    this.#ports = ports;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** A sentence when a controller was reached and said no. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** A sentence while there is no stream. */
  get problem(): string | undefined {
    return this.#problem;
  }

  opened({ name }: Endpoint): void {
    this.#open = true;
    this.#refusal = undefined;
    this.#problem = undefined;
    this.#said.clear();
    this.#sentAck = "";
    this.#sentStatus = "";
    this.#ports.metrics.connected.set(1);
    this.#ports.log.info({ controller: name }, "connected");
  }

  closed({ name }: Endpoint, reason: string, refused: boolean): void {
    this.#open = false;
    this.#ports.metrics.connected.set(0);
    this.#problem = refused
      ? `controller ${name} refuses this node: ${reason}`
      : `controller ${name} is not reachable: ${reason}`;
    this.#refusal = refused ? this.#problem : undefined;
    if (this.#isNews(name, this.#problem))
      this.#ports.log[refused ? "error" : "warn"]({ controller: name, reason }, refused ? "refused" : "disconnected");
  }

  /** There is no hello to say. */
  unable({ name }: Endpoint, error: unknown): void {
    this.#problem = error instanceof Error ? error.message : String(error);
    if (this.#isNews(name, this.#problem))
      this.#ports.log.error({ controller: name, err: error }, "no underlay address to announce");
  }

  /** Says once that the revision is applied; a pass that failed and then succeeds says so again. */
  acknowledge(revision: number, failures: readonly string[], secretsEpoch: number): void {
    if (failures.length === 0) this.#ports.metrics.appliedRevision.set(revision);
    const ack = { revision, failures: summary(failures), secretsEpoch };
    const text = JSON.stringify(ack);
    if (!this.#open || text === this.#sentAck) return;
    this.#sentAck = text;
    this.#ports.send({ ack });
  }

  /** Sends the status when it is another than before. */
  report(status: NodeStatus): void {
    const text = JSON.stringify(status);
    if (!this.#open || text === this.#sentStatus) return;
    this.#sentStatus = text;
    this.#ports.send({ status });
  }

  #isNews(controller: string, sentence: string): boolean {
    const news = this.#said.get(controller) !== sentence;
    this.#said.set(controller, sentence);
    return news;
  }
}
