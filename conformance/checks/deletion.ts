import { type Attached, type Check, saying, type Trial } from "../check.ts";
import type { Profile, Role } from "../profiles.ts";
import { added } from "../snapshot.ts";
import type { Level } from "../spec.ts";
import { type CallOptions, type Conf, type Container, FLUSH, later, type World } from "../world.ts";
import { sharedAddresses } from "./results.ts";

/** ADD and DEL, and what stays; in the container too, which a runtime may go on using. */
export const leaks: Check = {
  id: "leaks",
  title: "DEL takes away everything that ADD made, and nothing else",
  section: "del",
  attaches: true,
  run: (trial) =>
    trial.world(async (world) => {
      await trial.warm(world);
      const [neighbour, container] = await world.containers(2);
      if (container === undefined || neighbour === undefined) throw new Error("two containers were asked for");
      const other = await trial.attach(world, neighbour);
      const both = [neighbour, container];
      const before = await world.calm(...both);
      const attached = await trial.attach(world, container);
      const during = await world.snapshot(...both);
      if (trial.subject.profile.ifName === undefined && trial.subject.name !== "static") {
        const made = added(before, during);
        trial.judge({
          name: "ADD makes something",
          ok: made.length > 0,
          level: "must",
          section: "add",
          message: "nothing on the machine or in the container differs after ADD",
        });
      }
      await trial.detached(world, attached);
      await trial.leavesNothing(world, before, { name: "nothing is left", level: "should" }, both);
      const lost = added(await world.snapshot(...both), before).map(({ text }) => text);
      const own = lost.filter((text) => text.startsWith(`container ${container.netnsName}:`));
      const others = lost.filter((text) => !own.includes(text));
      const gone = (texts: readonly string[]) => `gone: ${texts.join(", ")}`;
      trial.judge({ name: "nothing of others is gone", ok: others.length === 0, level: "must", message: gone(others) });
      trial.judge({
        name: "the container has again what it had",
        ok: own.length === 0,
        level: "should",
        message: gone(own),
      });
      await trial.detached(world, other);
    }),
};

/** What is missing when DEL comes, and how much the specification asks for then. */
interface Missing {
  readonly name: string;
  /** Of exit 0, and of leaving nothing behind. */
  readonly succeeds: Level;
  readonly leavesNothing: Level;
  /** Lines of sh(1) before DEL. */
  readonly before?: (attached: Attached) => string;
  /** Changes to DEL's configuration and variables. */
  readonly conf?: (conf: Conf) => Conf;
  readonly options?: CallOptions;
  /** The whole DEL a second time. */
  readonly again?: true;
  /** All when absent. */
  readonly roles?: readonly Role[];
  /** There was no ADD. */
  readonly never?: true;
}

const PROTOCOL_KEYS = ["cniVersion", "name", "type", "ipam", "prevResult"] as const;

const MISSING: readonly Missing[] = [
  { name: "DEL twice", succeeds: "must", leavesNothing: "should", again: true },
  { name: "DEL without CNI_NETNS", succeeds: "must", leavesNothing: "should", options: { env: { CNI_NETNS: "" } } },
  {
    name: "DEL with the namespace gone",
    succeeds: "should",
    leavesNothing: "should",
    before: ({ container }) => `ip netns del ${container.netnsName}`,
  },
  {
    name: "DEL with a file in the namespace's place",
    succeeds: "robust",
    leavesNothing: "robust",
    before: ({ container }) => `ip netns del ${container.netnsName}; touch ${container.netns}`,
  },
  {
    roles: ["main"],
    name: "DEL with the interface gone",
    succeeds: "must",
    leavesNothing: "should",
    before: ({ container }) => `ip -n ${container.netnsName} link del ${container.ifName}`,
  },
  {
    name: "DEL without prevResult",
    succeeds: "should",
    leavesNothing: "should",
    conf: ({ prevResult: _, ...rest }) => rest,
  },
  {
    name: "DEL without the plugin's own keys",
    succeeds: "robust",
    leavesNothing: "robust",
    conf: (conf) =>
      Object.fromEntries(Object.entries(conf).filter(([key]) => (PROTOCOL_KEYS as readonly string[]).includes(key))),
  },
  {
    name: "DEL with the state of IPAM lost",
    succeeds: "must",
    leavesNothing: "should",
    before: () => "find /var/lib/cni /run/cni -mindepth 1 -delete 2>/dev/null || :",
  },
  {
    name: "DEL with the rules flushed",
    succeeds: "must",
    leavesNothing: "should",
    before: () => FLUSH,
  },
  {
    roles: ["main"],
    name: "DEL with the host's end gone",
    succeeds: "must",
    leavesNothing: "should",
    before: () =>
      'for link in $(ip -j link show type veth | grep -o \'"ifname":"[^"]*\' | cut -d\'"\' -f4); do case $link in up*|cable*) ;; *) ip link del $link 2>/dev/null || : ;; esac; done',
  },
  { name: "DEL of what was never added", succeeds: "must", leavesNothing: "should", never: true },
];

/** DEL does what it can with what there is. */
export const incomplete: Check = {
  id: "del-incomplete",
  title: "DEL succeeds and cleans up when something is missing",
  section: "del",
  attaches: true,
  run: async (trial) => {
    const rows = MISSING.filter(({ roles }) => roles === undefined || roles.includes(trial.subject.profile.role));
    for (const missing of trial.stage.quick ? rows.slice(0, 4) : rows) {
      await trial.world((world) => judgeMissing(trial, world, missing));
    }
  },
};

async function judgeMissing(trial: Trial, world: World, missing: Missing): Promise<void> {
  const { name, succeeds, leavesNothing, before: prepare, conf = (same) => same, options, again, never } = missing;
  await trial.warm(world);
  const container = await world.container();
  const before = await world.snapshot();
  const version = world.version;
  const attached: Attached = never
    ? { container, conf: world.conf(container), version, result: {} }
    : await trial.attach(world, container);
  if (prepare !== undefined) await world.sandbox.sh(prepare(attached));
  const given = conf(never ? attached.conf : later(attached.conf, attached.result, version));
  const del = () => trial.call(world, "DEL", container, given, options);
  const first = await del();
  const answer = again ? await del() : first;
  trial.judge({ name, ok: answer.code === 0, level: succeeds, message: `DEL failed: ${saying(answer)}`, answer });
  await world.forget(); // what goes with the container's namespace is no leak
  await trial.leavesNothing(world, before, { name: `${name}: nothing is left`, level: leavesNothing, answer });
}

/** Many at once, as after a reboot of a full node. */
export const parallel: Check = {
  id: "parallel",
  title: "fifty containers at once: addresses of their own, and nothing left",
  section: "lifecycle",
  attaches: true,
  run: (trial) =>
    trial.world(async (world) => {
      await trial.warm(world);
      const containers = await world.containers(trial.stage.quick ? 8 : 50);
      const before = await world.snapshot();
      const answers = await Promise.all(
        containers.map(async (container) => {
          const conf = world.addConf(container);
          return { container, conf, version: world.version, answer: await trial.call(world, "ADD", container, conf) };
        }),
      );
      const failed = answers.filter(({ answer }) => answer.code !== 0).map(({ answer }) => answer);
      const [first] = failed;
      trial.judge({
        name: "ADD",
        ok: first === undefined,
        level: "must",
        message: `${failed.length} of ${containers.length} failed; one: ${first && saying(first)}`,
        answer: first,
      });
      const attached = answers
        .filter(({ answer }) => answer.code === 0)
        .map(({ answer, ...rest }) => ({ ...rest, result: answer.json as Attached["result"] }));
      const shared = hasOwnAddresses(trial.subject.profile) ? sharedAddresses(attached) : [];
      trial.judge({
        name: "unique addresses",
        ok: shared.length === 0,
        level: "must",
        message: `given more than once: ${shared.join(", ")}`,
      });
      const gone = await Promise.all(attached.map((each) => trial.detach(world, each)));
      const [bad] = gone.filter(({ code }) => code !== 0);
      trial.judge({
        name: "DEL",
        ok: bad === undefined,
        level: "must",
        section: "del",
        message: bad === undefined ? "" : saying(bad),
        answer: bad,
      });
      await trial.leavesNothing(world, before, { name: "nothing is left", level: "should", section: "del" });
    }),
};

/** Whether its addresses are nobody else's: not those of the loopback link, nor of the interface before a chained plugin. */
function hasOwnAddresses({ role, ifName }: Profile): boolean {
  return role !== "meta" && ifName !== "lo";
}

/** An ADD that is killed, as by the kernel when memory is short, or by a runtime that waited too long. */
export const killed: Check = {
  id: "killed",
  title: "after a kill -9 in the middle of ADD, DEL leaves nothing",
  section: "del",
  attaches: true,
  run: async (trial) => {
    const moments = trial.stage.quick ? [0.4, 0.8] : [0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 0.97];
    for (const moment of moments) {
      await trial.world(async (world) => {
        await trial.warm(world);
        const [neighbour, timed, container] = await world.containers(3);
        if (neighbour === undefined || timed === undefined || container === undefined) throw new Error("no containers");
        const other = await trial.attach(world, neighbour);
        const before = await world.snapshot();
        const limit = await usualTime(trial, world, timed);
        const name = `killed after ${Math.round(moment * 100)} % of its time`;
        const conf = world.addConf(container);
        const answer = await world.call("ADD", container, conf, { limit: Math.max(1, limit * moment) });
        const given = answer.code === 0 ? later(conf, answer.json, world.version) : world.conf(container);
        const deleted = await trial.call(world, "DEL", container, given);
        trial.judge({
          name,
          ok: deleted.code === 0,
          level: "should",
          message: `DEL failed: ${saying(deleted)}`,
          answer: deleted,
        });
        await trial.leavesNothing(world, before, { name: `${name}: nothing is left`, level: "should" });
        await trial.detached(world, other);
      });
    }
  },
};

async function usualTime(trial: Trial, world: World, container: Container): Promise<number> {
  const conf = world.addConf(container);
  const answer = await trial.call(world, "ADD", container, conf);
  await trial.call(world, "DEL", container, later(conf, answer.json, world.version));
  return answer.milliseconds;
}
