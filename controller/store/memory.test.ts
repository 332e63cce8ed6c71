import t from "tap";
import { storeContract } from "./contract.ts";
import { MemoryStore } from "./memory.ts";

storeContract(t, {
  open: async () => new MemoryStore(),
  compact: async (store, revision) => (store as MemoryStore).compact(revision),
});
