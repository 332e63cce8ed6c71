import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { Test } from "tap";
import { createNamedNetns, deleteNamedNetns, type Netns } from "../../kernel/netns.ts";
import { openRoute, type RouteSocket } from "../../kernel/rtnetlink/socket.ts";

/** A bare network namespace, looked at from two sides: our sockets, and the programs of iproute2 and nftables. */
export interface KernelNode {
  readonly name: string;
  readonly netns: Netns;
  readonly rt: RouteSocket;
  /** What a shell command prints there. @throws when it fails */
  text(command: string): string;
  /** The JSON that a command prints there. */
  json(command: string): unknown;
}

/** Makes a namespace that is gone after the test. */
export function makeNode(t: Test): KernelNode {
  const name = `kernel-${randomBytes(5).toString("hex")}`;
  const netns = createNamedNetns(name);
  const rt = openRoute(netns);
  t.teardown(() => {
    rt[Symbol.dispose]();
    netns[Symbol.dispose]();
    deleteNamedNetns(name, "/run/netns", { missingOk: true });
  });
  const text = (command: string) =>
    execFileSync("nsenter", [`--net=${netns.path}`, "sh", "-ec", command], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  return { name, netns, rt, text, json: (command) => JSON.parse(text(command)) };
}
