import { type Attached, type Check, Stopped, saying, type Trial } from "../check.ts";
import { isObject, resultProblems, show } from "../shape.ts";
import { added } from "../snapshot.ts";
import { atLeast, type Version } from "../spec.ts";
import { type Container, canChain, type World } from "../world.ts";

type Fields = Readonly<Record<string, unknown>>;

/** The versions of the specification in which the plugin can be asked to make an attachment. */
function versionsOf(trial: Trial): readonly Version[] {
  const { profile, versions } = trial.subject;
  return profile.role === "meta" ? versions.filter(canChain) : versions;
}

/** ADD and DEL in every version that the plugin supports, each with a result as that version has it. */
export const results: Check = {
  id: "result",
  title: "ADD answers in every supported version with that version's result",
  section: "result",
  attaches: true,
  run: (trial) =>
    trial.world(async (world) => {
      await trial.warm(world);
      const versions = versionsOf(trial);
      const containers = await world.containers(versions.length);
      const before = await world.snapshot();
      for (const [i, container] of containers.entries()) {
        await judgeVersion(trial, world, container, versions[i] ?? world.version);
      }
      await trial.leavesNothing(world, before, {
        name: "DEL in every version leaves nothing",
        level: "should",
        section: "del",
      });
    }),
};

async function judgeVersion(trial: Trial, world: World, container: Container, version: Version): Promise<void> {
  const conf = world.addConf(container, version);
  const answer = await trial.call(world, "ADD", container, conf);
  const name = `result of ${version}`;
  const isIpam = trial.subject.profile.role === "ipam";
  if (answer.code !== 0) {
    // A result without an address cannot be said in 0.1.0 and 0.2.0.
    const hasAddress = isIpam || trial.subject.profile.takesIpam === true;
    const may = !hasAddress && !atLeast(version, "0.3.0");
    trial.judge({ name, ok: may, level: "must", section: "add", message: `ADD failed: ${saying(answer)}`, answer });
    return;
  }
  trial.judge({ name, ok: true, level: "must", message: "" });
  for (const { level, message } of resultProblems(answer.json, version, isIpam ? "ipam" : "interface")) {
    trial.judge({ name, ok: false, level, section: isIpam ? "ipamResult" : "result", message, answer });
  }
  if (!isObject(answer.json)) return;
  await trial.detached(world, { container, conf, version, result: answer.json }, `DEL of ${version}`);
}

/** What the result says is so: the interface, its hardware address, its addresses and routes. */
export const truth: Check = {
  id: "result-truth",
  title: "the interface, addresses and routes of the result are there",
  section: "add",
  roles: ["main"],
  attaches: true,
  run: (trial) =>
    trial.world(async (world) => {
      const container = await world.container();
      const version = trial.subject.versions.findLast((each) => canChain(each));
      if (version === undefined) return;
      const attached = await trial.attach(world, container, version);
      const links = await ask(world, container, "address show");
      const link = links.find(({ ifname }) => ifname === container.ifName);
      const there = trial.judge({
        name: "the interface",
        ok: link !== undefined,
        level: "must",
        message: `the container has no ${container.ifName}`,
      });
      if (!there || link === undefined) throw new Stopped();
      judgeInterfaces(trial, attached, link);
      judgeAddresses(trial, attached, links);
      const routes = [
        ...(await ask(world, container, "-4 route show")),
        ...(await ask(world, container, "-6 route show")),
      ];
      judgeRoutes(trial, attached, routes);
      const flags = Array.isArray(link.flags) ? link.flags : [];
      trial.judge({
        name: "the interface is up",
        ok: flags.includes("UP"),
        level: "must",
        message: `flags ${show(flags)}`,
      });
    }),
};

async function ask(world: World, { netnsName }: Container, words: string): Promise<Fields[]> {
  const text = await world.sandbox.sh(`ip -n ${netnsName} -j ${words} 2>/dev/null || :`);
  return text.trim() === "" ? [] : (JSON.parse(text) as Fields[]);
}

function objects(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function judgeInterfaces(trial: Trial, { result, container }: Attached, link: Fields): void {
  const listed = objects(result.interfaces).find(
    ({ name, sandbox }) => name === container.ifName && sandbox !== undefined && sandbox !== "",
  );
  const name = "the interface is in the result";
  const message = `no interface "${container.ifName}" with a sandbox in ${show(result.interfaces)}`;
  if (
    !trial.judge({ name, ok: listed !== undefined, level: "must", section: "result", message }) ||
    listed === undefined
  )
    return;
  trial.judge({
    name: "its sandbox",
    ok: listed.sandbox === container.netns,
    level: "should",
    section: "result",
    message: `sandbox is ${show(listed.sandbox)}, CNI_NETNS was "${container.netns}"`,
  });
  const same = listed.mac === undefined || String(listed.mac).toLowerCase() === link.address;
  trial.judge({
    name: "its hardware address",
    ok: same,
    level: "must",
    section: "result",
    message: `mac is ${show(listed.mac)}, the link has ${show(link.address)}`,
  });
  if (listed.mtu !== undefined) {
    trial.judge({
      name: "its MTU",
      ok: listed.mtu === link.mtu,
      level: "must",
      section: "result",
      message: `mtu is ${show(listed.mtu)}, the link has ${show(link.mtu)}`,
    });
  }
}

function judgeAddresses(trial: Trial, { result, container }: Attached, links: readonly Fields[]): void {
  const has = links.flatMap(({ ifname, addr_info }) =>
    objects(addr_info).map(({ local, prefixlen }) => `${ifname} ${local}/${prefixlen}`),
  );
  for (const { address, interface: index } of objects(result.ips)) {
    const at = objects(result.interfaces)[Number(index)];
    const device = typeof index === "number" ? at?.name : container.ifName;
    const ok = has.includes(`${device} ${address}`);
    trial.judge({
      name: `address ${address}`,
      ok,
      level: "must",
      section: "result",
      message: `${show(device)} has it not; there are ${has.join(", ")}`,
    });
  }
  if (!trial.subject.profile.takesIpam || trial.stage.ipam === undefined) return;
  trial.judge({
    name: "the addresses of IPAM are in the result",
    ok: objects(result.ips).length === 2,
    level: "must",
    section: "delegation",
    message: `ips is ${show(result.ips)}`,
  });
}

function judgeRoutes(trial: Trial, { result }: Attached, routes: readonly Fields[]): void {
  const defaults = routes.filter(({ dst }) => dst === "default");
  for (const { dst, gw } of objects(result.routes)) {
    const family = String(dst).includes(":") ? 6 : 4;
    const isDefault = dst === "0.0.0.0/0" || dst === "::/0";
    const there = isDefault
      ? defaults.some(({ gateway }) => String(gateway ?? "").includes(":") === (family === 6) || gateway === undefined)
      : routes.some((route) => route.dst === dst);
    trial.judge({
      name: `route ${dst}`,
      ok: there,
      level: "must",
      section: "result",
      message: `no route to ${dst} by ${show(gw)} in the container`,
    });
  }
}

/** A chained plugin hands on what it got. */
export const passing: Check = {
  id: "prev-result",
  title: "prevResult is handed on",
  section: "add",
  roles: ["meta"],
  attaches: true,
  run: (trial) =>
    trial.world(async (world) => {
      for (const version of versionsOf(trial)) {
        const container = await world.container();
        const attached = await trial.attach(world, container, version);
        const before = attached.conf.prevResult as Fields;
        for (const key of ["interfaces", "ips", "routes"] as const) {
          const kept = objects(before[key]).every((item) =>
            objects(attached.result[key]).some((now) => isKept(item, now)),
          );
          const message = `${key} were ${show(before[key])}, are ${show(attached.result[key])}`;
          trial.judge({ name: `${key} in ${version}`, ok: kept, level: "must", message });
        }
        await trial.detached(world, attached);
      }
    }),
};

/** Whether what identifies the item is the same: a plugin may change a hardware address or an MTU. */
function isKept(item: Fields, now: Fields): boolean {
  return ["name", "sandbox", "address", "gateway", "interface", "dst", "gw"].every((key) => item[key] === now[key]);
}

/** An interface of that name is there already. */
export const existing: Check = {
  id: "add-existing",
  title: "ADD fails when the interface exists, and leaves it alone",
  section: "add",
  roles: ["main"],
  attaches: true,
  run: async (trial) => {
    if (trial.subject.profile.ifName === "lo") return;
    await trial.world(async (world) => {
      await trial.warm(world);
      const container = await world.container();
      const { netnsName, ifName } = container;
      await world.sandbox.sh(
        `ip -n ${netnsName} link add ${ifName} type veth peer name kit-peer; ip -n ${netnsName} link set ${ifName} up`,
      );
      const before = await world.snapshot(container);
      const answer = await trial.call(world, "ADD", container, world.addConf(container));
      trial.judge({ name: "ADD fails", ok: answer.code !== 0, level: "must", message: "exit 0", answer });
      await trial.leavesNothing(world, before, { name: "nothing is left of it", level: "robust", answer }, [container]);
      const mine = `container ${netnsName}: link ${ifName} `;
      const lost = added(await world.snapshot(container), before).filter(({ text }) => text.startsWith(mine));
      trial.judge({
        name: "the interface is as it was",
        ok: lost.length === 0,
        level: "must",
        message: `gone: ${lost.map(({ text }) => text).join(", ")}`,
        answer,
      });
    });
  },
};

/** Two attachments of one container. */
export const twice: Check = {
  id: "two-interfaces",
  title: "one container may have two interfaces of a network, each with a life of its own",
  section: "parameters",
  roles: ["main", "ipam"],
  attaches: true,
  run: async (trial) => {
    if (["lo"].includes(trial.subject.profile.ifName ?? "")) return;
    await trial.world(async (world) => {
      await trial.warm(world);
      const [container, spare] = await world.containers(2);
      if (container === undefined || spare === undefined) throw new Error("two containers were asked for");
      // The second container's part of the configuration, such as another device, in the first one's namespace.
      const second = { ...container, number: spare.number, ifName: "eth1" };
      const before = await world.snapshot(container);
      const one = await trial.attach(world, container, world.version, {
        ipam: withoutRoutes(world.conf(container).ipam),
      });
      const held = await world.snapshot(container);
      const more = { ipam: withoutRoutes(world.conf(second).ipam) };
      const two = await trial.attach(world, second, world.version, more, {
        name: "ADD of another interface",
        level: "robust",
      });
      const shared = sharedAddresses([one, two]);
      trial.judge({
        name: "addresses of their own",
        ok: shared.length === 0,
        level: "must",
        message: `both have ${shared.join(", ")}`,
      });
      await trial.detached(world, two);
      const after = await world.settled([container], (now) => added(now, held).length + added(held, now).length === 0);
      const lost = added(after, held).map(({ text }) => text);
      trial.judge({
        name: "DEL of one leaves the other",
        ok: lost.length === 0,
        level: "must",
        section: "del",
        message: `gone: ${lost.join(", ")}`,
      });
      await trial.detached(world, one);
      await trial.leavesNothing(world, before, { name: "nothing is left of both", level: "should", section: "del" }, [
        container,
      ]);
    });
  },
};

/** Both interfaces would want the same default route. */
function withoutRoutes(ipam: unknown): unknown {
  return isObject(ipam) ? { ...ipam, routes: [] } : ipam;
}

/** Addresses that more than one of them has. */
export function sharedAddresses(all: readonly Attached[]): string[] {
  const addresses = all.flatMap(({ result }) => [
    ...objects(result.ips).map(({ address }) => String(address)),
    ...[result.ip4, result.ip6].filter(isObject).map(({ ip }) => String(ip)),
  ]);
  return addresses.filter((address, i) => addresses.indexOf(address) !== i);
}
