import { ROUTE_PROTOCOL } from "../kernel/mark.ts";
import { addAddress, deleteAddress, listAddresses } from "../kernel/rtnetlink/address.ts";
import {
  deleteFdb,
  deleteNeighbour,
  listFdb,
  listNeighbours,
  replaceFdb,
  replaceNeighbour,
} from "../kernel/rtnetlink/neighbour.ts";
import type { RouteSocket } from "../kernel/rtnetlink/socket.ts";
import { isLinkLocal } from "../net/address.ts";
import { prefixAddress } from "../net/prefix.ts";
import type { DesiredAddress, DesiredFdbEntry, DesiredNeighbour } from "../overlay/state.ts";
import type { Kind } from "../reconcile/step.ts";
import { deviceIndex, inScope, overlayLinks, type Scope } from "./scope.ts";

/** Addresses on our overlay devices; the kernel's own link-local ones stay. */
export function addressKind(rt: RouteSocket, scope: Scope): Kind<DesiredAddress> {
  return {
    name: "address",
    key: ({ device, address }) => `${address} dev ${device}`,
    list: () =>
      overlayLinks(rt, scope).flatMap(({ name, index }) =>
        listAddresses(rt, { index })
          .filter(({ address }) => !isLinkLocal(prefixAddress(address)) && inScope(scope, address))
          .map(({ address }) => ({ device: name, address })),
      ),
    same: () => true,
    put: ({ device, address }) => addAddress(rt, { index: deviceIndex(rt, device), address, noDad: true }),
    remove: ({ device, address }) =>
      deleteAddress(rt, { index: deviceIndex(rt, device), address }, { missingOk: true }),
  };
}

/** Permanent neighbours on our overlay devices. */
export function neighbourKind(rt: RouteSocket, scope: Scope): Kind<DesiredNeighbour> {
  return {
    name: "neighbour",
    key: ({ device, address }) => `${address} dev ${device}`,
    list: () =>
      overlayLinks(rt, scope).flatMap(({ name, index }) =>
        listNeighbours(rt, { index }).flatMap(({ address, mac, state }) =>
          state === "permanent" && mac !== undefined ? [{ device: name, address, mac }] : [],
        ),
      ),
    same: (existing, wanted) => existing.mac === wanted.mac,
    put: ({ device, address, mac }) =>
      replaceNeighbour(rt, { index: deviceIndex(rt, device), address, mac, protocol: ROUTE_PROTOCOL }),
    remove: ({ device, address }) =>
      deleteNeighbour(rt, { index: deviceIndex(rt, device), address }, { missingOk: true }),
  };
}

/** Forwarding entries of our overlay devices (bridge fdb … self). */
export function fdbKind(rt: RouteSocket, scope: Scope): Kind<DesiredFdbEntry> {
  return {
    name: "fdb",
    key: ({ device, mac }) => `${mac} dev ${device}`,
    list: () =>
      overlayLinks(rt, scope).flatMap(({ name, index }) =>
        listFdb(rt, { index }).flatMap(({ mac, dst }) => (dst === undefined ? [] : [{ device: name, mac, dst }])),
      ),
    same: (existing, wanted) => existing.dst === wanted.dst,
    put: ({ device, mac, dst }) => replaceFdb(rt, { index: deviceIndex(rt, device), mac, dst, self: true }),
    remove: ({ device, mac, dst }) =>
      deleteFdb(rt, { index: deviceIndex(rt, device), mac, dst, self: true }, { missingOk: true }),
  };
}
