import t, { type Test } from "tap";
import { relevanceOf } from "../../agent/relevance.ts";
import { WATCH_FILTER } from "../../agent/watch-filter.ts";
import { assemble, type FilterStep } from "../../kernel/netlink/filter.ts";
import { openMonitor, type RouteEvent, RtnlGroup } from "../../kernel/rtnetlink/monitor.ts";
import { type KernelNode, makeNode } from "./kernel-node.ts";

const POD = "pw0123456789ab";

/** All that a node's kernel tells of: what matters to an agent, what does not, and a pod that comes and goes. */
const CHANGES = `
set -e
ip link add br0 type bridge; ip address add 10.22.0.1/16 dev br0; ip link set br0 up
ip link add d0 type ifb; ip address add 192.0.2.1/24 dev d0; ip -6 address add 2001:db8::1/64 dev d0; ip link set d0 up
ip route add default via 192.0.2.9; ip -6 route add default via 2001:db8::9
ip route add 10.23.0.0/24 via 192.0.2.7; ip route add 10.24.0.0/24 via 192.0.2.7 proto 112
ip -6 route add 2001:db8:4::/64 via 2001:db8::7 proto 112
ip neighbour add 192.0.2.7 lladdr 02:00:00:00:00:07 dev d0 nud reachable
ip neighbour add 192.0.2.8 lladdr 02:00:00:00:00:08 dev d0 nud permanent
ip neighbour add 2001:db8::8 lladdr 02:00:00:00:00:08 dev d0 nud reachable protocol 112
ip link add vx0 type vxlan id 7 dstport 4789 dev d0; ip link set vx0 up
bridge fdb add 02:00:00:00:00:09 dev vx0 dst 192.0.2.9 self
ip link add ${POD} type veth peer name pod0
ip link set ${POD} master br0
ip link set ${POD} alias "podwire veth net=n cid=c if=eth0" up
ip link set pod0 up; ip address add 10.22.0.2/16 dev pod0
bridge fdb add 02:00:00:00:00:0a dev ${POD} master
ip link set ${POD} group 5
ip link del ${POD}
ip route del 10.24.0.0/24; ip route del 10.23.0.0/24; ip route del default
ip neighbour del 192.0.2.8 dev d0
ip address del 192.0.2.1/24 dev d0
ip link add ${POD}x type ifb; ip link set ${POD}x up; ip link del ${POD}x
ip link set br0 down; ip link del br0; ip link add end type ifb; ip link del end
`;

/** What is heard until the link "end" is gone. */
async function hear(t: Test, { netns }: KernelNode, filter?: readonly FilterStep[]) {
  const heard: RouteEvent[] = [];
  let isOver = false;
  let ended = () => {};
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const { link, neigh, ipv4Address, ipv6Address, ipv4Route, ipv6Route } = RtnlGroup;
  const monitor = openMonitor({
    netns,
    groups: [link, neigh, ipv4Address, ipv6Address, ipv4Route, ipv6Route],
    filter,
    onMessages(events) {
      if (isOver) return; // what the kernel does by itself later, one may hear before the other
      const last = events.findIndex((event) => event.type === "link-deleted" && event.link.name === "end");
      isOver = last >= 0;
      heard.push(...(isOver ? events.slice(0, last + 1) : events));
      if (isOver) ended();
    },
    onOverrun: () => t.fail("overrun"),
  });
  t.teardown(() => monitor[Symbol.dispose]());
  return { heard, end };
}

const podsIn = (events: readonly RouteEvent[]) =>
  events.flatMap((event) => ("link" in event && event.link.name === POD ? [`${event.type} ${event.link.up}`] : []));

t.test("the kernel wakes the agent for all that is relevant, and twice for a pod", async (t) => {
  const node = makeNode(t);
  const all = await hear(t, node);
  const watched = await hear(t, node, WATCH_FILTER);
  node.text(CHANGES);
  await Promise.all([all.end, watched.end]);

  const relevant = (events: readonly RouteEvent[]) => events.filter((event) => relevanceOf(event) === "overlay");
  t.strictSame(relevant(watched.heard), relevant(all.heard));
  for (const type of ["link", "address", "route", "neighbour", "fdb"]) {
    t.ok(
      relevant(watched.heard).some((event) => event.type === type),
      `${type} was among them`,
    );
  }
  t.ok(podsIn(all.heard).length >= 6, `a pod's link makes ${podsIn(all.heard).length} messages`);
  t.strictSame(podsIn(watched.heard), ["link true", "link-deleted false"]);
  t.strictSame(
    watched.heard.filter((event) => relevanceOf(event) === undefined),
    [],
    "nothing that is not relevant passed",
  );
});

t.test("a filter that jumps nowhere is refused", async (t) => {
  t.throws(
    () =>
      assemble([
        { load: 2, at: 4 },
        { equals: [1], to: "nowhere" },
      ]),
    /no label "nowhere"/,
  );
});
