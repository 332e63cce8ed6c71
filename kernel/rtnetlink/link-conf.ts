import { type Attrs, attrs, type Codec, s32 } from "../netlink/attrs.ts";

/** IPV4_DEVCONF_*, <linux/ip.h>: values of net/ipv4/conf/NAME, by their number. */
const ipv4 = { forwarding: [1, s32], acceptRedirects: [4, s32], arpNotify: [22, s32] } as const;
export type Ipv4Conf = Attrs<typeof ipv4>;

/** DEVCONF_*, <linux/ipv6.h>: values of net/ipv6/conf/NAME, by their place. */
const ipv6 = { acceptRa: 3, acceptRedirects: 4, disableIpv6: 26, acceptDad: 27 } as const;
export type Ipv6Conf = { readonly [K in keyof typeof ipv6]?: number };

const ipv4Orders: Codec<Ipv4Conf> = attrs(ipv4);
const ipv4Array: Codec<Ipv4Conf> = array({
  forwarding: ipv4.forwarding[0] - 1,
  acceptRedirects: ipv4.acceptRedirects[0] - 1,
  arpNotify: ipv4.arpNotify[0] - 1,
});

/** IFLA_INET_CONF: the kernel tells an array, and takes attributes. */
export const ipv4Conf: Codec<Ipv4Conf> = {
  nested: true,
  write: ipv4Orders.write,
  read: (from) => (from.nested ? ipv4Orders : ipv4Array).read(from),
};

/** IFLA_INET6_CONF: told, never taken. */
export const ipv6Conf: Codec<Ipv6Conf> = array(ipv6);

/** An array of numbers, of which these places are known. Those beyond its end are not this kernel's and stay out. */
function array<N extends string>(places: Readonly<Record<N, number>>): Codec<{ readonly [K in N]?: number }> {
  const entries = Object.entries<number>(places) as [N, number][];
  const length = 1 + Math.max(...entries.map(([, place]) => place));
  return {
    write(to, values) {
      const numbers = new Uint32Array(length);
      for (const [name, place] of entries) numbers[place] = values[name] ?? 0;
      to.bytes(new Uint8Array(numbers.buffer));
    },
    read(from) {
      const values: { [K in N]?: number } = {};
      for (const [name, place] of entries) {
        const value = from.peek(4 * place);
        if (value !== undefined) values[name] = value | 0;
      }
      return values;
    },
  };
}
