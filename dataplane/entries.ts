import { ROUTE_PROTOCOL } from "../kernel/mark.ts";
import { addAddress, deleteAddress, listAddresses } from "../kernel/rtnetlink/address.ts";
import {
  deleteFdb,
  deleteNeighbour,
  listFdb,
  listNeighbours,
  replaceFdb,
  replaceFdbs,
  replaceNeighbour,
  replaceNeighbours,
} from "../kernel/rtnetlink/neighbour.ts";
import { isLinkLocal } from "../net/address.ts";
import { prefixAddress } from "../net/prefix.ts";
import type { DesiredAddress, DesiredFdbEntry, DesiredNeighbour } from "../overlay/state.ts";
import type { Kind } from "../reconcile/step.ts";
import type { Context } from "./apply.ts";
import { putTogether } from "./batch.ts";
import { inScope } from "./scope.ts";

/** Addresses on our overlay devices; the kernel's own link-local ones stay. */
export function addressKind({ rt, scope, devices }: Context): Kind<DesiredAddress> {
  return {
    name: "address",
    key: ({ device, address }) => `${address} dev ${device}`,
    list: () =>
      devices.overlays().flatMap(({ name, index }) =>
        listAddresses(rt, { index })
          .filter(({ address }) => !isLinkLocal(prefixAddress(address)) && inScope(scope, address))
          .map(({ address }) => ({ device: name, address })),
      ),
    same: () => true,
    put: ({ device, address }) => addAddress(rt, { index: devices.indexOf(device), address, noDad: true }),
    remove: ({ device, address }) =>
      deleteAddress(rt, { index: devices.indexOf(device), address }, { missingOk: true }),
  };
}

/** Permanent neighbours on our overlay devices. */
export function neighbourKind({ rt, devices }: Context): Kind<DesiredNeighbour> {
  const translate = ({ device, address, mac }: DesiredNeighbour) => ({
    index: devices.indexOf(device),
    address,
    mac,
    protocol: ROUTE_PROTOCOL,
  });
  return {
    name: "neighbour",
    key: ({ device, address }) => `${address} dev ${device}`,
    list: () =>
      devices
        .overlays()
        .flatMap(({ name, index }) =>
          listNeighbours(rt, { index }).flatMap(({ address, mac, state }) =>
            state === "permanent" && mac !== undefined ? [{ device: name, address, mac }] : [],
          ),
        ),
    same: (existing, wanted) => existing.mac === wanted.mac,
    put: (item) => replaceNeighbour(rt, translate(item)),
    putAll: (puts) => putTogether(puts, translate, (all) => replaceNeighbours(rt, all)),
    remove: ({ device, address }) =>
      deleteNeighbour(rt, { index: devices.indexOf(device), address }, { missingOk: true }),
  };
}

/** Forwarding entries of our overlay devices (bridge fdb … self). */
export function fdbKind({ rt, devices }: Context): Kind<DesiredFdbEntry> {
  const translate = ({ device, mac, dst }: DesiredFdbEntry) => ({
    index: devices.indexOf(device),
    mac,
    dst,
    self: true,
  });
  return {
    name: "fdb",
    key: ({ device, mac }) => `${mac} dev ${device}`,
    list: () =>
      devices
        .overlays()
        .flatMap(({ name, index }) =>
          listFdb(rt, { index }).flatMap(({ mac, dst }) => (dst === undefined ? [] : [{ device: name, mac, dst }])),
        ),
    same: (existing, wanted) => existing.dst === wanted.dst,
    put: (item) => replaceFdb(rt, translate(item)),
    putAll: (puts) => putTogether(puts, translate, (all) => replaceFdbs(rt, all)),
    remove: (item) => deleteFdb(rt, translate(item), { missingOk: true }),
  };
}
