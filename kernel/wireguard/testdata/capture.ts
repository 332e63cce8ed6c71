// Makes wireguard.hex beside it: runs wg(8) under strace(1) in a fresh network namespace each, and writes down the message
// that changes something, or (for "show") all that the kernel answers, under the command that made it.
// Needs root, iproute2, wireguard-tools, strace and a kernel with WireGuard.
// Run: hack/guest --rw kernel/wireguard/testdata node --import=tsx kernel/wireguard/testdata/capture.ts
import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Keys for nothing but this: the bytes 1, 2, … 32 and so on, so that they are found in the messages. */
const [OWN, PEER, PSK] = [0x01, 0x41, 0x81].map((from) => Buffer.from(Array.from({ length: 32 }, (_, i) => from + i)));
const folder = mkdtempSync(join(tmpdir(), "podwire-capture-"));
for (const [name, key] of Object.entries({ own: OWN, psk: PSK })) {
  writeFileSync(join(folder, name), `${key?.toString("base64")}\n`, { mode: 0o600 });
}
const peer = PEER?.toString("base64");

const LINK = "ip link add wg0 type wireguard";
const DEVICE = `${LINK}; wg set wg0 listen-port 51820 private-key own`;
const FULL = `${DEVICE}; wg set wg0 peer ${peer} preshared-key psk endpoint 192.0.2.2:51820 allowed-ips 10.244.2.0/24,fd00:244:0:2::/64`;
const ROWS: readonly [setup: string, command: string][] = [
  [LINK, "wg set wg0 listen-port 51820 private-key own"],
  [
    DEVICE,
    `wg set wg0 peer ${peer} preshared-key psk endpoint 192.0.2.2:51820 persistent-keepalive 0 allowed-ips 10.244.2.0/24,fd00:244:0:2::/64`,
  ],
  [DEVICE, `wg set wg0 peer ${peer} endpoint [2001:db8::2]:51821`],
  [FULL, `wg set wg0 peer ${peer} remove`],
  [LINK, "wg show wg0 dump"],
  [FULL, "wg show wg0 dump"],
];

/** strace's hex dump: " | 00000  34 00 00 00 10 00 05 06  …   4....... |". */
function dumpsOf(trace: string): { sent: boolean; hex: string }[] {
  const dumps: { sent: boolean; hex: string }[] = [];
  let sent = false;
  for (const line of trace.split("\n")) {
    if (/^(sendmsg|sendto)\(/.test(line)) sent = true;
    if (/^(recvmsg|recvfrom)\(/.test(line)) sent = false;
    const [, offset, bytes = ""] = /^ \| ([0-9a-f]+) {2}((?:[0-9a-f]{2} {1,2})+)/.exec(line) ?? [];
    if (offset === undefined) continue;
    if (Number.parseInt(offset, 16) === 0) dumps.push({ sent, hex: "" });
    const last = dumps.at(-1);
    if (last !== undefined) last.hex += bytes.replaceAll(" ", "");
  }
  return dumps;
}

/** GENL_ID_CTRL, <linux/genetlink.h>: the question which number the family has. */
const CONTROL = 16;

function capture(setup: string, command: string): string {
  const strace = "strace -qq -e trace=sendmsg,sendto,recvmsg,recvfrom -e write=all -e read=all";
  const run = spawnSync("unshare", ["-n", "sh", "-ec", `${setup}\n${strace} ${command}`], {
    encoding: "utf8",
    cwd: folder,
  });
  if (run.status !== 0) throw new Error(`${command}: ${run.stderr}`);
  const shows = command.includes(" show ");
  const wanted = dumpsOf(run.stderr).filter(({ sent, hex }) => {
    const message = Buffer.from(hex, "hex");
    const [type, flags] = [message.readUInt16LE(4), message.readUInt16LE(6)];
    return type > CONTROL && (shows ? !sent : sent && (flags & 0x300) === 0);
  });
  if (wanted.length === 0) throw new Error(`${command}: nothing captured\n${run.stderr}`);
  return `# ${command}\n${wanted.map(({ hex }) => hex).join("")}\n`;
}

const text = ROWS.map(([setup, command]) => capture(setup, command)).join("");
writeFileSync(new URL("wireguard.hex", import.meta.url), text);
