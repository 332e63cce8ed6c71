import type { DelRequest } from "../../cni/plugin.ts";
import { setLink } from "../../kernel/rtnetlink/link.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";
import { findPodNetns } from "../pod-netns.ts";
import { LOOPBACK } from "./link.ts";

/** Takes `lo` down again; without a namespace there is none. */
export async function del({ attachment }: DelRequest): Promise<void> {
  using netns = findPodNetns(attachment);
  if (netns === undefined) return;
  using rt = openRoute(netns);
  setLink(rt, LOOPBACK, { up: false });
}
