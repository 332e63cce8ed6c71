import { setTimeout as delay } from "node:timers/promises";
import { type Ipam, ipamConf, type Profile, UPLINK } from "./profiles.ts";
import type { Finished, Sandbox } from "./sandbox.ts";
import { isObject } from "./shape.ts";
import { readSnapshot, type Snapshot, snapshotScript } from "./snapshot.ts";
import { atLeast, VERB_SECTION, type Verb, type Version } from "./spec.ts";
import type { Call } from "./verdict.ts";

/** A plugin that is judged. */
export interface Subject {
  readonly name: string;
  readonly bin: string;
  readonly profile: Profile;
  /** What it said to VERSION, as far as we know the versions. */
  readonly versions: readonly Version[];
}

/** What one execution answered. */
export interface Answer extends Finished {
  /** stdout as JSON; undefined when it is empty or no JSON. */
  readonly json: unknown;
  readonly call: Call;
}

/** What a runtime gives with each call for one container. */
export interface Container {
  readonly number: number;
  readonly id: string;
  /** The name of its namespace, as ip-netns(8) has it. */
  readonly netnsName: string;
  readonly netns: string;
  readonly ifName: string;
}

/** Told of each execution, for the times. */
export type OnCall = (verb: string, milliseconds: number) => void;

const NAME = "kit-net";
const SHOWN = 4096;

/** A sandbox with all that the plugin needs in it, and containers to try it on. */
export class World {
  readonly sandbox: Sandbox;
  readonly subject: Subject;
  readonly ipam: Ipam;
  readonly #onCall: OnCall;
  #containers = 0;

  constructor(sandbox: Sandbox, subject: Subject, ipam: Ipam, onCall: OnCall) {
    this.sandbox = sandbox;
    this.subject = subject;
    this.ipam = ipam;
    this.#onCall = onCall;
  }

  /** Makes the machine's side ready: an uplink, and what the profile asks for. */
  async prepare(): Promise<void> {
    await this.sandbox.sh(`${UPLINK}\n${this.subject.profile.prepare ?? ""}`);
  }

  /** The newest version that the plugin supports and we know. */
  get version(): Version {
    return this.subject.versions.at(-1) ?? "1.0.0";
  }

  async container(): Promise<Container> {
    const [container] = await this.containers(1);
    if (container === undefined) throw new Error("no container was made");
    return container;
  }

  /** Makes namespaces as a runtime does before ADD; for a chained plugin, with the interface that comes before it. */
  async containers(count: number): Promise<Container[]> {
    const containers = Array.from({ length: count }, () => this.#describe(++this.#containers));
    await this.sandbox.sh(containers.map((container) => this.#makeContainer(container)).join("\n"));
    return containers;
  }

  /** Takes all namespaces of containers away, with what the kit itself made for them, as a runtime does in the end. */
  async forget(): Promise<void> {
    const lines = Array.from({ length: this.#containers }, (_, i) => {
      const file = `/run/netns/kit${i + 1}`;
      return `if [ -e ${file} ]; then umount ${file} 2>/dev/null; rm ${file}; fi; ip link del host${i + 1} 2>/dev/null; ip link del cable${i + 1} 2>/dev/null`;
    });
    await this.sandbox.run(["sh", "-c", lines.join("\n")]);
  }

  #describe(number: number): Container {
    const id = `kit${number}-0123456789abcdef0123456789abcdef0123456789abcdef`;
    const netnsName = `kit${number}`;
    const ifName = this.subject.profile.ifName ?? "eth0";
    return { number, id, netnsName, netns: `/run/netns/${netnsName}`, ifName };
  }

  /** Duplicate address detection is off, so that IPv6 takes no seconds. */
  #makeContainer(container: Container): string {
    const { netnsName, number } = container;
    const { profile } = this.subject;
    const quick =
      "for file in /proc/sys/net/ipv6/conf/*/accept_dad; do echo 0 >$file; done 2>/dev/null; ip link set lo up";
    const lines = [
      `ip netns add ${netnsName}`,
      `ip netns exec ${netnsName} sh -c '${profile.ifName === "lo" ? ":" : quick}'`,
    ];
    if (profile.role === "meta") lines.push(interfaceBefore(container));
    lines.push(profile.prepareContainer?.({ number, ipam: this.ipam, version: this.version }) ?? "");
    return lines.join("\n");
  }

  /** The plugin's configuration for the container. */
  conf(container: Pick<Container, "number"> | undefined, version: Version = this.version, more: object = {}): Conf {
    const { name, profile } = this.subject;
    const situation = { number: container?.number ?? 1, ipam: this.ipam, version };
    const ipam = profile.role === "ipam" ? { ipam: ipamConf({ ...situation, ipam: name as Ipam }) } : {};
    const delegated = profile.takesIpam === true && this.ipam !== undefined ? { ipam: ipamConf(situation) } : {};
    // An IPAM plugin gets the configuration of the plugin that delegates to it.
    const type = profile.role === "ipam" ? "bridge" : name;
    return { cniVersion: version, name: NAME, type, ...profile.conf(situation), ...ipam, ...delegated, ...more };
  }

  /** The configuration of an ADD: a chained plugin gets the result of the one before. */
  addConf(container: Container, version: Version = this.version, more: object = {}): Conf {
    const before = this.subject.profile.role === "meta" ? { prevResult: resultBefore(container, version) } : {};
    return this.conf(container, version, { ...before, ...more });
  }

  /** Executes the plugin, as a runtime does, with these variables besides; an empty one is left out. */
  async call(
    verb: Verb | string,
    container: Container | undefined,
    conf: object | string | Uint8Array,
    options: CallOptions = {},
  ): Promise<Answer> {
    const { env: more = {}, plugin = this.subject.name, limit } = options;
    const env = Object.fromEntries(
      Object.entries({ CNI_COMMAND: verb, CNI_PATH: this.subject.bin, ...attachment(container), ...more }).filter(
        ([, value]) => value !== "",
      ),
    );
    const input = typeof conf === "string" || conf instanceof Uint8Array ? conf : JSON.stringify(conf);
    const finished = await this.sandbox.run([`${this.subject.bin}/${plugin}`], {
      env,
      input,
      ...(limit === undefined ? {} : { limit }),
    });
    if (Object.hasOwn(VERB_SECTION, verb)) this.#onCall(verb, finished.milliseconds);
    const exit = finished.overdue ? "killed" : (finished.signal ?? finished.code ?? "unknown");
    const call: Call = {
      plugin,
      env,
      stdin: shorten(typeof input === "string" ? input : Buffer.from(input).toString("latin1")),
      exit,
      stdout: shorten(finished.stdout),
      stderr: shorten(finished.stderr),
    };
    return { ...finished, json: parse(finished.stdout), call };
  }

  /** What the machine and the containers hold now. */
  async snapshot(...containers: readonly Container[]): Promise<Snapshot> {
    return readSnapshot(await this.sandbox.sh(snapshotScript(containers.map(({ netnsName }) => netnsName))));
  }

  /** The snapshot once nothing changes by itself any more. */
  async calm(...containers: readonly Container[]): Promise<Snapshot> {
    let before = await this.snapshot(...containers);
    return await this.settled(containers, (now) => {
      const same = isSame(before, now);
      before = now;
      return same;
    });
  }

  /**
   * The snapshot once it is as wanted, or the last one: the kernel takes links away some time after it was asked to, and a plugin may
   * leave that to somebody else.
   */
  async settled(containers: readonly Container[], wanted: (snapshot: Snapshot) => boolean): Promise<Snapshot> {
    const begun = performance.now();
    for (let pause = 50; ; pause *= 2) {
      const snapshot = await this.snapshot(...containers);
      const isLate = pause > 500 && performance.now() > begun + SETTLING; // after five looks at least, on a slow machine too
      if (isLate || wanted(snapshot)) return snapshot;
      await delay(pause);
    }
  }
}

/** Takes all rules away, by whichever of the two sorts of iptables they were made, and makes no table that is not there. */
export const FLUSH = `
nft flush ruleset 2>/dev/null || :
for kind in ip ip6; do
  while read -r table; do
    $kindtables-legacy -t $table -F; $kindtables-legacy -t $table -X
  done </proc/net/$kind_tables_names
done 2>/dev/null || :`;

/** Whether both hold the same. */
function isSame(one: Snapshot, other: Snapshot): boolean {
  return one.size === other.size && [...one.keys()].every((text) => other.has(text));
}

/** Milliseconds that anything may take to go away by itself. */
const SETTLING = 2500;

export type Conf = Readonly<Record<string, unknown>>;

export interface CallOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Another plugin of the folder. */
  readonly plugin?: string;
  /** Milliseconds after which it is killed. */
  readonly limit?: number;
}

/** Whether a result of the version is what the container has: `prevResult` came with chains. */
export function canChain(version: Version): boolean {
  return atLeast(version, "0.3.0");
}

/** What DEL and CHECK get of an earlier ADD: 0.4.0 and newer. */
export function later(conf: Conf, result: unknown, version: Version): Conf {
  const { prevResult: _, ...rest } = conf;
  return atLeast(version, "0.4.0") && isObject(result) ? { ...rest, prevResult: result } : rest;
}

function attachment(container: Container | undefined): Record<string, string> {
  if (container === undefined) return {};
  return { CNI_CONTAINERID: container.id, CNI_NETNS: container.netns, CNI_IFNAME: container.ifName };
}

const macOf = (number: number, side: number) => `02:4b:49:${hex(side)}:${hex(number >> 8)}:${hex(number & 255)}`;
const hex = (byte: number) => byte.toString(16).padStart(2, "0");

function interfaceBefore({ number, netnsName, ifName }: Container): string {
  const host = `host${number}`;
  return `
ip link add ${host} address ${macOf(number, 0)} type veth peer name ${ifName} address ${macOf(number, 1)} netns ${netnsName}
ip link set ${host} up; ip route add 10.99.0.${number + 1}/32 dev ${host}
ip -n ${netnsName} address add 10.99.0.${number + 1}/24 dev ${ifName}
ip -n ${netnsName} link set ${ifName} up
ip -n ${netnsName} route add default via 10.99.0.1 dev ${ifName}`;
}

function resultBefore({ number, netns, ifName }: Container, cniVersion: Version): object {
  const family = atLeast(cniVersion, "1.0.0") ? {} : { version: "4" };
  return {
    cniVersion,
    interfaces: [
      { name: `host${number}`, mac: macOf(number, 0) },
      { name: ifName, mac: macOf(number, 1), sandbox: netns },
    ],
    ips: [{ ...family, interface: 1, address: `10.99.0.${number + 1}/24`, gateway: "10.99.0.1" }],
    routes: [{ dst: "0.0.0.0/0", gw: "10.99.0.1" }],
    dns: {},
  };
}

function parse(text: string): unknown {
  try {
    return text.trim() === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function shorten(text: string): string {
  return text.length <= SHOWN ? text : `${text.slice(0, SHOWN)}… (${text.length} characters)`;
}
