import { type Operation, Ovsdb } from "./ovsdb.ts";
import { COLUMNS, Tables } from "./tables.ts";

const DATABASE = "Open_vSwitch";
/** How long a change may take ovs-vswitchd until somebody is told that it is not done. */
const APPLY_LIMIT_MS = 2000;

export interface DatabaseOptions {
  /** Path of the OVSDB server's socket. */
  readonly path: string;
  /** Something is different in the database, or the connection has ended. */
  onChange(): void;
}

/** The switch's database: a copy that follows it, and changes to it. */
export class Database {
  readonly tables = new Tables();
  #connection: Ovsdb | undefined;
  #waiting: (() => void)[] = [];
  /** Of our last change. */
  #wanted = 0;
  /** What was waited for in vain: nobody waits for it again. */
  #givenUp = -1;

  /** Connects and reads it. @throws an error with the code of connect(2) */
  static async open(options: DatabaseOptions): Promise<Database> {
    const database = new Database();
    const connection = await Ovsdb.connect(options.path, {
      onUpdate: (updates) => {
        if (database.tables.update(updates)) options.onChange();
        database.#wake();
      },
      onClose: () => {
        database.#connection = undefined;
        database.#wake();
        options.onChange();
      },
    });
    database.#connection = connection;
    try {
      database.tables.update(await connection.monitor(DATABASE, COLUMNS));
      database.#wanted = database.tables.nextConfig;
    } catch (error) {
      connection.close();
      throw error;
    }
    return database;
  }

  get isOpen(): boolean {
    return this.#connection !== undefined;
  }

  /** Carries the operations out, all or none. {@link applied} tells when ovs-vswitchd has done it. @throws OvsdbError */
  async change(operations: readonly Operation[]): Promise<void> {
    if (this.#connection === undefined) throw new Error("the connection to the database has ended");
    const where = [["_uuid", "==", ["uuid", this.tables.root]]];
    const results = await this.#connection.transact(DATABASE, [
      ...operations,
      { op: "mutate", table: "Open_vSwitch", where, mutations: [["next_cfg", "+=", 1]] },
      { op: "select", table: "Open_vSwitch", where, columns: ["next_cfg"] },
    ]);
    const [row] = (results.at(-1)?.rows ?? []) as { next_cfg?: number }[];
    this.#wanted = Number(row?.next_cfg ?? 0);
  }

  /**
   * Waits until ovs-vswitchd has done what was changed.
   * @throws Error when it has not within two seconds, or the connection ends
   */
  async applied(): Promise<void> {
    let late = this.#givenUp === this.#wanted;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, APPLY_LIMIT_MS);
    try {
      while (this.isOpen && this.tables.currentConfig < this.#wanted) {
        if (late) {
          this.#givenUp = this.#wanted;
          throw new Error("ovs-vswitchd has not done in two seconds what its database says; does it run?");
        }
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    } finally {
      clearTimeout(timer);
    }
    if (!this.isOpen) throw new Error("the connection to the database has ended");
  }

  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
