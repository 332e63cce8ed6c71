import type { Mac } from "../net/mac.ts";
import type { Operation } from "./ovsdb.ts";
import { type Bridge, type Interface, MARK, type Port, type Tables, wireMap } from "./tables.ts";

/** OpenFlow's number of a bridge's own device. */
export const LOCAL_PORT = 65534;

export interface WantedBridge {
  readonly name: string;
  readonly network: string;
  readonly datapathType: string;
  readonly mac: Mac;
  readonly mtu: number;
}

export interface WantedPort {
  readonly name: string;
  readonly network: string;
  readonly type: string;
  readonly options: Readonly<Record<string, string>>;
}

/** A port with its interface, as the database has them. */
export interface HeldPort {
  readonly port: Port;
  readonly link: Interface;
}

/** The bridge's own device and its port. */
export function localPort(tables: Tables, bridge: Bridge): HeldPort | undefined {
  return tables.portsOf(bridge).find(({ port }) => port.name === bridge.name);
}

export function isOurs({ externalIds }: Bridge | Port): boolean {
  return externalIds[MARK] !== undefined;
}

/** Whether the database says all that is wanted of the bridge itself. */
export function sameBridge(tables: Tables, held: Bridge, wanted: WantedBridge): boolean {
  return (
    held.externalIds[MARK] === wanted.network &&
    held.datapathType === wanted.datapathType &&
    held.failMode === "secure" &&
    held.otherConfig.hwaddr === wanted.mac &&
    localPort(tables, held)?.link.mtuRequest === wanted.mtu
  );
}

export function samePort({ port, link }: HeldPort, wanted: WantedPort): boolean {
  const keys = Object.keys(wanted.options);
  return (
    port.externalIds[MARK] === wanted.network &&
    link.type === wanted.type &&
    keys.length === Object.keys(link.options).length &&
    keys.every((key) => link.options[key] === wanted.options[key])
  );
}

/** What makes the bridge, or corrects the one of ours that is there. */
export function putBridge(tables: Tables, wanted: WantedBridge): Operation[] {
  const held = tables.bridgeNamed(wanted.name);
  const settings = {
    datapath_type: wanted.datapathType,
    fail_mode: "secure", // without flows it forwards nothing
    other_config: wireMap({ ...held?.otherConfig, hwaddr: wanted.mac }),
    external_ids: wireMap({ ...held?.externalIds, [MARK]: wanted.network }),
  };
  const local = held && localPort(tables, held);
  if (held !== undefined && local !== undefined) {
    return [
      { op: "update", table: "Bridge", where: is(held), row: settings },
      { op: "update", table: "Interface", where: is(local.link), row: { mtu_request: wanted.mtu } },
    ];
  }
  const ports = insertPort({ ...wanted, type: "internal", options: {} }, 0, { mtu_request: wanted.mtu });
  if (held !== undefined) {
    return [...ports, { op: "update", table: "Bridge", where: is(held), row: settings }, addPorts(held, [PORT(0)])];
  }
  const row = { name: wanted.name, ports: PORT(0), ...settings };
  return [
    ...ports,
    { op: "insert", table: "Bridge", row, "uuid-name": "bridge" },
    changeRoot(tables, "insert", ["named-uuid", "bridge"]),
  ];
}

/** What makes these ports of a bridge, or corrects those that are there. */
export function putPorts(
  bridge: Bridge,
  ports: readonly { readonly wanted: WantedPort; readonly held?: HeldPort | undefined }[],
): Operation[] {
  const fresh = ports.filter(({ held }) => held === undefined);
  const corrections = ports.flatMap(({ wanted: { network, type, options }, held }) => {
    if (held === undefined) return [];
    const marked = wireMap({ ...held.port.externalIds, [MARK]: network });
    return [
      { op: "update", table: "Interface", where: is(held.link), row: { type, options: wireMap(options) } },
      { op: "update", table: "Port", where: is(held.port), row: { external_ids: marked } },
    ];
  });
  if (fresh.length === 0) return corrections;
  return [
    ...corrections,
    ...fresh.flatMap(({ wanted }, i) => insertPort(wanted, i)),
    addPorts(
      bridge,
      fresh.map((_, i) => PORT(i)),
    ),
  ];
}

/** Rows that nothing refers to any more go by themselves. */
export function deletePorts(bridge: Bridge, ports: readonly Port[]): Operation[] {
  const gone = ["set", ports.map(({ uuid }) => ["uuid", uuid])];
  return [{ op: "mutate", table: "Bridge", where: is(bridge), mutations: [["ports", "delete", gone]] }];
}

export function deleteBridge(tables: Tables, { uuid }: Bridge): Operation[] {
  return [changeRoot(tables, "delete", ["uuid", uuid])];
}

const PORT = (i: number) => ["named-uuid", `port${i}`];

function insertPort({ name, network, type, options }: WantedPort, i: number, more: object = {}): Operation[] {
  return [
    {
      op: "insert",
      table: "Interface",
      row: { name, type, options: wireMap(options), ...more },
      "uuid-name": `interface${i}`,
    },
    {
      op: "insert",
      table: "Port",
      row: { name, interfaces: ["named-uuid", `interface${i}`], external_ids: wireMap({ [MARK]: network }) },
      "uuid-name": `port${i}`,
    },
  ];
}

function addPorts(bridge: Bridge, references: readonly unknown[]): Operation {
  return {
    op: "mutate",
    table: "Bridge",
    where: is(bridge),
    mutations: [["ports", "insert", ["set", references]]],
  };
}

function changeRoot({ root }: Tables, mutator: "insert" | "delete", reference: unknown): Operation {
  return {
    op: "mutate",
    table: "Open_vSwitch",
    where: is({ uuid: root }),
    mutations: [["bridges", mutator, reference]],
  };
}

function is({ uuid }: { readonly uuid: string }): unknown {
  return [["_uuid", "==", ["uuid", uuid]]];
}
