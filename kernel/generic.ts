import { isNetlinkError } from "./netlink/error.ts";
import { familyId, openGeneric } from "./netlink/generic.ts";

/** Whether the kernel has that generic netlink family; it loads the module that has it when it can. @throws NetlinkError */
export function hasGenericFamily(name: string): boolean {
  using socket = openGeneric();
  try {
    familyId(socket, name);
    return true;
  } catch (error) {
    if (isNetlinkError(error, "ENOENT")) return false;
    throw error;
  }
}
