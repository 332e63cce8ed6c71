import { spawnSync } from "node:child_process";
import type { TestOpts } from "tap";

/** How to find out, in a namespace of its own, whether the kernel has it: a command, and what it says when it does not. */
const PROBES = {
  vxlan: link("vxlan external dstport 4789"),
  gre: link("gre external"),
  ip6gre: link("ip6gre external"),
  ipip: link("ipip external"),
  wireguard: link("wireguard"),
  geneve: link("geneve external"),
  dummy: link("dummy"),
  vlan: linkOver("vlan id 5"),
  ipvlan: linkOver("ipvlan"),
  macvlan: linkOver("macvlan"),
  vrf: link("vrf table 10"),
  openvswitch: { command: "modprobe -q openvswitch; genl ctrl get name ovs_datapath", lacking: /No such file/ },
} as const;

/** What a kernel may have and not have. */
export type Feature = keyof typeof PROBES;

function link(words: string): { readonly command: string; readonly lacking: RegExp } {
  return { command: `ip link add probe0 type ${words}`, lacking: /Unknown device type|not supported/ };
}

function linkOver(words: string): { readonly command: string; readonly lacking: RegExp } {
  const veth = "ip link add lower0 type veth peer name lower1";
  return { ...link(words), command: `${veth} && ip link add probe0 link lower0 type ${words}` };
}

const probed = new Map<Feature, string | undefined>();

/** What the kernel says when it is asked for it; undefined when it has it. @throws Error when neither is certain */
function refusal(feature: Feature): string | undefined {
  if (probed.has(feature)) return probed.get(feature);
  const { command, lacking } = PROBES[feature];
  const { status, stdout, stderr } = spawnSync("unshare", ["--net", "sh", "-c", command], { encoding: "utf8" });
  const said = `${stdout}${stderr}`.trim();
  if (status !== 0 && !lacking.test(said)) throw new Error(`${command}: exit ${status}: ${said}`);
  const answer = status === 0 ? undefined : said;
  probed.set(feature, answer);
  return answer;
}

/** All that this kernel has not. */
export function lackingFeatures(): Feature[] {
  return (Object.keys(PROBES) as Feature[]).filter((feature) => refusal(feature) !== undefined);
}

/** In the guest of hack/test: what the machine's own kernel lacks. The rest was tested there. */
const LACKING_OUTSIDE = process.env.PODWIRE_TEST_LACKING_OUTSIDE?.split(" ");

/** Whether this is that guest, whose processor may be an emulated one: send a tenth of the packets. */
export const IN_GUEST = LACKING_OUTSIDE !== undefined;

/**
 * Options of a test that needs these of the kernel: it is skipped where the kernel is proved to lack one. hack/test
 * finds the files that import this, and runs in a guest what was skipped, and no others of their tests (TAP_ONLY); it
 * fails when a test ran in neither.
 */
export function needs(...features: readonly Feature[]): Pick<TestOpts, "skip" | "only" | "runOnly"> {
  for (const feature of features) {
    const said = refusal(feature);
    if (said !== undefined) return { skip: `this kernel lacks ${feature}: ${said}` };
  }
  const isOurs = features.some((feature) => LACKING_OUTSIDE?.includes(feature));
  return isOurs ? { only: true, runOnly: false } : {};
}

/**
 * Whether a test can be had that needs these of the kernel and takes an emulated processor too long: always in the long
 * form, else where this machine's own kernel has them.
 */
export function affords(...features: readonly Feature[]): boolean {
  if (process.env.PODWIRE_TEST_LONG === "1") return true;
  return !IN_GUEST && features.every((feature) => refusal(feature) === undefined);
}
