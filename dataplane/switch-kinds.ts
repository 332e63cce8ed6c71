import type { DesiredFlow, DesiredSwitch } from "../overlay/state.ts";
import {
  deleteBridge,
  deletePorts,
  type HeldPort,
  isOurs,
  putBridge,
  putPorts,
  sameBridge,
  samePort,
  type WantedPort,
} from "../ovs/changes.ts";
import type { Database } from "../ovs/database.ts";
import type { Operation } from "../ovs/ovsdb.ts";
import type { Bridge, Tables } from "../ovs/tables.ts";
import { type Kind, type Target, target } from "../reconcile/step.ts";
import { inOwnProcess } from "./own-process.ts";
import type { Switches } from "./switches.ts";

/** A bridge, as the database holds it or as it is wanted. */
interface BridgeItem {
  readonly name: string;
  readonly held?: Bridge;
  readonly wanted?: DesiredSwitch;
}

/** A tunnel port of a bridge of ours. */
interface PortItem {
  readonly bridge: string;
  readonly name: string;
  readonly held?: HeldPort;
  readonly wanted?: WantedPort;
}

/** All flows of a bridge. */
interface FlowItem {
  readonly name: string;
  readonly wanted?: DesiredSwitch;
  /** In ovs-ofctl's words, those of ports that are there. */
  readonly text?: string;
  readonly differences?: number;
  /** Ports that Open vSwitch has not made, and why. */
  readonly missing?: readonly string[];
}

/** Marks our flows for who looks at them; what counts is the bridge's mark. "podwire" in ASCII. */
const COOKIE = "0x706f6477697265";

/** Bridges with their ports come before their devices are set up, flows after that and before the routes. */
export function switchTargets(
  switches: Switches | undefined,
  all: readonly DesiredSwitch[],
): { readonly bridges: Target; readonly ports: Target; readonly flows: Target } {
  const desired = all.map((each) => (switches?.datapathType === "netdev" ? inOwnProcess(each) : each));
  const ports = desired.flatMap(({ name: bridge, network, ports }) =>
    ports.map((port) => ({ bridge, name: port.name, wanted: { ...port, network } })),
  );
  const wanted = desired.map((each) => ({ name: each.name, wanted: each }));
  return {
    bridges: target(bridgeKind(switches, desired.length > 0), wanted),
    ports: target(portKind(switches), ports),
    flows: target(flowKind(switches, desired), wanted),
  };
}

function bridgeKind(switches: Switches | undefined, needed: boolean): Kind<BridgeItem> {
  return {
    name: "Open vSwitch bridge",
    key: ({ name }) => name,
    list: async () => {
      if (switches === undefined && needed) throw new Error("only podwire-agent brings networks of backend ovs about");
      const database = await switches?.open(needed);
      const ours = database === undefined ? [] : [...database.tables.bridges.values()].filter(isOurs);
      if (!needed && ours.length === 0) switches?.leave();
      return ours.map((held) => ({ name: held.name, held }));
    },
    same: ({ held }, { wanted }) => {
      const tables = switches?.database?.tables;
      if (switches === undefined || tables === undefined || held === undefined || wanted === undefined) return false;
      const { datapathType } = switches;
      return sameBridge(tables, held, { ...wanted, datapathType }) && reachesPeers(tables, wanted, switches);
    },
    put: async ({ wanted }) => {
      const database = switches?.database;
      if (switches === undefined || database === undefined || wanted === undefined) return;
      const { tables } = database;
      const existing = tables.bridgeNamed(wanted.name);
      if (existing !== undefined && !isOurs(existing)) {
        throw new Error("a bridge of that name is there and is not ours; remove it (ovs-vsctl del-br) or rename it");
      }
      if (!reachesPeers(tables, wanted, switches)) throw new Error(needsOwnUnderlay(wanted.underlay));
      await database.change(putBridge(tables, { ...wanted, datapathType: switches.datapathType }));
    },
    remove: async ({ name, held }) => {
      const database = switches?.database;
      if (database === undefined || held === undefined) return;
      switches?.forget(name);
      await database.change(deleteBridge(database.tables, held));
      await database.applied(); // the next pass must not find a device that is about to go
    },
  };
}

/**
 * The datapath of ovs-vswitchd's own process sends tunnel packets over its own bridges alone (Open vSwitch,
 * Documentation/howto/userspace-tunneling.rst); the kernel's over whatever has the route.
 */
function reachesPeers(tables: Tables, { underlay }: DesiredSwitch, { datapathType }: Switches): boolean {
  if (datapathType === "system") return true;
  return [...tables.bridges.values()].some(
    (bridge) =>
      bridge.datapathType === "netdev" &&
      tables.portsOf(bridge).some(({ link }) => link.name === underlay && link.type === "internal"),
  );
}

function needsOwnUnderlay(device: string): string {
  return `this kernel has no openvswitch module, and without it Open vSwitch reaches other nodes by a bridge of its own only, which ${device} is not; make one ("ovs-vsctl add-br br-underlay -- set bridge br-underlay datapath_type=netdev -- add-port br-underlay ${device}"), move the node's address to it, and start the agent with --underlay-device br-underlay`;
}

/** Ports of our bridges that carry our mark; the bridge's own device is the bridge's. */
function portKind(switches: Switches | undefined): Kind<PortItem> {
  const inBatches = async (
    items: readonly PortItem[],
    operations: (bridge: Bridge, of: readonly PortItem[]) => readonly Operation[],
  ): Promise<unknown[]> => {
    const outcomes = new Map<string, unknown>();
    for (const name of new Set(items.map(({ bridge }) => bridge))) {
      const group = items.filter(({ bridge }) => bridge === name);
      outcomes.set(name, await changePorts(switches?.database, name, (bridge) => operations(bridge, group)));
    }
    return items.map(({ bridge }) => outcomes.get(bridge));
  };
  const putAll = (puts: readonly { readonly item: PortItem; readonly existing: PortItem | undefined }[]) => {
    const held = new Map(puts.map(({ item, existing }) => [item, existing?.held]));
    return inBatches([...held.keys()], (bridge, items) =>
      putPorts(
        bridge,
        items.flatMap((item) => (item.wanted === undefined ? [] : [{ wanted: item.wanted, held: held.get(item) }])),
      ),
    );
  };
  const removeAll = (items: readonly PortItem[]) =>
    inBatches(items, (bridge, gone) =>
      deletePorts(
        bridge,
        gone.flatMap(({ held }) => (held === undefined ? [] : [held.port])),
      ),
    );
  return {
    name: "Open vSwitch port",
    key: ({ bridge, name }) => `${name} of ${bridge}`,
    list: () => {
      const tables = switches?.database?.tables;
      if (tables === undefined) return [];
      return [...tables.bridges.values()].filter(isOurs).flatMap((bridge) =>
        tables
          .portsOf(bridge)
          .filter(({ port }) => port.name !== bridge.name && isOurs(port))
          .map((held) => ({ bridge: bridge.name, name: held.port.name, held })),
      );
    },
    same: ({ held }, { wanted }) => held !== undefined && wanted !== undefined && samePort(held, wanted),
    put: async (item, existing) => first(await putAll([{ item, existing }])),
    putAll,
    remove: async (item) => first(await removeAll([item])),
    removeAll,
  };
}

function first([failure]: readonly unknown[]): void {
  if (failure !== undefined) throw failure;
}

/** @returns undefined, or why it could not be done */
async function changePorts(
  database: Database | undefined,
  name: string,
  operations: (bridge: Bridge) => readonly Operation[],
): Promise<unknown> {
  try {
    const bridge = await bridgeInPlace(database, name);
    if (database === undefined || bridge === undefined) return new Error(`bridge ${name} is not there`);
    await database.change(operations(bridge));
    return undefined;
  } catch (error) {
    return error;
  }
}

/** The copy of the database may be a moment behind what was just written to it. */
async function bridgeInPlace(database: Database | undefined, name: string): Promise<Bridge | undefined> {
  if (database?.tables.bridgeNamed(name) === undefined) await database?.applied();
  return database?.tables.bridgeNamed(name);
}

function flowKind(switches: Switches | undefined, desired: readonly DesiredSwitch[]): Kind<FlowItem> {
  return {
    name: "Open vSwitch flows",
    key: ({ name }) => name,
    list: async () => {
      const database = switches?.database;
      if (switches === undefined || database === undefined || desired.length === 0) return [];
      await database.applied();
      const items: FlowItem[] = [];
      for (const { name, flows } of desired) {
        const bridge = database.tables.bridgeNamed(name);
        if (bridge === undefined || !isOurs(bridge)) continue; // said by the bridge's kind
        const ports = portNumbers(database.tables, bridge);
        const text = flowText(flows, ports.numbers);
        items.push({ name, text, missing: ports.missing, differences: await switches.differences(bridge, text) });
      }
      return items;
    },
    same: ({ differences, missing }) => differences === 0 && missing?.length === 0,
    put: async ({ name }, existing) => {
      if (switches === undefined || existing?.text === undefined) throw new Error("its bridge is not there");
      if (existing.differences !== 0) await switches.replaceFlows({ name }, existing.text);
      const [missing] = existing.missing ?? [];
      if (missing !== undefined) throw new Error(missing);
    },
    remove: () => {}, // with the bridge
  };
}

/** OpenFlow's numbers of the ports that are there, by name, and a sentence for each that is not. */
function portNumbers(
  tables: Tables,
  bridge: Bridge,
): { readonly numbers: ReadonlyMap<string, string>; readonly missing: readonly string[] } {
  const numbers = new Map([["LOCAL", "LOCAL"]]);
  const missing: string[] = [];
  for (const { port, link } of tables.portsOf(bridge)) {
    if (!isOurs(port) || port.name === bridge.name) continue;
    if (link.ofport !== undefined && link.ofport > 0) numbers.set(port.name, String(link.ofport));
    else missing.push(`ovs-vswitchd could not make port ${port.name}: ${link.error ?? "see its log"}`);
  }
  return { numbers, missing };
}

/** The flows whose ports are there. */
function flowText(flows: readonly DesiredFlow[], numbers: ReadonlyMap<string, string>): string {
  return flows
    .flatMap(({ priority, from, match, set, to }) => {
      const [source, destination] = [numbers.get(from), numbers.get(to)];
      if (source === undefined || destination === undefined) return [];
      const output = destination === "LOCAL" ? destination : `output:${destination}`;
      const actions = [...set, output].join(",");
      return [`cookie=${COOKIE},priority=${priority},in_port=${source},${match},actions=${actions}\n`];
    })
    .join("");
}
