import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import t, { type Test } from "tap";
import { BIN, type Node, startNode } from "./harness/node.ts";
import { startUnderlay } from "./harness/underlay.ts";

/** Of containers without an image: busybox and nothing else, since no registry can be reached. */
const ROOTFS = "/run/rootfs";

const CONTAINERS_CONF = `[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
seccomp_profile = "unconfined"
[network]
network_backend = "cni"
cni_plugin_dirs = ["${BIN}", "/usr/lib/cni"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
`;
const STORAGE_CONF = `[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
`;

/**
 * Makes podman usable inside a node: its own locks, and, as crun refuses a hybrid cgroup tree, version 1 alone.
 * Containers that are left end with the test.
 */
async function preparePodman(node: Node): Promise<void> {
  await node.sh(`if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
    mount -t tmpfs shm /dev/shm
    mkdir -p /etc/containers ${ROOTFS}/bin; cd ${ROOTFS}; mkdir dev etc proc run sys tmp var
    cp "$(command -v busybox)" bin/; for name in sh ping sleep ip wget nc; do ln -s busybox bin/$name; done`);
  writeFileSync(node.path("/etc/containers/containers.conf"), CONTAINERS_CONF);
  writeFileSync(node.path("/etc/containers/storage.conf"), STORAGE_CONF);
  node.teardown(async () => void (await node.run(["podman", "rm", "--all", "--force", "--time=0"])));
}

async function startContainer(node: Node, name: string, network: string, ...flags: readonly string[]): Promise<void> {
  const limits = ["--cap-add=NET_RAW", ...flags];
  const command = ["--rootfs", ROOTFS, "/bin/sleep", "600"];
  await node.runOk(["podman", "run", "--detach", "--name", name, "--network", network, ...limits, ...command]);
}

interface Inspected {
  readonly IPAddress: string;
  readonly IPPrefixLen: number;
  readonly Gateway: string;
  readonly MacAddress: string;
}

async function inspect(node: Node, name: string, network: string): Promise<Inspected> {
  const format = "{{json .NetworkSettings.Networks}}";
  return JSON.parse(await node.runOk(["podman", "inspect", name, "--format", format]))[network];
}

async function pings(node: Node, from: string, address: string): Promise<boolean> {
  const { code } = await node.run(["podman", "exec", from, "ping", "-c3", "-i0.2", "-W10", address]);
  return code === 0;
}

/** Interface `eth0` as the container's kernel has it. */
async function eth0(node: Node, container: string): Promise<string> {
  return await node.runOk(["podman", "exec", container, "ip", "address", "show", "eth0"]);
}

interface Left {
  readonly veths: readonly string[];
  readonly reservations: readonly string[];
  readonly elements: readonly unknown[];
}

/** What attachments leave in the node: host ends of veths, address files, addresses that are keys of the podwire table's maps. */
async function held(node: Node, network: string): Promise<Left> {
  const links = JSON.parse(await node.runOk(["ip", "-j", "link", "show", "type", "veth"])) as { ifname?: string }[];
  const folder = node.path(`/var/lib/cni/networks/${network}`);
  const files = existsSync(folder) ? readdirSync(folder) : [];
  const { nftables } = JSON.parse(await node.runOk(["nft", "-j", "list", "table", "inet", "podwire"])) as {
    nftables: readonly { map?: { elem?: readonly (readonly [{ elem?: { val: unknown } } | string, unknown])[] } }[];
  };
  const keys = nftables
    .flatMap(({ map }) => map?.elem ?? [])
    .map(([key]) => (typeof key === "object" ? key.elem?.val : key));
  return {
    veths: links.map(({ ifname = "" }) => ifname).filter((name) => name.startsWith("pw")),
    reservations: files.filter((name) => /^[\d.]+$|:/.test(name)).sort(),
    elements: [...new Set(keys.filter((key) => typeof key === "string" && /^[\d.]+$/.test(key)))].sort(),
  };
}

const NOTHING: Left = { veths: [], reservations: [], elements: [] };

t.test("podman network create: the whole chain is ours, with the list unchanged", async (t) => {
  const node = await startNode(t, "podman");
  await preparePodman(node);
  await node.runOk(["podman", "network", "create", "--subnet=10.89.7.0/24", "red"]);
  const list = JSON.parse(readFileSync(node.path("/etc/cni/net.d/red.conflist"), "utf8"));
  t.match(list, {
    cniVersion: "0.4.0",
    plugins: [
      { type: "bridge", isGateway: true, ipMasq: true, hairpinMode: true, ipam: { type: "host-local" } },
      { type: "portmap" },
      { type: "firewall" },
      { type: "tuning" },
    ],
  });
  for (const type of ["bridge", "host-local", "portmap", "firewall", "tuning"])
    t.ok(existsSync(`${BIN}/${type}`), `${type} is found in ours first`);

  await startContainer(node, "one", "red", "--publish=10.89.7.1:8080:80");
  await startContainer(node, "two", "red");
  const [one, two] = [await inspect(node, "one", "red"), await inspect(node, "two", "red")];
  t.match(one, { IPAddress: "10.89.7.2", IPPrefixLen: 24, Gateway: "10.89.7.1" });
  t.match(two, { IPAddress: "10.89.7.3", IPPrefixLen: 24, Gateway: "10.89.7.1" });
  t.match(await eth0(node, "one"), /inet 10\.89\.7\.2\/24/, "podman says what the kernel has");
  t.match(await eth0(node, "one"), new RegExp(`link/ether ${one.MacAddress}`));
  t.match(await node.runOk(["podman", "exec", "one", "ip", "route"]), /default via 10\.89\.7\.1 dev eth0/);
  const now = await held(node, "red");
  t.match(now, { reservations: ["10.89.7.2", "10.89.7.3"], elements: ["10.89.7.2", "10.89.7.3"] });
  t.equal(now.veths.length, 2, "two veths with our names");

  t.ok(await pings(node, "one", two.IPAddress), "one pings two");
  t.ok(await pings(node, "two", one.IPAddress), "two pings one");
  for (const from of ["one", "two"]) t.ok(await pings(node, from, "10.89.7.1"), `${from} pings the gateway`);
  const table = ["nft", "list", "table", "inet", "podwire"];
  t.match(await node.runOk(table), /map portmap_at4 {[^}]*8080[^}]*10\.89\.7\.2/, "the published port leads to one");
  t.match(
    await node.runOk(table),
    /map firewall_pods4 {[^}]*10\.89\.7\.3/,
    "two's packets pass the administrator's chain",
  );
  t.notMatch(await node.runOk(["iptables-save"]), "CNI-", "iptables is not used");

  await node.runOk(["podman", "network", "disconnect", "red", "two"]);
  t.match(
    await held(node, "red"),
    { reservations: ["10.89.7.2"], elements: ["10.89.7.2"] },
    "disconnect takes its own",
  );
  t.ok(await pings(node, "one", "10.89.7.1"));
  await node.runOk(["podman", "network", "connect", "red", "two"]);
  t.ok(await pings(node, "one", (await inspect(node, "two", "red")).IPAddress), "connect gives it an address again");
  await node.runOk(["podman", "restart", "--time=0", "one"]);
  t.ok(await pings(node, "one", "10.89.7.1"), "a restart is DEL and ADD");
  t.equal((await held(node, "red")).veths.length, 2);

  await node.runOk(["podman", "rm", "--force", "--time=0", "one", "two"]);
  t.strictSame(await held(node, "red"), NOTHING, "rm leaves nothing");
  t.notMatch(await node.runOk(table), /10\.89\.7\.[23]\b/, "and nothing of the plugins behind it");
});

t.test("podman: two networks in one container, a fixed address and MAC, and a taken address is refused", async (t) => {
  const node = await startNode(t, "podman");
  await preparePodman(node);
  for (const [name, subnet] of [
    ["red", "10.89.7.0/24"],
    ["blue", "10.89.8.0/24"],
  ] as const)
    await node.runOk(["podman", "network", "create", `--subnet=${subnet}`, name]);
  await startContainer(node, "both", "red:ip=10.89.7.77,mac=02:00:00:00:77:01", "--network=blue");
  // Which of the two networks gets eth0 is podman's affair.
  const addresses = await node.runOk(["podman", "exec", "both", "ip", "address"]);
  t.match(addresses, /link\/ether 02:00:00:00:77:01[^\n]*\n\s+inet 10\.89\.7\.77\/24/);
  t.equal((await inspect(node, "both", "red")).IPAddress, "10.89.7.77");
  t.ok(await pings(node, "both", "10.89.7.1"));
  t.ok(await pings(node, "both", "10.89.8.1"));

  await t.rejects(startContainer(node, "thief", "red:ip=10.89.7.77"), /10\.89\.7\.77/, "the message names the address");
  t.strictSame((await held(node, "red")).reservations, ["10.89.7.77"], "a failed start reserves nothing");
  t.equal((await held(node, "red")).veths.length, 2, "and leaves no veth");
  await node.runOk(["podman", "rm", "--all", "--force", "--time=0"]);
  t.strictSame(await held(node, "red"), NOTHING);
  t.strictSame((await held(node, "blue")).reservations, []);
});

/** Two machines that list each other, without a controller. Not named "default", which podman takes for its own. */
const MESH = {
  networks: [
    {
      name: "mesh",
      cidrs: ["10.244.0.0/16"],
      subnets: [
        { subnet: "10.244.1.0/24", publicIP: "192.168.77.11" },
        { subnet: "10.244.2.0/24", publicIP: "192.168.77.12" },
      ],
    },
  ],
};

t.test("podman runs the conflist that podwire-agent --standalone writes, across two machines", async (t) => {
  const underlay = await startUnderlay(t, 2);
  for (const node of underlay.nodes) await startStandalone(t, node);
  const [here, there] = underlay.nodes as [Node, Node];
  await startContainer(here, "one", "mesh");
  await startContainer(here, "two", "mesh");
  await startContainer(there, "far", "mesh");
  const [one, two] = [await inspect(here, "one", "mesh"), await inspect(here, "two", "mesh")];
  const far = await inspect(there, "far", "mesh");
  t.match(one, { IPAddress: /^10\.244\.1\.\d+$/, Gateway: "10.244.1.1" });
  t.match(far, { IPAddress: /^10\.244\.2\.\d+$/, Gateway: "10.244.2.1" });
  t.match(await eth0(here, "one"), /mtu 1464 /, "the MTU leaves room for the tunnel");
  t.ok(await pings(here, "one", two.IPAddress), "containers of one machine reach each other");
  t.ok(await pings(here, "one", far.IPAddress), "and those of the other, through the tunnel");
  t.ok(await pings(there, "far", two.IPAddress));
  t.ok(await pings(here, "one", underlay.hubAddresses[0]), "and the world");
  for (const node of underlay.nodes) {
    await node.runOk(["podman", "rm", "--all", "--force", "--time=0"]);
    t.match(await held(node, "mesh"), { veths: [], reservations: [] }, `nothing is left on ${node.name}`);
  }
});

async function startStandalone(t: Test, node: Node): Promise<void> {
  await preparePodman(node);
  writeFileSync(node.path("/etc/podwire-mesh.json"), JSON.stringify(MESH));
  const agent = node.spawn([
    `${BIN}/podwire-agent`,
    "--standalone",
    "--standalone-config=/etc/podwire-mesh.json",
    "--cni-network=mesh",
  ]);
  await agent.prints(/"msg":"conflist written"/);
  t.match(await node.runOk(["podman", "network", "ls", "--format={{.Name}} {{.Driver}}"]), /^mesh vxlan-overlay$/m);
}
