import t from "tap";
import { applyLease, applySnapshot, EMPTY_STATE } from "./cluster-state.ts";
import { lease, network, snapshot, subnet } from "./fixture.ts";
import { decodeSavedState, encodeSavedState } from "./saved-state.ts";

const told = applySnapshot(EMPTY_STATE, snapshot(9, [network("a")], [subnet("10.244.1.0/24", "n1")]), 0);
const STATE = applyLease(told, lease("a"));

t.test("what was saved is read back", async (t) => {
  const saved = { state: STATE, controllerAddress: "192.0.2.1" };
  t.strictSame(decodeSavedState(encodeSavedState(saved)), saved);
  const lapsed = { state: applySnapshot(STATE, snapshot(1, [], []), 5), controllerAddress: undefined };
  t.strictSame(decodeSavedState(encodeSavedState(lapsed)), lapsed);
});

t.test("a file of a newer agent is refused with both versions", async (t) => {
  const future = encodeSavedState({ state: STATE, controllerAddress: undefined }).replace('"version":1', '"version":2');
  t.throws(() => decodeSavedState(future), { message: /version 2, written by a newer agent; this one reads up to 1/ });
});

t.test("what has another shape is refused with the place, and never half used", async (t) => {
  const good = JSON.parse(encodeSavedState({ state: STATE, controllerAddress: undefined }));
  const bad: readonly (readonly [change: object, message: RegExp])[] = [
    [{ networks: undefined }, /^networks is missing/],
    [{ networks: {} }, /^networks is/],
    [{ networks: [null] }, /^networks\[0\] is/],
    [{ networks: [{ ...good.networks[0], cidrs: [7] }] }, /^networks\[0\]\.cidrs\[0\] is/],
    [{ subnets: [{ ...good.subnets[0], epoch: "1" }] }, /^subnets\[0\]\.epoch is/],
    [{ leases: [{ ...good.leases[0], subnets: [{}] }] }, /^leases\[0\]\.subnets\[0\]\.subnet is/],
    [{ revision: null }, /^revision is/],
    [{ remembered: { until: 1, networks: [], subnets: "" } }, /^remembered\.subnets is/],
  ];
  for (const [change, message] of bad)
    t.throws(() => decodeSavedState(JSON.stringify({ ...good, ...change })), { message });
  for (const text of ["", "null", "[]", "7", '"x"', "{}", '{"version":1']) t.throws(() => decodeSavedState(text), text);
});
