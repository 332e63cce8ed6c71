import { usageError } from "../exit.ts";
import type { Resource } from "./resource.ts";

/** The resources' names alone, so that completion and help need not load the resources. */
export const RESOURCE_NAMES = {
  nodes: ["no", "node"],
  subnets: ["sn", "subnet"],
  networks: ["net", "network"],
  pods: ["po", "pod"],
  routes: ["rt", "route"],
} as const;
export type ResourceName = keyof typeof RESOURCE_NAMES;

/**
 * Reads TYPE [NAME…] or TYPE/NAME….
 * @throws CommandError with the list of types when there is none of that name.
 */
export function parseTarget(
  type: string,
  names: readonly string[],
): { resource: ResourceName; names: readonly string[] } {
  const slash = type.indexOf("/");
  if (slash === -1) return { resource: parseResource(type), names };
  if (names.length > 0) throw usageError(`give either TYPE/NAME or TYPE NAME, not "${type}" with "${names[0]}"`);
  return { resource: parseResource(type.slice(0, slash)), names: [type.slice(slash + 1)] };
}

function parseResource(word: string): ResourceName {
  const lower = word.toLowerCase();
  for (const [name, aliases] of Object.entries(RESOURCE_NAMES)) {
    if (name === lower || (aliases as readonly string[]).includes(lower)) return name as ResourceName;
  }
  const known = Object.entries(RESOURCE_NAMES).map(([name, [short]]) => `${name} (${short})`);
  throw usageError(`there is no resource type "${word}"; the types are ${known.join(", ")}`);
}

/** Loads the resource. What its items are is its own business: the same resource made them. */
export async function loadResource(name: ResourceName): Promise<Resource<unknown>> {
  const loaders = {
    nodes: async () => (await import("./node.ts")).nodes,
    subnets: async () => (await import("./subnet.ts")).subnets,
    networks: async () => (await import("./network.ts")).networks,
    pods: async () => (await import("./pod.ts")).pods,
    routes: async () => (await import("./route.ts")).routes,
  };
  return (await loaders[name]()) as Resource<unknown>;
}
