import { Reader } from "../netlink/bytes.ts";
import { Control, decodeOutcome, type Message } from "../netlink/message.ts";
import { decodeAddress } from "./address.ts";
import { linkMessage } from "./link-message.ts";
import { messageTypeName, Rtm } from "./message-types.ts";
import { decodeFdb, decodeNeighbour } from "./neighbour.ts";
import { decodeRoute } from "./route.ts";
import { decodeRule } from "./rule.ts";
import { decodeClass, decodeFilter, decodeQdisc } from "./tc.ts";

/** Says a message of NETLINK_ROUTE in words; undefined when it cannot be decoded. */
export function describeRouteMessage(message: Message): string | undefined {
  if (message.type === Control.done) return "done";
  if (message.type === Control.error) return describeOutcome(message);
  try {
    return `${messageTypeName(message.type)} ${JSON.stringify(decodeBody(message), printable)}`;
  } catch (error) {
    if (error instanceof RangeError) return undefined; // too short for what it should be
    throw error;
  }
}

function describeOutcome(message: Message): string {
  const { errno, extack } = decodeOutcome(message);
  return errno === 0 ? "acknowledged" : `error ${errno} ${extack ?? ""}`;
}

function decodeBody(message: Message): unknown {
  switch (message.type) {
    case Rtm.newLink:
    case Rtm.delLink:
    case Rtm.getLink:
    case Rtm.setLink:
      return linkMessage.read(new Reader(message.body)).attrs;
    case Rtm.newAddress:
    case Rtm.delAddress:
      return decodeAddress(message);
    case Rtm.newRoute:
    case Rtm.delRoute:
    case Rtm.getRoute:
      return decodeRoute(message);
    case Rtm.newNeighbour:
    case Rtm.delNeighbour:
      return decodeNeighbour(message) ?? decodeFdb(message);
    case Rtm.newRule:
    case Rtm.delRule:
      return decodeRule(message);
    case Rtm.newQdisc:
    case Rtm.delQdisc:
    case Rtm.getQdisc:
      return decodeQdisc(message);
    case Rtm.newClass:
    case Rtm.delClass:
      return decodeClass(message);
    case Rtm.newFilter:
    case Rtm.delFilter:
      return decodeFilter(message);
    default:
      return { bytes: message.body };
  }
}

function printable(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
}
