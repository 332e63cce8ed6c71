/** The plugins, by the names that runtimes execute them as. */
export const PLUGIN_NAMES = [
  "bridge",
  "ptp",
  "macvlan",
  "ipvlan",
  "vlan",
  "host-device",
  "tap",
  "dummy",
  "host-local",
  "static",
  "dhcp",
  "loopback",
  "vxlan-overlay",
  "gre-overlay",
  "tuning",
  "sbr",
  "portmap",
  "firewall",
  "vrf",
  "bandwidth",
] as const;
export type PluginName = (typeof PLUGIN_NAMES)[number];
