import type { Conflist } from "./conflist.ts";

/** How one agent runs; made by main.ts from flags and environment. */
export interface AgentOptions {
  /** host:port of each controller; none in standalone mode. */
  readonly controllers: readonly string[];
  readonly nodeName: string;
  readonly nodeId: string;
  readonly bootId: string;
  readonly version: string;
  /** Networks to join; none: all. */
  readonly networks: readonly string[];
  readonly underlayDevice: string | undefined;
  /** Where the last state lies: `state.json`. */
  readonly stateDir: string;
  /** Of host-local. */
  readonly ipamDataDir: string;
  /** The conflist to write; undefined: none. */
  readonly conflist: Conflist | undefined;
  /** Path of a subnet.env to write for that network, as flannel does. */
  readonly subnetFile: string | undefined;
  /** Subnets to claim at the first hello, from a flannel node's subnet.env. */
  readonly claimed: readonly { readonly network: string; readonly subnet: string }[];
  /** Milliseconds between two full passes when nothing happens. */
  readonly resync: number;
}
