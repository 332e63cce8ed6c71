import t from "tap";
import { addressOf, attach } from "./bridge-fixture.ts";
import { lackingFeatures } from "./harness/full-kernel.ts";
import type { Node } from "./harness/node.ts";
import type { Pod } from "./harness/pod.ts";
import { startUnderlay, type Underlay } from "./harness/underlay.ts";

const SETUPS = [
  { type: "vxlan-overlay", mode: "flow", over4: 1464, over6: 1444, kinds: ["vxlan"] },
  // Carries IPv6 over IPv6 where it can, so that its pods have what fits there from the beginning.
  { type: "vxlan-overlay", mode: "static", over4: 1430, over6: 1430, kinds: ["vxlan"] },
  { type: "gre-overlay", mode: "flow", over4: 1476, over6: 1456, kinds: ["gre", "ip6gre"] },
  { type: "gre-overlay", mode: "static", over4: 1472, over6: 1452, kinds: ["gre", "ip6gre"] },
] as const;
type Setup = (typeof SETUPS)[number];

/** The first two nodes have both underlay families, the third IPv6 alone. */
function meshConf(underlay: Underlay, { type, mode }: Setup, count: number) {
  const peers = [...Array(count).keys()].flatMap((i) => {
    const [v4, v6] = underlay.addressesOf(i);
    return [
      { node: `n${i}`, subnet: `10.244.${i + 1}.0/24`, publicIP: i < 2 ? v4 : v6 },
      { node: `n${i}`, subnet: `fd00:244:0:${i + 1}::/64`, publicIP: v6 },
    ];
  });
  return { type, cniVersion: "1.1.0", name: "mesh", mesh: { mode, peers } };
}

/** Sends a megabyte over TCP and returns how much of it the other pod says has come. */
async function transfer(from: Pod, to: Pod, address: string): Promise<number> {
  const count = `let n=0; s.on("data", d => n += d.length).on("end", () => s.end(String(n)))`;
  const server = `net.createServer({allowHalfOpen: true}, s => { ${count} }).listen(7000, "${address}", () => console.log("listening"))`;
  const daemon = to.spawn([process.execPath, "-e", server]);
  await daemon.prints(/listening/);
  const client = `net.connect(7000, "${address}").on("data", d => process.stdout.write(d)).end(Buffer.alloc(1 << 20))`;
  const told = await from.runOk([process.execPath, "-e", client]);
  await daemon.stop();
  return Number(told);
}

const ping = (pod: Pod, address: string, bytes: number) =>
  pod.run(["ping", "-nc1", "-W10", "-Mdo", "-s", String(bytes - (address.includes(":") ? 48 : 28)), address]);

async function linkMtu(pod: Pod): Promise<number> {
  return JSON.parse(await pod.runOk(["ip", "-j", "link", "show", "eth0"]))[0].mtu;
}

for (const setup of SETUPS) {
  t.test(
    `F7: ${setup.type} ${setup.mode}: a peer that IPv6 alone reaches joins: pods of before hear of the smaller MTU, new ones have it`,
    async (t) => {
      const underlay = await startUnderlay(t, 3);
      const [here, , third] = underlay.nodes as [Node, Node, Node];
      if (setup.kinds.some((kind) => lackingFeatures().includes(kind))) {
        const { json } = await here.cni("ADD", await here.pod("pod"), meshConf(underlay, setup, 2));
        t.match(json, { code: 999, msg: /this kernel has no devices of kind/ });
        return;
      }
      await third.sh("ip -4 address flush dev eth0");
      const old = await here.pod("old");
      await attach(here, old, meshConf(underlay, setup, 2));
      t.equal(await linkMtu(old), setup.over4);
      const all = meshConf(underlay, setup, 3);
      const far = await third.pod("far");
      const there = await attach(third, far, all);
      const late = await here.pod("late");
      const { interfaces } = await attach(here, late, all);
      t.equal(interfaces.at(-1)?.mtu, setup.over6, "the result of ADD says it");
      t.equal(await linkMtu(late), setup.over6);
      t.equal(await linkMtu(old), setup.over4, "a pod's link is left as it is");
      t.equal(await linkMtu(far), setup.over6);
      for (const family of [4, 6] as const) {
        const address = addressOf(there, family);
        if (setup.over4 !== setup.over6) {
          for (const what of ["is told", "has learned"]) {
            const { code, stdout, stderr } = await ping(old, address, setup.over4);
            t.not(code, 0);
            const told = new RegExp(`(Frag needed.*|Packet too big|message too long).*mtu ?[=:] ?${setup.over6}\\b`);
            t.match(`${stdout}${stderr}`, told, `the pod ${what} how large a packet to ${address} may be`);
          }
        }
        t.equal((await ping(old, address, setup.over6)).code, 0, `${setup.over6} bytes to ${address} arrive whole`);
        t.equal(await transfer(old, far, address), 1 << 20, `TCP to ${address} goes on`);
      }
    },
  );
}
