import { dirname, join } from "node:path";
import { hasGenericFamily } from "../kernel/generic.ts";
import { isOurs, LOCAL_PORT, localPort } from "../ovs/changes.ts";
import { Database } from "../ovs/database.ts";
import { FlowMonitor } from "../ovs/flow-monitor.ts";
import { differingFlows, replaceFlows } from "../ovs/ofctl.ts";
import type { Bridge } from "../ovs/tables.ts";

export interface SwitchesOptions {
  /** Path of Open vSwitch's database socket; its bridges' sockets are in the same folder. */
  readonly socket: string;
  /** Bridges, ports or flows may no longer be as desired. */
  onChange(): void;
}

/** "system" is the kernel's, "netdev" the one in ovs-vswitchd's own process. */
export type DatapathType = "system" | "netdev";

/** What is known of one bridge's flows. */
interface Flows {
  readonly monitor: FlowMonitor;
  /** Counts what the monitor told. */
  heard: number;
  /** The flows that were found to be there, while nothing was heard since. */
  verified: string | undefined;
}

/** This node's Open vSwitch: its database and the flows of our bridges, connected to when they are first needed. */
export class Switches implements Disposable {
  readonly #options: SwitchesOptions;
  readonly #flows = new Map<string, Flows>();
  #database: Database | undefined;
  #datapathType: DatapathType | undefined;
  /** Something of ours may be there that nobody wants any more. */
  #owed = true;

  constructor(options: SwitchesOptions) {
    this.#options = options;
  }

  /**
   * The database. Undefined when no bridge is wanted and there is none of ours, or no Open vSwitch at all.
   * @throws Error that says what to install or start when it is needed and not there
   */
  async open(needed: boolean): Promise<Database | undefined> {
    if (this.#database?.isOpen) return this.#database;
    this.#forgetAll();
    if (!needed && !this.#owed) return undefined;
    const { socket: path, onChange } = this.#options;
    try {
      this.#database = await Database.open({ path, onChange });
      this.#owed = true;
      return this.#database;
    } catch (cause) {
      if (!needed && isMissing(cause)) return undefined;
      const why = isMissing(cause) ? "does not run (or is not installed)" : "does not answer";
      throw new Error(
        `Open vSwitch ${why}: ${path}: ${messageOf(cause)}; install Debian's openvswitch-switch, or its like, and start it, or name its socket (podwire-agent --ovsdb)`,
        { cause },
      );
    }
  }

  /** The connection while there is one. */
  get database(): Database | undefined {
    return this.#database?.isOpen ? this.#database : undefined;
  }

  /** No bridge is wanted, and none of ours is there: nothing of Open vSwitch concerns us any more. */
  leave(): void {
    this.#owed = false;
    this.#forgetAll();
  }

  /** The kernel's when it has one. */
  get datapathType(): DatapathType {
    this.#datapathType ??= hasGenericFamily("ovs_datapath") ? "system" : "netdev";
    return this.#datapathType;
  }

  /** Waits for the device of a bridge of ours. @throws Error that says why there is none */
  async deviceMade(name: string): Promise<void> {
    const database = this.database;
    const bridge = database?.tables.bridgeNamed(name);
    if (database === undefined || bridge === undefined || !isOurs(bridge)) {
      throw new Error(`Open vSwitch has no bridge ${name} of ours`);
    }
    await database.applied();
    const local = localPort(database.tables, bridge)?.link;
    if (local?.ofport === LOCAL_PORT) return;
    const why = local?.error ?? "its log, /var/log/openvswitch/ovs-vswitchd.log, says why";
    throw new Error(`ovs-vswitchd could not make the device of bridge ${name}: ${why}`);
  }

  /**
   * How many of the bridge's flows are not as in the text, which is looked at only when it is another one than before or
   * somebody changed flows. @throws Error when the bridge does not answer
   */
  async differences({ name }: Pick<Bridge, "name">, text: string): Promise<number> {
    const flows = await this.#follow(name);
    if (flows.verified === text) return 0;
    const { heard } = flows;
    const lines = await differingFlows(this.#flowSocket(name), text);
    if (lines.length === 0 && flows.heard === heard) flows.verified = text;
    return lines.length;
  }

  /** @throws Error */
  async replaceFlows({ name }: Pick<Bridge, "name">, text: string): Promise<void> {
    await replaceFlows(this.#flowSocket(name), text);
  }

  /** The bridge is not ours any more. */
  forget(name: string): void {
    this.#flows.get(name)?.monitor.close();
    this.#flows.delete(name);
  }

  [Symbol.dispose](): void {
    this.#forgetAll();
  }

  #forgetAll(): void {
    for (const name of this.#flows.keys()) this.forget(name);
    this.#database?.close();
    this.#database = undefined;
  }

  async #follow(name: string): Promise<Flows> {
    const known = this.#flows.get(name);
    if (known !== undefined) return known;
    const path = this.#flowSocket(name);
    const { onChange } = this.#options;
    let flows: Flows | undefined;
    try {
      const monitor = await FlowMonitor.open(path, {
        onChange: () => {
          if (flows === undefined) return;
          flows.heard++;
          flows.verified = undefined;
          onChange();
        },
        onClose: () => {
          if (this.#flows.get(name) === flows) this.#flows.delete(name);
          onChange();
        },
      });
      flows = { monitor, heard: 0, verified: undefined };
    } catch (cause) {
      throw new Error(
        `ovs-vswitchd does not answer for bridge ${name} at ${path} (${messageOf(cause)}); does it run?`,
        {
          cause,
        },
      );
    }
    this.#flows.set(name, flows);
    return flows;
  }

  #flowSocket(name: string): string {
    return join(dirname(this.#options.socket), `${name}.mgmt`);
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ECONNREFUSED");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
