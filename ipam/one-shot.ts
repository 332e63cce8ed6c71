import { CniError } from "../cni/error.ts";
import { type Reservations, underLock } from "./disk.ts";
import { FolderStore } from "./folder-store.ts";

/** For a process that makes one call: what it learns of the folder is on disk when the lock is given back. */
export const withReservations: Reservations = (options, create, use) =>
  underLock(options, create, (folder) => {
    const store = new FolderStore(options, folder);
    try {
      const result = use(store);
      store.save();
      return result;
    } catch (error) {
      if (error instanceof CniError) store.save(); // a refusal; after any other error the next call looks for itself
      throw error;
    }
  });
