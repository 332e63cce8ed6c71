import { readFileSync } from "node:fs";
import t from "tap";
import { Reader } from "../netlink/bytes.ts";
import { decodeMessages, encodeMessage, Flag, type Message } from "../netlink/message.ts";
import type { Request } from "../netlink/socket.ts";
import {
  createElements,
  deleteElements,
  type NftElement,
  nftHeader,
  readElements,
  transactionOf,
} from "./element-message.ts";

/** What nft(8) 1.0.6 sent, under its command (by `strace -e trace=sendmsg -e write=all`). */
const CAPTURED = readFileSync(new URL("testdata/element.hex", import.meta.url), "utf8");

const EGRESS = { family: "inet", table: "podwire", set: "egress4" } as const;
const MACS = { family: "bridge", table: "podwire", set: "port_macs" } as const;
const OWNER = "0123456789abcdef";
const pod: NftElement = { of: EGRESS, key: Uint8Array.of(10, 22, 0, 2), comment: OWNER, goto: "net_a" };
const port: NftElement = {
  of: MACS,
  key: Buffer.concat([Buffer.from("pw0123456789ab\0\0"), Buffer.from("0a580a1600020000", "hex")]),
  comment: OWNER,
};

function captured(command: string): Message[] {
  const lines = CAPTURED.split("\n");
  const hex = lines[lines.indexOf(`# nft '${command}'`) + 1] ?? "";
  return [...decodeMessages(Uint8Array.from(Buffer.from(hex, "hex")))];
}

function sent(order: Request): Message[] {
  return transactionOf([order]).flatMap(({ type, flags = 0, body }, sequence) => [
    ...decodeMessages(encodeMessage({ type, flags: Flag.request | flags, sequence }, body)),
  ]);
}

/** NFTA_SET_ELEM_LIST_SET_ID is for sets made in the same transaction. */
function hexOf({ type, flags, sequence, body }: Message): string {
  const withoutSetId = Buffer.from(body)
    .toString("hex")
    .replace(/080004000000000[0-9]/, "");
  return [type, flags, sequence, withoutSetId].join(" ");
}

for (const [command, order] of [
  [`create element inet podwire egress4 { 10.22.0.2 comment "${OWNER}" : goto net_a }`, createElements(EGRESS, [pod])],
  [
    `create element bridge podwire port_macs { "pw0123456789ab" . 0a:58:0a:16:00:02 comment "${OWNER}" }`,
    createElements(MACS, [port]),
  ],
  ["delete element inet podwire egress4 { 10.22.0.2 }", deleteElements(EGRESS, [pod])],
] as const) {
  t.test(`nft ${command}`, async (t) => {
    t.strictSame(sent(order).map(hexOf), captured(command).map(hexOf));
  });
}

t.test("elements are read as they were written", async (t) => {
  for (const [of, list] of [
    [EGRESS, [pod, { ...pod, key: Uint8Array.of(10, 22, 0, 3), comment: undefined }]],
    [MACS, [port]],
    [EGRESS, [{ of: EGRESS, key: Uint8Array.of(10, 22, 0, 4), comment: OWNER, jump: "admin" }]],
    [
      { ...EGRESS, set: "ranges" },
      [
        {
          of: EGRESS,
          key: Uint8Array.of(10, 0, 0, 0),
          keyEnd: Uint8Array.of(10, 255, 255, 255),
          value: Uint8Array.of(0, 80, 0, 0),
        },
      ],
    ],
  ] as const) {
    const [, message] = sent(createElements(of, list));
    const from = new Reader(message?.body ?? new Uint8Array());
    nftHeader.read(from);
    const plain = (elements: readonly NftElement[]) =>
      elements.map(({ of: _, key, keyEnd = [], value = [], comment, goto, jump }) => {
        return { key: [...key], keyEnd: [...keyEnd], value: [...value], comment, goto, jump };
      });
    t.strictSame(plain(readElements(of, from)), plain(list));
  }
});

t.test("a comment that does not fit is refused", async (t) => {
  t.throws(() => sent(createElements(EGRESS, [{ ...pod, comment: "x".repeat(255) }])), /254 bytes/);
});
