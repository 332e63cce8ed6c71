import type { Context } from "./context.ts";
import { ExitCode } from "./exit.ts";
import { parseSubnet } from "./subnet-reserve.ts";

/** `cnictl subnet release`: takes a lease or reservation away; the node that held it is fenced. */
export async function releaseSubnet(
  context: Context,
  text: string,
  { network, force = false }: { network: string; force?: boolean },
): Promise<ExitCode> {
  const subnet = parseSubnet(text);
  using admin = await context.connect();
  await admin.releaseSubnet({ network, subnet, force });
  context.out(`subnet/${subnet} released\n`);
  return ExitCode.ok;
}
