import type { AddRequest } from "../../cni/plugin.ts";
import type { Result } from "../../cni/result.ts";
import { getLink, setLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { openPodNetns } from "../pod-netns.ts";
import { LOOPBACK, loopbackAddresses } from "./link.ts";

/** Brings `lo` up; the kernel gives it its addresses. A chained plugin's prevResult is passed on as it came. */
export async function add({ conf, attachment }: AddRequest): Promise<Result> {
  const { netns: sandbox } = attachment;
  using netns = openPodNetns(attachment);
  using rt = openRoute(netns);
  setLink(rt, LOOPBACK, { up: true });
  if (conf.prevResult !== undefined) return conf.prevResult;

  const mac = getLink(rt, LOOPBACK)?.mac ?? "00:00:00:00:00:00";
  return {
    interfaces: [{ name: LOOPBACK, mac, sandbox }],
    ips: loopbackAddresses(rt).map((address) => ({ address, interface: 0 })),
    routes: [],
  };
}
