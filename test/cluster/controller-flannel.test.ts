import t from "tap";
import { Testbed } from "../../controller/core/testbed.ts";
import { openEtcdClient } from "../../controller/store/etcd.ts";
import { importFlannel } from "../../controller/store/flannel.ts";
import { EtcdProcess } from "./controller-etcd.ts";

const etcd = await EtcdProcess.start();
t.teardown(() => etcd[Symbol.asyncDispose]());
const HOUR = 3_600_000;

t.test(
  "a flannel cluster is taken over: network, leases with their nodes and expiry, and F3: reservations that last",
  async (t) => {
    const client = openEtcdClient({ endpoints: [etcd.endpoint] });
    const prefix = "/coreos.com/network";
    const config = {
      Network: "10.5.0.0/16",
      EnableIPv6: true,
      IPv6Network: "fc00::/48",
      Backend: { Type: "vxlan", DirectRouting: true },
    };
    const put = (key: string, value: object | string, lease?: string) =>
      client.kv.put({
        key: Buffer.from(prefix + key),
        value: Buffer.from(typeof value === "string" ? value : JSON.stringify(value)),
        ...(lease === undefined ? {} : { lease }),
      });
    const { ID } = await client.leaseClient.leaseGrant({ TTL: 3600, ID: 0 });
    await put("/config", config);
    const data = (mac: string) => ({ VNI: 1, VtepMAC: mac });
    await put(
      "/subnets/10.5.52.0-24&fc00:0:0:7::-64",
      {
        PublicIP: "198.51.100.1",
        PublicIPv6: "2001:db8::1",
        BackendType: "vxlan",
        BackendData: data("0e:00:00:00:00:01"),
        BackendV6Data: data("0e:00:00:00:00:06"),
      },
      ID,
    );
    await put(
      "/subnets/10.5.60.0-24",
      { PublicIP: "198.51.100.2", BackendType: "vxlan", BackendData: data("0e:00:00:00:00:02") },
      ID,
    );
    await put("/subnets/10.5.70.0-24", { PublicIP: "198.51.100.3", BackendType: "vxlan", BackendData: null });
    await put("/subnets/10.99.0.0-24", { PublicIP: "198.51.100.4" });
    await put("/subnets/10.5.80.0-24", { PublicIP: "224.0.0.1" });
    await put("/subnets/garbage", "{");

    const bed = await Testbed.start({});
    const options = { endpoints: [etcd.endpoint], prefix };
    t.same(await importFlannel(bed.store, options, "default", bed.clock.now()), {
      leases: 3,
      reservations: 1,
      skipped: 3,
    });
    t.match(
      await importFlannel(bed.store, options, "default", bed.clock.now()),
      { leases: 0, reservations: 0 },
      "once is enough",
    );
    await bed.clock.advance(100);
    const [network] = bed.controllers[0]?.mirror.state.networks.values() ?? [];
    t.match(network, {
      cidrs: ["10.5.0.0/16", "fc00::/48"],
      backend: { type: "vxlan", mode: "static", vni: 1, port: 8472, directRouting: true },
    });

    const node = bed.join("a", { addresses: ["198.51.100.1", "2001:db8::1"] });
    const stranger = bed.join("z", { addresses: ["198.51.100.50"] });
    await bed.clock.advance(100);
    t.same(
      node.held().map(({ subnet }) => subnet),
      ["10.5.52.0/24", "fc00:0:0:7::/64"],
      "the machine keeps its subnets",
    );
    const snapshot = stranger.messages().find((message) => message.snapshot)?.snapshot;
    const flannels = snapshot?.subnets.find(({ subnet }) => subnet === "10.5.60.0/24");
    t.match(
      flannels,
      { addresses: ["198.51.100.2"], vtepMac: "0e:00:00:00:00:02", nodeId: "" },
      "machines that still run flannel are reached",
    );
    // etcd's clock goes on meanwhile, the test's does not.
    const rest = (flannels?.expiresAt ?? 0) - bed.clock.now();
    t.ok(rest <= HOUR && rest > HOUR / 2, `until their lease ends, in ${rest} ms`);
    t.same(
      stranger.held().map(({ subnet }) => subnet),
      ["10.5.0.0/24", "fc00::/64"],
    );
    await bed.clock.advance(3 * HOUR);
    t.notOk(stranger.view().has("default 10.5.60.0/24"), "a lease that flannel did not renew ends");
    t.ok(stranger.view().has("default 10.5.70.0/24"), "a key without a lease is a reservation and stays");
    const back = bed.join("c", { addresses: ["198.51.100.3"] });
    await bed.clock.advance(100);
    t.match(
      back.lease(),
      { state: "LEASE_STATE_HELD", expiresAt: bed.clock.now() + 24 * HOUR - 100 },
      "its IPv6 subnet is a lease",
    );
    t.equal(back.held()[0]?.subnet, "10.5.70.0/24");
    client.close();
  },
);

t.test("flannel backends that we cannot serve are refused in words", async (t) => {
  const client = openEtcdClient({ endpoints: [etcd.endpoint] });
  await client.kv.put({
    key: Buffer.from("/other/config"),
    value: Buffer.from('{"Network":"10.6.0.0/16","Backend":{"Type":"udp"}}'),
  });
  const bed = await Testbed.start({});
  const read = (prefix: string) => importFlannel(bed.store, { endpoints: [etcd.endpoint], prefix }, "default", 0);
  await t.rejects(read("/other"), { status: "INVALID_ARGUMENT", message: /Backend\.Type: "udp" cannot be taken over/ });
  await t.rejects(read("/nothing"), { status: "INVALID_ARGUMENT", message: /PREFIX\/config is missing/ });
  client.close();
});
