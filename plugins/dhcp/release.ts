import { newXid } from "../../dhcp/conversation.ts";
import type { LeaseRecord } from "../../dhcp/record.ts";
import { release } from "../../dhcp/request.ts";
import { prefixAddress } from "../../net/prefix.ts";
import { say } from "./converse.ts";
import type { DhcpMachine } from "./machine.ts";
import type { PodLink } from "./pod-link.ts";

/** Tells the server that the address is free (DHCPRELEASE). @throws SystemError when the interface is down or away */
export function giveBack(link: PodLink, { random }: Pick<DhcpMachine, "random">, record: LeaseRecord): void {
  const { client, address, server, serverMac } = record;
  say(link, release(client, newXid(random), { address: prefixAddress(address), server }), serverMac);
}
