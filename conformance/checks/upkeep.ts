import { type Attached, type Check, codeOf, NotPossible, saying, type Trial } from "../check.ts";
import { added } from "../snapshot.ts";
import type { Conf, Container, World } from "../world.ts";

const KEYS = {
  "cni.dev/valid-attachments": ["cni.dev/valid-attachments"],
  "cni.dev/attachments (its name in the tag of 1.1.0)": ["cni.dev/attachments"],
  "both names, as libcni": ["cni.dev/valid-attachments", "cni.dev/attachments"],
} as const;

function gcConf(world: World, keys: readonly string[], valid: readonly Attached[], more: object = {}): Conf {
  const attachments = valid.map(({ container }) => ({ containerID: container.id, ifname: container.ifName }));
  return world.conf(undefined, world.version, {
    ...Object.fromEntries(keys.map((key) => [key, attachments])),
    ...more,
  });
}

/** GC with the list of what is still there, under each name of the key. */
export const collection: Check = {
  id: "gc",
  title: "GC removes what is not listed, keeps what is, and nothing without a list",
  section: "gc",
  attaches: true,
  since: "1.1.0",
  run: async (trial) => {
    const ways = Object.entries(KEYS);
    for (const [how, keys] of trial.stage.quick ? ways.slice(-1) : ways) {
      await trial.world((world) => judgeList(trial, world, how, keys));
      await trial.world((world) => judgeEmpty(trial, world, how, keys));
    }
    await trial.world((world) => judgeAbsent(trial, world));
    await trial.world((world) => judgeOtherNetwork(trial, world));
  },
};

async function succeeds(trial: Trial, world: World, name: string, conf: Conf): Promise<void> {
  const answer = await trial.call(world, "GC", undefined, conf);
  trial.judge({ name, ok: answer.code === 0, level: "must", message: `GC failed: ${saying(answer)}`, answer });
}

async function judgeList(trial: Trial, world: World, how: string, keys: readonly string[]): Promise<void> {
  await trial.warm(world);
  const kept = await trial.attach(world, await world.container());
  const before = await world.calm(kept.container);
  const stale = await world.container();
  await trial.attach(world, stale);
  await removeNetns(world, stale);
  await succeeds(trial, world, `GC with a list under ${how}`, gcConf(world, keys, [kept]));
  const after = await world.settled(
    [kept.container],
    (now) => added(before, now).length + added(now, before).length === 0,
  );
  const lost = added(after, before).map(({ text }) => text);
  trial.judge({
    name: `what is listed under ${how} stays`,
    ok: lost.length === 0,
    level: "must",
    message: `gone: ${lost.join(", ")}`,
  });
  const left = added(before, after).map(({ text }) => text);
  trial.judge({
    name: `what is not listed under ${how} goes`,
    ok: left.length === 0,
    level: "should",
    message: `left: ${left.slice(0, 6).join(", ")}`,
  });
  await trial.detached(world, kept, "DEL after GC");
}

async function judgeEmpty(trial: Trial, world: World, how: string, keys: readonly string[]): Promise<void> {
  await trial.warm(world);
  const before = await world.snapshot();
  const stale = await world.container();
  await trial.attach(world, stale);
  await removeNetns(world, stale);
  await succeeds(trial, world, `GC with an empty list under ${how}`, gcConf(world, keys, []));
  await trial.leavesNothing(world, before, { name: `an empty list under ${how} removes all`, level: "should" });
}

/** libcni without arguments, and so cnitool, sends no list: that must not cost anybody's network. */
async function judgeAbsent(trial: Trial, world: World): Promise<void> {
  const attached = await trial.attach(world, await world.container());
  const before = await world.calm(attached.container);
  await trial.call(world, "GC", undefined, gcConf(world, [], []));
  const lost = added(await world.snapshot(attached.container), before).map(({ text }) => text);
  trial.judge({
    name: "without a list nothing goes",
    ok: lost.length === 0,
    level: "robust",
    message: `gone: ${lost.join(", ")}`,
  });
  await trial.detached(world, attached);
}

async function judgeOtherNetwork(trial: Trial, world: World): Promise<void> {
  const attached = await trial.attach(world, await world.container());
  const before = await world.calm(attached.container);
  const more = { name: "kit-other", ...(trial.subject.name === "bridge" ? { bridge: "cni-kit1" } : {}) };
  await succeeds(trial, world, "GC of another network", gcConf(world, KEYS["both names, as libcni"], [], more));
  const lost = added(await world.snapshot(attached.container), before).map(({ text }) => text);
  trial.judge({
    name: "GC of another network leaves this one alone",
    ok: lost.length === 0,
    level: "must",
    message: `gone: ${lost.join(", ")}`,
  });
  await trial.detached(world, attached);
}

/** Takes the container away without DEL, as a crash does. */
async function removeNetns(world: World, { number, netnsName }: Container): Promise<void> {
  await world.sandbox.sh(
    `ip netns del ${netnsName}; ip link del host${number} 2>/dev/null || :; ip link del cable${number} 2>/dev/null || :`,
  );
}

/** After a kill, GC with an empty list. */
export const collectionAfterKill: Check = {
  id: "gc-killed",
  title: "after a kill -9 in the middle of ADD, GC leaves nothing",
  section: "gc",
  attaches: true,
  since: "1.1.0",
  run: async (trial) => {
    for (const moment of trial.stage.quick ? [0.6] : [0.25, 0.5, 0.75, 0.9]) {
      await trial.world(async (world) => {
        await trial.warm(world);
        const before = await world.snapshot();
        const first = await world.container();
        const begun = performance.now();
        await trial.detached(world, await trial.attach(world, first));
        const limit = ((performance.now() - begun) / 2) * moment;
        await removeNetns(world, first);
        const container = await world.container();
        await world.call("ADD", container, world.addConf(container), { limit: Math.max(1, limit) });
        await removeNetns(world, container);
        const name = `killed after ${Math.round(moment * 100)} % of its time`;
        await succeeds(trial, world, name, gcConf(world, KEYS["both names, as libcni"], []));
        await trial.leavesNothing(world, before, { name: `${name}: nothing is left`, level: "should" });
      });
    }
  },
};

/** A pool of one address, behind which there is no second. */
const ONE_ADDRESS = {
  type: "host-local",
  ranges: [[{ subnet: "10.77.0.0/24", rangeStart: "10.77.0.9", rangeEnd: "10.77.0.9" }]],
} as const;

/** The pool is empty. */
export const exhaustion: Check = {
  id: "exhaustion",
  title: "with no address left, ADD fails and leaves nothing; STATUS says so; DEL makes room",
  section: "status",
  roles: ["main", "ipam"],
  attaches: true,
  run: async (trial) => {
    const { name, profile } = trial.subject;
    if (name !== "host-local" && (profile.takesIpam !== true || trial.stage.ipam !== "host-local")) {
      throw new NotPossible("only host-local has a pool that can be emptied");
    }
    await trial.world(async (world) => {
      const ipam = { ipam: ONE_ADDRESS };
      const status = () => trial.call(world, "STATUS", undefined, world.conf(undefined, world.version, ipam));
      const hasStatus = trial.subject.versions.includes("1.1.0");
      if (hasStatus) {
        const answer = await status();
        trial.judge({
          name: "STATUS with addresses left",
          ok: answer.code === 0,
          level: "must",
          message: saying(answer),
          answer,
        });
      }
      const attached = await trial.attach(world, await world.container(), world.version, ipam);
      const unlucky = await world.container();
      const before = await world.calm(unlucky);
      const conf = world.addConf(unlucky, world.version, ipam);
      await trial.addFails(world, unlucky, conf);
      await trial.cleansUp(world, before, unlucky, conf);
      if (hasStatus) {
        const told = await status();
        const [ok, code] = [told.code !== 0, codeOf(told)];
        if (
          trial.judge({
            name: "STATUS with none left",
            ok,
            level: "should",
            message: "exit 0, though ADD cannot succeed",
            answer: told,
          })
        ) {
          trial.judge({
            name: "its code",
            ok: code === 50 || code === 51,
            level: "should",
            message: `code ${code}, not 50 or 51`,
            answer: told,
          });
        }
      }
      await trial.detached(world, attached);
      await trial.detached(world, await trial.attach(world, await world.container(), world.version, ipam));
    });
  },
};
