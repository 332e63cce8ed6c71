import { randomInt } from "node:crypto";
import type { Random } from "../../dhcp/conversation.ts";
import { bootTime } from "../../kernel/clock.ts";
import { Poller } from "../../kernel/poller.ts";
import { LEASE_FOLDER, LeaseFolder } from "./lease-folder.ts";

/** What the plugin, and the agent for it, use of the machine they run on. */
export interface DhcpMachine {
  readonly leases: LeaseFolder;
  /** Waits for packets; one of a process. */
  readonly poller: Poller;
  /** Milliseconds since the machine started. */
  readonly now: () => number;
  readonly random: Random;
}

/** The machine itself. */
export function makeDhcpMachine(folder = LEASE_FOLDER): DhcpMachine {
  return { leases: new LeaseFolder(folder), poller: new Poller(), now: bootTime, random: unguessable };
}

const RESOLUTION = 2 ** 47;

/** A stranger on the link must not guess a transaction's number. */
function unguessable(): number {
  return randomInt(RESOLUTION) / RESOLUTION;
}
