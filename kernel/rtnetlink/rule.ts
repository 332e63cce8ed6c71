import type { Family } from "../../net/address.ts";
import { makePrefix, type Prefix, prefixAddress, prefixLength } from "../../net/prefix.ts";
import { type Attrs, attrs, ip, named, string, struct, u8, u32, type Value } from "../netlink/attrs.ts";
import { Reader, type Writer } from "../netlink/bytes.ts";
import { isNetlinkError } from "../netlink/error.ts";
import { Flag, type Message } from "../netlink/message.ts";
import { Af, familyNumber, Rtm } from "./message-types.ts";
import { Table } from "./route.ts";
import type { RouteSocket } from "./socket.ts";

/** FR_ACT_*, <linux/fib_rules.h>. */
const ruleAction = named(u8, { unspec: 0, table: 1, goto: 2, nop: 3, blackhole: 6, unreachable: 7, prohibit: 8 });
export type RuleAction = Value<typeof ruleAction>;

/** FIB_RULE_INVERT */
const INVERT = 0x2;
/** suppress_prefixlength of a rule that suppresses nothing. */
const NO_SUPPRESSION = 0xffffffff;

/** struct fib_rule_hdr, <linux/fib_rules.h>. */
const header = struct({
  family: u8,
  dstLength: u8,
  srcLength: u8,
  tos: u8,
  table: u8,
  reserved1: u8,
  reserved2: u8,
  action: ruleAction,
  flags: u32,
});

/** FRA_*, <linux/fib_rules.h>. */
const fields = {
  dst: [1, ip],
  src: [2, ip],
  iif: [3, string],
  goto: [4, u32],
  priority: [6, u32],
  mark: [10, u32],
  suppressPrefixLength: [14, u32],
  table: [15, u32],
  mask: [16, u32],
  oif: [17, string],
  protocol: [21, u8],
} as const;
const ruleAttrs = attrs(fields);

/** A policy routing rule: `ip rule`. */
export interface Rule {
  readonly family: Family;
  /** FRA_PRIORITY; the kernel picks one below the lowest when absent. */
  readonly priority?: number | undefined;
  readonly src?: Prefix | undefined;
  readonly dst?: Prefix | undefined;
  readonly iif?: string | undefined;
  readonly oif?: string | undefined;
  readonly mark?: number | undefined;
  readonly mask?: number | undefined;
  readonly table?: number | undefined;
  readonly action?: RuleAction | undefined;
  /** FRA_GOTO: priority of the target rule. */
  readonly goto?: number | undefined;
  readonly suppressPrefixLength?: number | undefined;
  readonly protocol?: number | undefined;
  readonly invert?: boolean | undefined;
}

/** `ip rule show`, of both families unless one is given. */
export function listRules(
  rt: RouteSocket,
  filter: { family?: Family | undefined; protocol?: number | undefined } = {},
): Rule[] {
  const families: readonly Family[] = filter.family === undefined ? [4, 6] : [filter.family];
  const rules = families.flatMap((family) => {
    const body = (to: Writer) => header.write(to, { ...EMPTY, family: familyNumber(family) });
    return rt.dump({ type: Rtm.getRule, body, label: "RTM_GETRULE" }, decodeRule);
  });
  return filter.protocol === undefined ? rules : rules.filter((rule) => rule.protocol === filter.protocol);
}

/** `ip rule add`. @throws NetlinkError EEXIST */
export function addRule(rt: RouteSocket, rule: Rule): void {
  execute(rt, Rtm.newRule, Flag.create | Flag.excl, rule);
}

/** `ip rule del`: the first rule that matches all that is given. @throws NetlinkError ENOENT unless missingOk */
export function deleteRule(rt: RouteSocket, rule: Rule, options: { missingOk?: boolean } = {}): void {
  try {
    execute(rt, Rtm.delRule, 0, rule);
  } catch (error) {
    if (!(options.missingOk && isNetlinkError(error, "ENOENT"))) throw error;
  }
}

const EMPTY = {
  family: 0,
  dstLength: 0,
  srcLength: 0,
  tos: 0,
  table: 0,
  reserved1: 0,
  reserved2: 0,
  action: 0,
  flags: 0,
} as const;

function execute(rt: RouteSocket, type: number, flags: number, rule: Rule): void {
  const label = `${type === Rtm.newRule ? "RTM_NEWRULE" : "RTM_DELRULE"} ${rule.priority ?? "without priority"}`;
  rt.execute({ type, flags, body: (to) => writeRule(to, rule, type === Rtm.delRule), label });
}

function writeRule(to: Writer, rule: Rule, deletes: boolean): void {
  const { family, src, dst, iif, oif, mark, mask, priority, protocol, suppressPrefixLength, invert } = rule;
  const action = rule.action ?? (deletes ? "unspec" : "table");
  const table = rule.table ?? (action === "table" ? Table.main : undefined);
  header.write(to, {
    ...EMPTY,
    family: familyNumber(family),
    dstLength: dst === undefined ? 0 : prefixLength(dst),
    srcLength: src === undefined ? 0 : prefixLength(src),
    table: table !== undefined && table < 256 ? table : 0,
    action,
    flags: invert ? INVERT : 0,
  });
  ruleAttrs.write(to, {
    dst: hasBits(dst) ? prefixAddress(dst) : undefined,
    src: hasBits(src) ? prefixAddress(src) : undefined,
    iif,
    oif,
    goto: rule.goto,
    priority,
    mark,
    mask,
    suppressPrefixLength,
    table,
    protocol,
  });
}

/** The kernel refuses an address of length 0. */
function hasBits(prefix: Prefix | undefined): prefix is Prefix {
  return prefix !== undefined && prefixLength(prefix) > 0;
}

/** What an RTM_NEWRULE or RTM_DELRULE says; undefined for families that are not IP. */
export function decodeRule(message: Message): Rule | undefined {
  const from = new Reader(message.body);
  const head = header.read(from);
  if (head.family !== Af.inet && head.family !== Af.inet6) return undefined;
  const read: Attrs<typeof fields> = ruleAttrs.read(from);
  const { priority = 0, dst, src, iif, oif, mark, mask, protocol, suppressPrefixLength = NO_SUPPRESSION } = read;
  const table = read.table ?? head.table;
  return {
    family: head.family === Af.inet ? 4 : 6,
    priority,
    ...(src === undefined ? {} : { src: makePrefix(src, head.srcLength) }),
    ...(dst === undefined ? {} : { dst: makePrefix(dst, head.dstLength) }),
    ...(iif === undefined ? {} : { iif }),
    ...(oif === undefined ? {} : { oif }),
    ...(mark === undefined ? {} : { mark }),
    ...(mask === undefined ? {} : { mask }),
    action: head.action,
    ...(table === 0 ? {} : { table }),
    ...(read.goto === undefined ? {} : { goto: read.goto }),
    ...(suppressPrefixLength === NO_SUPPRESSION ? {} : { suppressPrefixLength }),
    ...(protocol === undefined ? {} : { protocol }),
    ...(head.flags & INVERT ? { invert: true } : {}),
  };
}
