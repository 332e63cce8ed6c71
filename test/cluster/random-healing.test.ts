import t from "tap";
import { eventually } from "../netns/harness/eventually.ts";
import { BREAKAGES, overlayState, seeded } from "./harness/breakage.ts";
import { startCluster, type WiredPod } from "./harness/cluster.ts";

/** So long that only the kernel's own notifications can make the agent look again. */
const FLAGS = {
  nodes: 3,
  agentFlags: ["--resync-interval=3600"],
} as const;
const ROUNDS = process.env.PODWIRE_TEST_LONG === "1" ? 100 : 14;

for (const mode of ["static", "flow"] as const) {
  t.test(
    `F5, F6, F8: ${mode}: whatever of ours is taken away by hand comes back by the kernel's notification`,
    async (t) => {
      const controllerFlags = ["--network-cidr=10.244.0.0/16,fd00:10:244::/56", `--network-mode=${mode}`];
      const cluster = await startCluster(t, { ...FLAGS, controllerFlags });
      const [here, there] = (await Promise.all([0, 1].map((index) => cluster.addPod(index, `pod-${index}`)))) as [
        WiredPod,
        WiredPod,
      ];
      const node = cluster.node(0);
      const seed = Date.now() % 1_000_000;
      const pick = seeded(seed);
      const whole = await overlayState(node);
      t.match(whole, /fd00:10:244/);
      t.match(whole, /accept_ra = 0/);
      const broken = new Map<string, number>();
      for (let round = 0; round < ROUNDS; round++) {
        const kinds = Object.entries(BREAKAGES);
        const [kind, breakage] = kinds[round < kinds.length ? round : pick(kinds.length)] ?? [];
        const command = await breakage?.(node, pick);
        if (kind === undefined || command === undefined) continue;
        await node.sh(command);
        await eventually(
          async () => (await overlayState(node)) === whole,
          `seed ${seed}: after "${command}" all is as before`,
        ).catch(async () => t.equal(await overlayState(node), whole, `seed ${seed}, ${kind}: ${command}`));
        broken.set(kind, (broken.get(kind) ?? 0) + 1);
      }
      t.ok(
        broken.size >= (mode === "static" ? 14 : 11),
        `each kind: ${[...broken].map((each) => each.join(" ")).join(", ")}`,
      );
      for (const address of there.addresses) t.ok(await here.pod.pings(address), `pods ping still: ${address}`);
    },
  );

  t.test(`${mode}: a restart of the underlay link heals as soon as its addresses are there again`, async (t) => {
    const controllerFlags = ["--network-cidr=10.244.0.0/16,fd00:10:244::/56", `--network-mode=${mode}`];
    const cluster = await startCluster(t, { ...FLAGS, nodes: 2, controllerFlags });
    const [here, there] = (await Promise.all([0, 1].map((index) => cluster.addPod(index, `pod-${index}`)))) as [
      WiredPod,
      WiredPod,
    ];
    const node = cluster.node(0);
    const whole = await overlayState(node);
    for (const restart of [
      "ip link set eth0 down; ip link set eth0 up",
      "ip link set eth0 down; ip address flush dev eth0; ip link set eth0 up; ip address add 192.168.77.11/24 dev eth0",
    ]) {
      await node.sh(`${restart}; ip address add fd77::11/64 dev eth0 nodad
        ip route replace default via 192.168.77.1; ip -6 route replace default via fd77::1`);
      await eventually(async () => (await overlayState(node)) === whole, restart).catch(async () =>
        t.equal(await overlayState(node), whole, restart),
      );
      for (const address of there.addresses)
        t.ok(await here.pod.pings(address, 10), `${restart}: pods ping: ${address}`);
    }
  });
}
