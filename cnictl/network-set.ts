import type { Backend } from "../proto/gen/podwire/v1/Backend.ts";
import type { Network__Output as Network } from "../proto/gen/podwire/v1/Network.ts";
import type { Subnet__Output as Subnet } from "../proto/gen/podwire/v1/Subnet.ts";
import type { Admin } from "./connection.ts";
import type { Context } from "./context.ts";
import { CommandError, ExitCode, notFound, usageError } from "./exit.ts";
import { backendOf } from "./resources/network.ts";
import { printable } from "./table.ts";

/** `cnictl network set NAME KEY=VALUE...`: changes the backend and shows how far the nodes are until all have moved. */
export async function setNetwork(
  context: Context,
  name: string,
  settings: readonly string[],
  { wait }: { readonly wait: number | false },
): Promise<ExitCode> {
  const changes = parseSettings(settings);
  using admin = await context.connect();
  const before = await find(admin, name);
  const network = await admin.setNetwork({ name, backend: merge(before, changes) });
  if (network.generation === before.generation) {
    context.out(`network/${name} unchanged\n`);
    return ExitCode.ok;
  }
  context.out(
    `network/${name} is being changed from ${backendOf(network.previous)} to ${backendOf(network.backend)}\n`,
  );
  return wait === false ? ExitCode.ok : await follow(context, admin, network, context.now() + wait);
}

/** What `KEY=VALUE` may say. */
const SETTINGS = {
  backend: ["type", (text: string) => text],
  mode: ["mode", (text: string) => text],
  tunnel: ["tunnel", (text: string) => text],
  vni: ["vni", number],
  port: ["port", number],
  mtu: ["mtu", number],
  "direct-routing": ["directRouting", flag],
} as const satisfies Record<string, readonly [keyof Backend, (text: string, key: string) => unknown]>;

/** @throws CommandError naming the setting */
export function parseSettings(settings: readonly string[]): Partial<Backend> {
  const entries = settings.map((setting) => {
    const at = setting.indexOf("=");
    const [key, value] = [setting.slice(0, at), setting.slice(at + 1)];
    if (at < 1) throw usageError(`${setting}: give KEY=VALUE, such as backend=gre`);
    if (!Object.hasOwn(SETTINGS, key)) {
      throw usageError(`${setting}: "${key}" is none of ${Object.keys(SETTINGS).join(", ")}`);
    }
    const [field, parse] = SETTINGS[key as keyof typeof SETTINGS];
    return [field, parse(value, key)] as const;
  });
  return Object.fromEntries(entries);
}

/** Another type, or another mode, begins with its own defaults; what is no matter of theirs stays. */
function merge({ backend }: Network, changes: Partial<Backend>): Backend {
  const { type = "", mode = "", tunnel = "", vni = 0, port = 0, directRouting = false, mtu = 0 } = backend ?? {};
  const stays = { directRouting, mtu };
  const sameType = changes.type === undefined || changes.type === type;
  if (!sameType) return { ...stays, type: changes.type ?? type, ...changes };
  const sameMode = changes.mode === undefined || changes.mode === mode;
  const sameTunnel = changes.tunnel === undefined || changes.tunnel === tunnel;
  return { type, mode, tunnel, ...stays, ...(sameMode && sameTunnel && { vni, port }), ...changes };
}

async function follow(context: Context, admin: Admin, asked: Network, deadline: number): Promise<ExitCode> {
  let said = "";
  const say = (sentence: string) => {
    if (sentence !== said) context.note(`${printable(sentence)}\n`);
    said = sentence;
  };
  try {
    for await (const _ of admin.watch(["networks", "subnets"], { deadline })) {
      const network = await find(admin, asked.name);
      if (network.generation !== asked.generation) {
        throw new CommandError(`error: network "${asked.name}" has been changed again meanwhile`, ExitCode.failure);
      }
      if (network.previous === null) {
        context.out(`network/${asked.name} changed\n`);
        return ExitCode.ok;
      }
      say(progress(network, await admin.listSubnets({ network: asked.name })));
    }
  } catch (error) {
    if (context.now() < deadline) throw error;
  }
  const undo = `cnictl network set ${asked.name} ${settingsOf(asked.previous)}`;
  context.note(`error: it has not ended in time. It goes on; to take it back: ${undo}\n`);
  return ExitCode.notConverged;
}

/** How many nodes receive and send already, and which are waited for. */
export function progress({ generation, required }: Network, subnets: readonly Subnet[]): string {
  const nodes = new Map<string, { receives: boolean; sends: boolean }>();
  for (const { nodeName, addresses, receives, sends } of subnets) {
    if (addresses.length === 0) continue;
    const node = nodes.get(nodeName) ?? { receives: true, sends: true };
    nodes.set(nodeName, { receives: node.receives && receives >= required, sends: node.sends && sends >= generation });
  }
  const all = [...nodes];
  const receiving = all.filter(([, node]) => node.receives);
  const sending = all.filter(([, node]) => node.sends);
  const late = all.filter(([, { receives, sends }]) => !receives || !sends).map(([name]) => name);
  const waiting =
    late.length === 0 ? "" : `, waiting for ${late.slice(0, 5).join(", ")}${late.length > 5 ? ", …" : ""}`;
  return `${receiving.length} of ${all.length} nodes receive, ${sending.length} send${waiting}`;
}

function settingsOf(backend: Network["backend"]): string {
  if (backend === null) return "";
  if (backend.tunnel !== "") return `backend=${backend.type} mode=${backend.mode} tunnel=${backend.tunnel}`;
  return backend.mode === "" ? `backend=${backend.type}` : `backend=${backend.type} mode=${backend.mode}`;
}

async function find(admin: Admin, name: string): Promise<Network> {
  const network = (await admin.listNetworks()).find((each) => each.name === name);
  if (network === undefined) throw notFound("network", name);
  return network;
}

function number(text: string, key: string): number {
  if (!/^\d{1,8}$/.test(text)) throw usageError(`${key}=${text}: give a whole number`);
  return Number(text);
}

function flag(text: string, key: string): boolean {
  if (text !== "true" && text !== "false") throw usageError(`${key}=${text}: give true or false`);
  return text === "true";
}
