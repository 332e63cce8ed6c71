import { type Attached, type Check, codeOf, NotPossible, Stopped, saying, type Trial } from "../check.ts";
import { PROFILES } from "../profiles.ts";
import { KIT } from "../sandbox.ts";
import { isObject, show } from "../shape.ts";
import { atLeast, type Verb, type Version } from "../spec.ts";
import { type Answer, type Conf, type Container, later, type World } from "../world.ts";

/** The plugins that usually come after a main one, in their order. */
const FOLLOWERS = ["portmap", "bandwidth", "firewall", "tuning"] as const;

/** A whole chain, as a runtime runs one. */
export const chain: Check = {
  id: "chain",
  title: "a chain with portmap, bandwidth, firewall and tuning, as far as the folder has them",
  section: "add",
  roles: ["main"],
  attaches: true,
  since: "0.4.0",
  run: async (trial) => {
    const names: string[] = [];
    for (const name of FOLLOWERS) {
      const profile = PROFILES[name];
      if (profile === undefined || !trial.stage.names.has(name)) continue;
      if (name === "bandwidth" && trial.subject.profile.hasHostEnd !== true) continue;
      if ((await trial.stage.lacking(profile)) === undefined) names.push(name);
    }
    if (names.length === 0) throw new NotPossible("the folder holds none of the plugins that come after a main one");
    if (trial.subject.profile.takesIpam !== true)
      throw new NotPossible("the plugin makes no interface that others could change");
    await trial.world((world) => judgeChain(trial, world, names, false));
    await trial.world((world) => judgeChain(trial, world, names, true));
  },
};

interface Link {
  readonly name: string;
  readonly conf: Conf;
}

/** The configurations of the chain's plugins, all of one version. */
function linksOf(world: World, container: Container, names: readonly string[], version: Version): Link[] {
  const situation = { number: container.number, ipam: world.ipam, version };
  const first = { name: world.subject.name, conf: world.conf(container, version) };
  const others = names.map((name) => {
    const own = PROFILES[name]?.conf(situation) ?? {};
    return { name, conf: { cniVersion: version, name: first.conf.name, type: name, ...own } };
  });
  return [first, ...others];
}

async function judgeChain(trial: Trial, world: World, names: readonly string[], withoutNetns: boolean): Promise<void> {
  // What every plugin of such a chain has known for years; what each does with newer ones is another check.
  const version: Version = atLeast(world.version, "1.0.0") ? "1.0.0" : "0.4.0";
  const when = withoutNetns ? "with the namespace gone" : "";
  const [first, container] = await world.containers(2);
  if (first === undefined || container === undefined) throw new Error("two containers were asked for");
  await delChain(
    trial,
    world,
    first,
    await addChain(trial, world, first, linksOf(world, first, names, version)),
    version,
    "",
  );
  const before = await world.snapshot();
  const result = await addChain(trial, world, container, linksOf(world, container, names, version));
  if (withoutNetns) await world.sandbox.sh(`ip netns del ${container.netnsName}`);
  else await checkChain(trial, world, container, result);
  await delChain(trial, world, container, result, version, when);
  await trial.leavesNothing(world, before, {
    name: `nothing is left of the chain ${when}`.trim(),
    level: "should",
    section: "del",
  });
}

interface Done {
  readonly links: readonly Link[];
  readonly result: unknown;
}

async function addChain(trial: Trial, world: World, container: Container, links: readonly Link[]): Promise<Done> {
  let result: unknown;
  for (const { name, conf } of links) {
    const given = result === undefined ? conf : { ...conf, prevResult: result };
    const answer = await trial.call(world, "ADD", container, given, { plugin: name });
    const ok = answer.code === 0 && isObject(answer.json);
    if (!trial.judge({ name: `ADD of ${name}`, ok, level: "must", message: saying(answer), answer }))
      throw new Stopped();
    if (result !== undefined) judgeKept(trial, name, result, answer);
    result = answer.json;
  }
  return { links, result };
}

function judgeKept(trial: Trial, name: string, before: unknown, answer: Answer): void {
  const [ips, now] = [before, answer.json].map((result) =>
    isObject(result) && Array.isArray(result.ips) ? result.ips : [],
  );
  const addresses = (list: unknown) =>
    Array.isArray(list) ? list.map((ip) => (isObject(ip) ? ip.address : undefined)) : [];
  const lost = addresses(ips).filter((address) => !addresses(now).includes(address));
  trial.judge({
    name: `${name} hands on the addresses`,
    ok: lost.length === 0,
    level: "must",
    message: `lost: ${show(lost)}`,
    answer,
  });
}

async function checkChain(trial: Trial, world: World, container: Container, { links, result }: Done): Promise<void> {
  for (const { name, conf } of links) {
    const answer = await trial.call(world, "CHECK", container, { ...conf, prevResult: result }, { plugin: name });
    trial.judge({
      name: `CHECK of ${name}`,
      ok: answer.code === 0,
      level: "must",
      section: "check",
      message: saying(answer),
      answer,
    });
  }
}

async function delChain(
  trial: Trial,
  world: World,
  container: Container,
  { links, result }: Done,
  version: Version,
  when: string,
): Promise<void> {
  const env = when === "" ? {} : { CNI_NETNS: "" };
  for (const { name, conf } of links.toReversed()) {
    const answer = await trial.call(world, "DEL", container, later(conf, result, version), { plugin: name, env });
    const level = when === "" ? "must" : "should";
    trial.judge({
      name: `DEL of ${name} ${when}`.trim(),
      ok: answer.code === 0,
      level,
      section: "del",
      message: saying(answer),
      answer,
    });
  }
}

/** An IPAM plugin of the kit's own: writes down how it is called, and fails when it is told to. */
const FAKE_IPAM = `#!/bin/sh
echo "$CNI_COMMAND" >>${KIT}/bin/calls
cat >${KIT}/bin/stdin.$CNI_COMMAND
if [ -e ${KIT}/bin/fail.$CNI_COMMAND ]; then cat ${KIT}/bin/fail.$CNI_COMMAND; exit 1; fi
if [ "$CNI_COMMAND" = ADD ]; then cat ${KIT}/bin/result; fi
exit 0
`;

/** What a main plugin does with its IPAM plugin, seen from that. */
export const delegation: Check = {
  id: "delegation",
  title: "IPAM is called for each verb, its answers count, and its failures leave nothing",
  section: "delegation",
  roles: ["main"],
  attaches: true,
  run: async (trial) => {
    if (trial.subject.profile.takesIpam !== true) throw new NotPossible("the plugin takes no IPAM plugin");
    await trial.world((world) => judgeCalls(trial, world));
    await trial.world((world) => judgeFailures(trial, world));
  },
};

interface Fake {
  readonly more: object;
  readonly options: { readonly env: { readonly CNI_PATH: string } };
  /** The verbs that it was called with since the last question. */
  readonly calls: () => Promise<string>;
  readonly fails: (verb: Verb, code: number) => Promise<void>;
}

async function fakeIpam(world: World): Promise<Fake> {
  const version = world.version;
  const family = atLeast(version, "1.0.0") ? {} : { version: "4" };
  const result = {
    cniVersion: version,
    ips: [{ ...family, address: "10.55.0.7/24", gateway: "10.55.0.1" }],
    dns: { nameservers: ["192.0.2.53"] },
  };
  const write = (name: string, text: string) =>
    world.sandbox.run(["sh", "-ec", `cat >${KIT}/bin/${name}; chmod 755 ${KIT}/bin/${name}`], { input: text });
  await write("kit-ipam", FAKE_IPAM);
  await write("result", JSON.stringify(result));
  return {
    more: { ipam: { type: "kit-ipam" } },
    options: { env: { CNI_PATH: `${world.subject.bin}:${KIT}/bin` } },
    calls: async () => {
      const { stdout } = await world.sandbox.run([
        "sh",
        "-c",
        `cat ${KIT}/bin/calls 2>/dev/null; rm -f ${KIT}/bin/calls`,
      ]);
      return stdout.trim().replaceAll("\n", " ");
    },
    fails: async (verb, code) => {
      await write(`fail.${verb}`, JSON.stringify({ cniVersion: version, code, msg: "the kit's IPAM plugin says no" }));
    },
  };
}

async function addWith(trial: Trial, world: World, fake: Fake, container: Container): Promise<Attached> {
  const conf = world.addConf(container, world.version, fake.more);
  const answer = await trial.call(world, "ADD", container, conf, fake.options);
  const ok = answer.code === 0 && isObject(answer.json);
  if (!trial.judge({ name: "ADD", ok, level: "must", section: "add", message: saying(answer), answer }))
    throw new Stopped();
  return { container, conf, version: world.version, result: answer.json as Attached["result"] };
}

async function judgeCalls(trial: Trial, world: World): Promise<void> {
  const fake = await fakeIpam(world);
  const container = await world.container();
  const attached = await addWith(trial, world, fake, container);
  const said = await fake.calls();
  trial.judge({
    name: "ADD calls IPAM's ADD once",
    ok: said === "ADD",
    level: "must",
    message: `it was called with: ${said || "nothing"}`,
  });
  const ips = Array.isArray(attached.result.ips) ? attached.result.ips : [];
  const has = ips.some((ip) => isObject(ip) && ip.address === "10.55.0.7/24");
  trial.judge({
    name: "its address is in the result",
    ok: has,
    level: "must",
    section: "result",
    message: `ips is ${show(ips)}`,
  });
  const { dns } = attached.result;
  const ok = isObject(dns) && show(dns.nameservers) === '["192.0.2.53"]';
  trial.judge({
    name: "its dns is in the result",
    ok,
    level: "should",
    section: "ipamResult",
    message: `dns is ${show(dns)}`,
  });

  const judge = async (verb: Verb, level: "must" | "should") => {
    const name = `${verb} calls IPAM's ${verb}`;
    const isOfAll = verb === "GC" || verb === "STATUS";
    const conf = isOfAll
      ? world.conf(undefined, world.version, { ...fake.more, ...gcKeys(container) })
      : later(attached.conf, attached.result, attached.version);
    const answer = await trial.call(world, verb, isOfAll ? undefined : container, conf, fake.options);
    trial.judge({
      name: `${verb} with an IPAM plugin that agrees`,
      ok: answer.code === 0,
      level: "must",
      section: "parameters",
      message: saying(answer),
      answer,
    });
    const calls = await fake.calls();
    trial.judge({ name, ok: calls === verb, level, message: `it was called with: ${calls || "nothing"}`, answer });
  };
  if (atLeast(world.version, "0.4.0")) await judge("CHECK", "should");
  if (atLeast(world.version, "1.1.0")) {
    await judge("STATUS", "must");
    await judge("GC", "must");
    const { stdout } = await world.sandbox.run(["cat", `${KIT}/bin/stdin.GC`]);
    trial.judge({
      name: "GC hands on the list",
      ok: stdout.includes(container.id),
      level: "must",
      message: `IPAM got ${stdout.slice(0, 300) || "nothing"}`,
    });
  }
  await judge("DEL", "must");
}

function gcKeys({ id, ifName }: Container): object {
  const valid = [{ containerID: id, ifname: ifName }];
  return { "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid };
}

async function judgeFailures(trial: Trial, world: World): Promise<void> {
  const fake = await fakeIpam(world);
  const attached = await addWith(trial, world, fake, await world.container());
  const { container } = attached;
  const conf = later(attached.conf, attached.result, attached.version);
  const refuse = async (verb: Verb, code: number) => {
    await fake.fails(verb, code);
    const isOfAll = verb === "STATUS";
    const given = isOfAll ? world.conf(undefined, world.version, fake.more) : conf;
    const answer = await trial.call(world, verb, isOfAll ? undefined : container, given, fake.options);
    const name = `${verb} fails when IPAM's does`;
    return trial.judge({ name, ok: answer.code !== 0, level: "should", message: "exit 0", answer });
  };
  if (atLeast(world.version, "0.4.0")) await refuse("CHECK", 11);
  if (atLeast(world.version, "1.1.0")) await refuse("STATUS", 50);
  await world.sandbox.sh(`ip netns del ${container.netnsName}`);
  await fake.calls();
  const gone = await trial.call(world, "DEL", container, conf, fake.options);
  const calls = await fake.calls();
  trial.judge({
    name: "DEL calls IPAM's DEL when the namespace is gone",
    ok: calls === "DEL",
    level: "should",
    section: "del",
    message: `it was called with: ${calls || "nothing"}`,
    answer: gone,
  });
  await judgeFailedAdd(trial, world, fake);
}

async function judgeFailedAdd(trial: Trial, world: World, fake: Fake): Promise<void> {
  const container = await world.container();
  await fake.fails("ADD", 11);
  const before = await world.calm(container);
  const conf = world.addConf(container, world.version, fake.more);
  const answer = await trial.addFails(world, container, conf, fake.options);
  const calls = await fake.calls();
  const message = `it was called with: ${calls || "nothing"}`;
  const [own, ofIpam] = [codeOf(answer), 11];
  const told = `code ${own}, IPAM said ${ofIpam}`;
  trial.judge({ name: "ADD fails with IPAM's code", ok: own === ofIpam, level: "should", message: told, answer });
  const name = "IPAM's DEL is called after its ADD has failed";
  trial.judge({ name, ok: calls === "ADD DEL", level: "should", message, answer });
  await trial.cleansUp(world, before, container, conf, fake.options);
}
