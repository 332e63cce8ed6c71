import type { TableUpdates, WireRow } from "./ovsdb.ts";

/** Key of our mark in external_ids; its value is the network. */
export const MARK = "podwire";

/** The columns that we look at, ovs-vswitchd.conf.db(5). */
export const COLUMNS = {
  Open_vSwitch: ["bridges", "cur_cfg", "next_cfg"],
  Bridge: ["name", "datapath_type", "fail_mode", "ports", "external_ids", "other_config"],
  Port: ["name", "interfaces", "external_ids"],
  Interface: ["name", "type", "options", "mtu_request", "ofport", "error"],
} as const;

type Row = { readonly uuid: string; readonly name: string };
type Text = Readonly<Record<string, string>>;

export interface Bridge extends Row {
  readonly datapathType: string;
  readonly failMode: string | undefined;
  /** UUIDs. */
  readonly ports: readonly string[];
  readonly externalIds: Text;
  readonly otherConfig: Text;
}

export interface Port extends Row {
  /** UUIDs; a bond has several. */
  readonly interfaces: readonly string[];
  readonly externalIds: Text;
}

export interface Interface extends Row {
  readonly type: string;
  readonly options: Text;
  readonly mtuRequest: number | undefined;
  /** OpenFlow port number; undefined until ovs-vswitchd has made it, negative when it could not. */
  readonly ofport: number | undefined;
  /** Why it could not. */
  readonly error: string | undefined;
}

/** A copy of the tables, kept by the monitor's updates. */
export class Tables {
  /** UUID of the one row of table Open_vSwitch. */
  root = "";
  /** The configuration that ovs-vswitchd has applied, and the newest there is. */
  currentConfig = 0;
  nextConfig = 0;
  readonly bridges = new Map<string, Bridge>();
  readonly ports = new Map<string, Port>();
  readonly interfaces = new Map<string, Interface>();

  /** @returns whether bridges, ports or interfaces changed */
  update(updates: TableUpdates): boolean {
    for (const [uuid, { new: row }] of Object.entries(updates.Open_vSwitch ?? {})) {
      if (row === undefined) continue;
      this.root = uuid;
      this.currentConfig = Number(row.cur_cfg);
      this.nextConfig = Number(row.next_cfg);
    }
    const changed = [
      apply(this.bridges, updates.Bridge, toBridge),
      apply(this.ports, updates.Port, toPort),
      apply(this.interfaces, updates.Interface, toInterface),
    ];
    return changed.some(Boolean);
  }

  bridgeNamed(name: string): Bridge | undefined {
    return named(this.bridges, name);
  }

  /** The ports of a bridge, with their first interfaces. */
  portsOf(bridge: Bridge): { readonly port: Port; readonly link: Interface }[] {
    return bridge.ports.flatMap((uuid) => {
      const port = this.ports.get(uuid);
      const link = port && this.interfaces.get(port.interfaces[0] ?? "");
      return port === undefined || link === undefined ? [] : [{ port, link }];
    });
  }
}

function named<T extends Row>(rows: ReadonlyMap<string, T>, name: string): T | undefined {
  for (const row of rows.values()) if (row.name === name) return row;
  return undefined;
}

function apply<T>(
  rows: Map<string, T>,
  update: TableUpdates[string] | undefined,
  decode: (uuid: string, row: WireRow) => T,
): boolean {
  const entries = Object.entries(update ?? {});
  for (const [uuid, { new: row }] of entries) {
    if (row === undefined) rows.delete(uuid);
    else rows.set(uuid, decode(uuid, row));
  }
  return entries.length > 0;
}

function toBridge(uuid: string, row: WireRow): Bridge {
  return {
    uuid,
    name: String(row.name),
    datapathType: String(row.datapath_type),
    failMode: optional(row.fail_mode, String),
    ports: uuids(row.ports),
    externalIds: map(row.external_ids),
    otherConfig: map(row.other_config),
  };
}

function toPort(uuid: string, row: WireRow): Port {
  return {
    uuid,
    name: String(row.name),
    interfaces: uuids(row.interfaces),
    externalIds: map(row.external_ids),
  };
}

function toInterface(uuid: string, row: WireRow): Interface {
  return {
    uuid,
    name: String(row.name),
    type: String(row.type),
    options: map(row.options),
    mtuRequest: optional(row.mtu_request, Number),
    ofport: optional(row.ofport, Number),
    error: optional(row.error, String),
  };
}

/** A set of one is written as its element (RFC 7047, section 5.1). */
function set(value: unknown): readonly unknown[] {
  return Array.isArray(value) && value[0] === "set" ? value[1] : [value];
}

function optional<T>(value: unknown, decode: (value: unknown) => T): T | undefined {
  const [first] = set(value);
  return first === undefined ? undefined : decode(first);
}

function uuids(value: unknown): string[] {
  return set(value).map((each) => (Array.isArray(each) ? String(each[1]) : ""));
}

function map(value: unknown): Text {
  const pairs = Array.isArray(value) && value[0] === "map" ? (value[1] as [unknown, unknown][]) : [];
  return Object.fromEntries(pairs.map(([key, each]) => [String(key), String(each)]));
}

/** As the wire has a map. */
export function wireMap(value: Text): unknown {
  return ["map", Object.entries(value)];
}
