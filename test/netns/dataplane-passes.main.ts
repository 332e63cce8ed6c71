import { readFileSync } from "node:fs";
import { applyLease, applySnapshot, EMPTY_STATE } from "../../agent/cluster-state.ts";
import { lease, network, snapshot, subnet } from "../../agent/fixture.ts";
import { Passes } from "../../agent/pass.ts";
import { findUnderlay } from "../../dataplane/underlay.ts";
import { openRoute } from "../../kernel/rtnetlink/socket.ts";

/** What dataplane.test.ts asks for, as JSON on stdin; the answer is a list of reports on stdout. */
export interface Wish {
  /** "flow", "static" or "host-gw"; absent: there is no network. */
  readonly backend?: string;
  readonly peers: readonly { readonly subnet: string; readonly address: string }[];
  readonly passes: number;
}

const OWN = ["10.244.1.0/24", "fd00:244:0:1::/64"];

const { backend, peers, passes }: Wish = JSON.parse(readFileSync(0, "utf8"));
const type = backend === "host-gw" ? { type: "host-gw", mode: "" } : { type: "vxlan", mode: backend ?? "" };
const networks =
  backend === undefined
    ? []
    : [
        network("a", {
          cidrs: ["10.244.0.0/16", "fd00:244::/48"],
          backend: { ...type, vni: 0, port: 0, directRouting: false, mtu: 0, tunnel: "" },
        }),
      ];
const subnets = peers.map((peer) => subnet(peer.subnet, `node ${peer.address}`, { addresses: [peer.address] }));
const held = lease("a", { subnets: OWN.map((each) => ({ subnet: each, epoch: 1 })) });
const state = applyLease(applySnapshot(EMPTY_STATE, snapshot(1, networks, subnets), 0), held);

const rt = openRoute();
const runner = new Passes({ rt, nodeId: "me", joined: [] });
const reports = [];
for (let i = 0; i < passes; i++) reports.push(await runner.run(state, findUnderlay(rt, { device: "eth0" })));
process.stdout.write(JSON.stringify(reports));
