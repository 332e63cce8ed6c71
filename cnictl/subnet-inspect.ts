import { parseAddress } from "../net/address.ts";
import type { InspectAddressResponse__Output as Inspection } from "../proto/gen/podwire/v1/InspectAddressResponse.ts";
import type { Pod__Output as Pod } from "../proto/gen/podwire/v1/Pod.ts";
import type { Subnet__Output as Subnet } from "../proto/gen/podwire/v1/Subnet.ts";
import { formatAge, formatExpiry } from "./age.ts";
import type { Context } from "./context.ts";
import { CommandError, ExitCode, usageError } from "./exit.ts";
import { type FieldValue, renderFields } from "./fields.ts";
import { parseFormat, renderValue } from "./format.ts";
import { backendText, networks } from "./resources/network.ts";
import { nodeStatus, nodes } from "./resources/node.ts";
import { podName, pods } from "./resources/pod.ts";
import { present } from "./resources/resource.ts";
import { describeHolder, subnets } from "./resources/subnet.ts";

/** `cnictl subnet inspect`: whose address that is, from the network down to the pod. */
export async function inspectAddress(context: Context, text: string, options: { output: string }): Promise<ExitCode> {
  const format = parseFormat(options.output, ["table", "json", "yaml"] as const);
  const address = parse(text);
  using admin = await context.connect();
  const found = await admin.inspectAddress(address);
  if (found.network === null) {
    throw new CommandError(`Error from server (NotFound): ${address} belongs to none of the networks`);
  }
  if (format === "table") context.out(renderInspection(address, found, context.now()));
  else context.out(await renderValue(inspectionObject(address, found), format));
  return ExitCode.ok;
}

function parse(text: string): string {
  try {
    return parseAddress(text);
  } catch (error) {
    throw usageError((error as RangeError).message);
  }
}

/** The text for people; what is not known is left out or said in words. */
export function renderInspection(address: string, { network, subnet, node, pod }: Inspection, now: number): string {
  const fields: [string, FieldValue][] = [["Address", address]];
  if (network !== null) {
    fields.push(["Network", `${network.name} (${network.cidrs.join(",")}, ${backendText(network)})`]);
  }
  if (subnet === null) {
    fields.push(["Subnet", "<none>, no node holds one with this address"]);
    return renderFields(fields);
  }
  fields.push(
    ["Subnet", subnet.subnet],
    ["Node", describeHolder(subnet, node === null ? undefined : nodeStatus(node))],
    ["Node addresses", subnet.addresses],
  );
  fields.push(["Lease", describeLease(subnet, now)], ["Pod", describePod(pod, now)]);
  return renderFields(fields);
}

/** `epoch 42, 3h old, expires in 21h`. */
export function describeLease({ epoch, createdAt, expiresAt, reserved }: Subnet, now: number): string {
  const expiry = formatExpiry(expiresAt, now);
  const end = reserved || expiry === "never" ? "never expires" : expiry === "expired" ? expiry : `expires in ${expiry}`;
  return `epoch ${epoch}, ${formatAge(createdAt, now)} old, ${reserved ? "reserved, " : ""}${end}`;
}

function describePod(pod: Pod | null, now: number): string {
  if (pod === null) return "<none>, the node reported no pod with this address";
  return `${podName(pod)} (container ${pod.containerId}, ${pod.interfaceName}), ${formatAge(pod.createdAt, now)} old`;
}

function inspectionObject(address: string, { network, subnet, node, pod }: Inspection): object {
  return {
    apiVersion: "podwire.io/v1",
    kind: "AddressInspection",
    metadata: { name: address },
    status: present({
      network: network === null ? undefined : networks.toObject(network),
      subnet: subnet === null ? undefined : subnets.toObject(subnet),
      node: node === null ? undefined : nodes.toObject({ node, newest: node.appliedRevision }),
      pod: pod === null ? undefined : pods.toObject(pod),
    }),
  };
}
