import { type Attached, type Check, Stopped, saying, type Trial } from "../check.ts";
import { added, type Item } from "../snapshot.ts";
import { FLUSH, later, type World } from "../world.ts";

/** CHECK of what is as it should be. */
export const healthy: Check = {
  id: "check",
  title: "CHECK finds nothing wrong after ADD, nor after a later plugin's additions",
  section: "check",
  attaches: true,
  since: "0.4.0",
  run: (trial) =>
    trial.world(async (world) => {
      const container = await world.container();
      const attached = await trial.attach(world, container);
      const judge = async (name: string) => {
        const answer = await trial.check(world, attached);
        trial.judge({ name, ok: answer.code === 0, level: "must", message: `CHECK failed: ${saying(answer)}`, answer });
      };
      await judge("right after ADD");
      await judge("once more");
      if (trial.subject.profile.role === "main" && trial.subject.profile.ifName === undefined) {
        const { netnsName, ifName } = container;
        await world.sandbox.sh(
          `ip -n ${netnsName} address add 203.0.113.7/32 dev ${ifName}; ip -n ${netnsName} route add 198.51.100.0/24 dev ${ifName}`,
        );
        await judge("after a later plugin has added an address and a route");
      }
      if (trial.subject.profile.role !== "ipam") await judgeWithout(trial, world, attached);
      await trial.detached(world, attached, "DEL after a later plugin's additions", "should");
    }),
};

async function judgeWithout(trial: Trial, world: World, { container, conf, version, result }: Attached): Promise<void> {
  const { prevResult: _, ...without } = later(conf, result, version);
  const answer = await trial.call(world, "CHECK", container, without);
  const message = "exit 0, though there is nothing to compare with";
  trial.judge({ name: "without prevResult", ok: answer.code !== 0, level: "should", message, answer });
}

/** How many things of one attachment are taken away one after the other, each in a world of its own. */
const MOST = 16;

/** CHECK of what somebody has damaged: every single thing that ADD made is taken away once. */
export const damaged: Check = {
  id: "check-damaged",
  title: "CHECK notices when something that ADD made is gone",
  section: "check",
  attaches: true,
  since: "0.4.0",
  run: async (trial) => {
    const plan = await trial.world(async (world) => objectsOf(await made(trial, world)));
    const chosen = trial.stage.quick ? plan.slice(0, 4) : plan.slice(0, MOST);
    for (const key of chosen) await trial.world((world) => judgeDamage(trial, world, key));
  },
};

interface Made {
  readonly attached: Attached;
  readonly objects: ReadonlyMap<string, Item & { readonly remove: string }>;
}

/** What ADD makes, by words that are the same in every world, with the line that takes each away. */
async function made(trial: Trial, world: World): Promise<Made> {
  const container = await world.container();
  const before = await world.snapshot(container);
  const attached = await trial.attach(world, container);
  const after = await world.snapshot(container);
  const objects = new Map<string, Item & { readonly remove: string }>();
  let hasRules = false;
  for (const item of added(before, after)) {
    if (item.kind === "ruleset") hasRules = true;
    if (item.remove === undefined || isConsequence(item)) continue;
    objects.set(general(item.text), { ...item, remove: item.remove });
  }
  if (hasRules) {
    objects.set("the firewall rules", { kind: "ruleset", text: "the firewall rules", remove: FLUSH });
  }
  const files = await world.sandbox.run([
    "grep",
    "-rlF",
    container.id,
    "/var/lib",
    "/run",
    "--exclude-dir=netns",
    "--exclude-dir=.kit",
  ]);
  const reserved = files.stdout.split("\n").filter((path) => path.includes("/networks/"));
  const [path] = reserved;
  if (path !== undefined)
    objects.set("the reservation of an address", { kind: "file", text: path, remove: `rm ${reserved.join(" ")}` });
  return { attached, objects };
}

/** Names and hardware addresses that were drawn at random. */
function general(text: string): string {
  return text
    .replace(/\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, "*")
    .replace(/(veth|vbr|bwp|cni)?[0-9a-f]{8,}/g, "$1*")
    .replace(/alias ".*?"/, "")
    .replace(/\s+/g, " ")
    .trim();
}

/** A container's default rules, and what the loopback link is, are not to be taken away. */
function isConsequence({ text, kind }: Item): boolean {
  return kind === "neighbour" || kind === "process" || / dev lo\b|link lo\b/.test(text);
}

function objectsOf({ objects }: Made): string[] {
  return [...objects.keys()].sort();
}

async function judgeDamage(trial: Trial, world: World, key: string): Promise<void> {
  const { attached, objects } = await made(trial, world);
  const object = objects.get(key);
  if (object === undefined) {
    trial.judge({ name: `without ${key}`, ok: true, level: "robust", message: "" }); // made only now and then
    return;
  }
  const removal = await world.sandbox.run(["sh", "-ec", object.remove]);
  if (removal.code !== 0) throw new Stopped(`${object.remove}: ${removal.stderr}`);
  const answer = await trial.check(world, attached);
  trial.judge({
    name: `without ${key}`,
    ok: answer.code !== 0,
    level: "should",
    message: `exit 0 after: ${object.remove.trim().split("\n")[0]}`,
    answer,
  });
}
