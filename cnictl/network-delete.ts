import type { Context } from "./context.ts";
import { ExitCode } from "./exit.ts";

/** `cnictl network delete`. The controller refuses while nodes hold subnets of it. */
export async function deleteNetwork(context: Context, name: string): Promise<ExitCode> {
  using admin = await context.connect();
  await admin.deleteNetwork(name);
  context.out(`network/${name} deleted\n`);
  return ExitCode.ok;
}
