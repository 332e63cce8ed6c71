import { readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import type { NetworkSpec } from "../overlay/network.ts";
import { encodeLease, LEASE_FOLDER, leasePath, type NodeLease } from "../plugins/overlay/lease.ts";
import { writeConflist } from "./conflist.ts";
import type { AgentOptions } from "./options.ts";
import { updateFile } from "./state-file.ts";
import { formatSubnetEnv } from "./subnet-env.ts";

export type NodeFilesOptions = Pick<AgentOptions, "conflist" | "subnetFile">;

/** What the agent leaves for others on this node: lease files for the plugins, the conflist, subnet.env. */
export class NodeFiles {
  readonly #options: NodeFilesOptions;
  readonly #folder: string;

  constructor(options: NodeFilesOptions, folder = LEASE_FOLDER) {
    this.#options = options;
    this.#folder = folder;
  }

  /**
   * Writes what differs, and takes away the lease files of other networks, those of an earlier run too.
   * @returns the paths of files that runtimes look at and that are new or changed
   * @throws AggregateError of what could not be written; the rest was
   */
  publish(leases: readonly NodeLease[], networks: readonly NetworkSpec[]): string[] {
    const errors: unknown[] = [];
    const attempt = (write: () => void) => {
      try {
        write();
      } catch (error) {
        errors.push(error);
      }
    };
    const paths = new Map(leases.map((lease) => [this.#pathOf(lease.network), lease]));
    for (const [path, lease] of paths) attempt(() => updateFile(path, encodeLease(lease)));
    for (const path of this.#present()) if (!paths.has(path)) attempt(() => rmSync(path, { force: true }));

    const changed: string[] = [];
    attempt(() => changed.push(...this.#writeForRuntimes(leases, networks)));
    if (errors.length > 0) throw new AggregateError(errors, errors.map(String).join("; "));
    return changed;
  }

  #writeForRuntimes(leases: readonly NodeLease[], networks: readonly NetworkSpec[]): string[] {
    const { conflist, subnetFile } = this.#options;
    const lease = leases.find(({ network }) => network === conflist?.network);
    if (conflist === undefined || lease === undefined || !lease.ready) return [];
    const changed = writeConflist(conflist) ? [conflist.path] : [];
    if (subnetFile === undefined) return changed;
    const masquerade = networks.find(({ name }) => name === lease.network)?.masquerade ?? false;
    return updateFile(subnetFile, formatSubnetEnv({ ...lease, masquerade }), 0o644)
      ? [...changed, subnetFile]
      : changed;
  }

  #pathOf(network: string): string {
    return join(this.#folder, basename(leasePath(network)));
  }

  #present(): string[] {
    try {
      return readdirSync(this.#folder).map((name) => join(this.#folder, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }
}
