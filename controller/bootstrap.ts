import { checkNetwork, type NetworkRecord, networkKey } from "./core/record.ts";
import { checkName } from "./core/validate.ts";
import type { Store } from "./store/store.ts";

/** Says that the first network was made, so that one an administrator deleted does not come back at the next start. */
const MARK = "meta/initialized";

/**
 * Makes the default network in a store that never had one. Of several controllers that start at once, one does it.
 * @throws RequestError when the network is not valid
 */
export async function createFirstNetwork(store: Store, name: string, network: object, now: number): Promise<boolean> {
  const record: NetworkRecord = checkNetwork({ ...network, createdAt: now });
  const key = networkKey(checkName("--network-name", name));
  const { succeeded } = await store.transact({
    when: [
      { key: MARK, createRevision: 0 },
      { key, createRevision: 0 },
    ],
    change: [
      { put: MARK, value: "{}" },
      { put: key, value: JSON.stringify(record) },
    ],
  });
  return succeeded;
}

/** Keeps {@link createFirstNetwork} from doing anything, because networks come from elsewhere. */
export async function markInitialized(store: Store): Promise<void> {
  await store.transact({ when: [{ key: MARK, createRevision: 0 }], change: [{ put: MARK, value: "{}" }] });
}
