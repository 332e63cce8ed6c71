// For tests: a network of its own in a temporary folder, called as a runtime calls the plugin.
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import { type Called, callPlugin } from "../../cni/testing.ts";
import { type Machine, makeResidentMachine, type ResidentMachine, thisMachine } from "./machine.ts";
import { makeHostLocal } from "./plugin.ts";

export interface Call {
  readonly id?: string;
  readonly ifName?: string;
  readonly args?: string;
  /** Merged into the configuration's top level and into `ipam`. */
  readonly conf?: object;
  readonly ipam?: object;
}

export interface Network {
  readonly folder: string;
  readonly dataDir: string;
  ours(command: string, call?: Call): Promise<Called>;
  /** What a runtime gives to the plugin for this call. */
  input(command: string, call?: Call): { readonly stdin: object; readonly env: Readonly<Record<string, string>> };
  /** Address files with their content. */
  onDisk(): Record<string, string>;
}

export interface Answer {
  readonly exitCode: number | null;
  readonly answer: Record<string, unknown> | undefined;
}

const ONE_RANGE = { ranges: [[{ subnet: "10.22.0.0/24" }]] };

type MakeNetwork = (t: { teardown(run: () => void): void }, ipam?: object, machine?: Machine) => Network;

/** A network named `net` on an empty data folder that is removed after the test. */
export const makeNetwork: MakeNetwork = (t, ipam, machine) => {
  const parent = fs.mkdtempSync(join(tmpdir(), "podwire-host-local-"));
  t.teardown(() => fs.rmSync(parent, { recursive: true, force: true }));
  const dataDir = join(parent, "data"); // so that nobody else writes in the folder above it
  fs.mkdirSync(dataDir);
  return openNetwork(dataDir, ipam, machine);
};

/** Runs the test with the plugin as a process of one call has it, and as one that stays has it. */
export function withEachHost(t: Test, name: string, body: (t: Test, make: MakeNetwork) => Promise<void>): void {
  t.test(`${name} (one-shot)`, (t) => body(t, makeNetwork));
  t.test(`${name} (resident)`, async (t) => {
    using resident = makeResident(t);
    await body(t, (t, ipam, machine = resident) => makeNetwork(t, ipam, machine));
  });
}

/** A machine of a process that stays, which fails the test when it cannot write its index. */
export function makeResident(t: Test): ResidentMachine {
  return makeResidentMachine((message, details) => t.fail(message, details));
}

/** The network named `net` on that data folder. */
export function openNetwork(dataDir: string, ipam: object = ONE_RANGE, machine: Machine = thisMachine): Network {
  const folder = join(dataDir, "net");
  const input = (command: string, call: Call = {}) => ({
    stdin: {
      cniVersion: "1.0.0",
      name: "net",
      type: "bridge",
      ...call.conf,
      ipam: { type: "host-local", dataDir, ...ipam, ...call.ipam },
    },
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: call.id ?? "pod1",
      CNI_IFNAME: call.ifName ?? "eth0",
      CNI_NETNS: "/var/run/netns/none",
      CNI_PATH: "/nonexistent",
      CNI_ARGS: call.args ?? "",
    },
  });
  return {
    folder,
    dataDir,
    input,
    ours: (command, call) => callPlugin(makeHostLocal(machine), { command, ...input(command, call) }),
    onDisk() {
      if (!fs.existsSync(folder)) return {};
      const names = fs.readdirSync(folder).filter((name) => /^[0-9a-f.:]+$/.test(name));
      return Object.fromEntries(names.sort().map((name) => [name, fs.readFileSync(join(folder, name), "utf8")]));
    },
  };
}

/** The addresses of an ADD's answer. */
export function addressesOf({ answer }: Answer): readonly unknown[] {
  const ips = answer?.ips;
  return Array.isArray(ips) ? ips.map(({ address }) => address) : [answer];
}
