import { attrs, type Codec, flag, string, u32 } from "./netlink/attrs.ts";
import { NLA_F_NESTED, Reader, type Writer } from "./netlink/bytes.ts";
import { familyId, genericHeader, openGeneric, writeGenericHeader } from "./netlink/generic.ts";

/** Of the generic netlink family "ethtool". */
const VERSION = 1;

/** ETHTOOL_MSG_FEATURES_*, <linux/ethtool_netlink.h>. */
const FEATURES_GET = 11;
const FEATURES_SET = 12;
/** ETHTOOL_A_BITSET_BIT_*: with a mask, a bit is named and has its value or not; a list without one names the bits that are set. */
const bit = attrs({ index: [1, u32], name: [2, string], value: [3, flag] });
const ETHTOOL_A_BITSET_BITS_BIT = 1;
const bits: Codec<readonly { readonly name?: string | undefined; readonly value?: boolean | undefined }[]> = {
  nested: true,
  write(to, values) {
    for (const value of values) to.attribute(ETHTOOL_A_BITSET_BITS_BIT | NLA_F_NESTED, () => bit.write(to, value));
  },
  read(from) {
    const found: { readonly name?: string | undefined }[] = [];
    from.attributes([undefined, bit], (codec) => found.push(codec.read(from)));
    return found;
  },
};
/** ETHTOOL_A_BITSET_*, ETHTOOL_A_HEADER_*, ETHTOOL_A_FEATURES_* */
const bitset = attrs({ noMask: [1, flag], size: [2, u32], bits: [3, bits] });
const header = attrs({ deviceIndex: [1, u32] });
const features = attrs({ header: [1, header], wanted: [3, bitset], active: [4, bitset] });

/** Devices with it are given packets with unfinished checksums: NETIF_F_HW_CSUM. All of the kernel's tunnels have it. */
const TX_CHECKSUM = "tx-checksum-ip-generic";

/** Whether the device finishes the checksums of what it sends: "tx-checksum-ip-generic" of `ethtool -k`. @throws NetlinkError */
export function txChecksum(index: number): boolean {
  using ethtool = new Ethtool();
  return ethtool.hasTxChecksum(index);
}

/**
 * `ethtool -K DEV tx-checksum-ip-generic on|off`. Off: the kernel finishes checksums before the device gets the packets.
 * @returns whether it is so now
 * @throws NetlinkError ENODEV; ENOENT from a kernel without ethtool netlink (before 5.6)
 */
export function setTxChecksum(index: number, on: boolean): boolean {
  using ethtool = new Ethtool();
  ethtool.setTxChecksum(index, on);
  return ethtool.hasTxChecksum(index) === on;
}

/** A socket to the family "ethtool". */
class Ethtool implements Disposable {
  readonly #socket = openGeneric();
  readonly #family: number;

  constructor() {
    try {
      this.#family = familyId(this.#socket, "ethtool");
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  hasTxChecksum(index: number): boolean {
    const body = (to: Writer) => {
      writeGenericHeader(to, FEATURES_GET, VERSION);
      features.write(to, { header: { deviceIndex: index } });
    };
    const answer = this.#socket.ask({ type: this.#family, body, label: `ETHTOOL_MSG_FEATURES_GET ${index}` });
    const from = new Reader(answer.body);
    genericHeader.read(from);
    const { active } = features.read(from);
    return active?.bits?.some(({ name }) => name === TX_CHECKSUM) ?? false;
  }

  setTxChecksum(index: number, on: boolean): void {
    const body = (to: Writer) => {
      writeGenericHeader(to, FEATURES_SET, VERSION);
      features.write(to, { header: { deviceIndex: index }, wanted: { bits: [{ name: TX_CHECKSUM, value: on }] } });
    };
    this.#socket.execute({ type: this.#family, body, label: `ETHTOOL_MSG_FEATURES_SET ${index} ${TX_CHECKSUM}` });
  }
}
