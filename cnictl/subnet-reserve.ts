import { parseNetwork } from "../net/prefix.ts";
import type { Context } from "./context.ts";
import { ExitCode, usageError } from "./exit.ts";

/**
 * `cnictl subnet reserve`: gives a subnet to a node for ever, or without a node keeps it from every node.
 */
export async function reserveSubnet(
  context: Context,
  text: string,
  { network, node }: { network: string; node?: string },
): Promise<ExitCode> {
  const subnet = parseSubnet(text);
  using admin = await context.connect();
  const reserved = await admin.reserveSubnet({ network, subnet, ...(node === undefined ? {} : { node }) });
  const holder = reserved.nodeName || reserved.nodeId;
  context.out(`subnet/${reserved.subnet} reserved${holder && ` for ${holder}`}\n`);
  return ExitCode.ok;
}

/** @throws CommandError naming the text when it is not a network such as 10.244.1.0/24. */
export function parseSubnet(text: string): string {
  try {
    return parseNetwork(text);
  } catch (error) {
    throw usageError((error as RangeError).message);
  }
}
