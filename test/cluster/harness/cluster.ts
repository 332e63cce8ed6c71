import { existsSync, readFileSync } from "node:fs";
import type { Admin } from "../../../cnictl/connection.ts";
import { nodes as nodeList } from "../../../cnictl/resources/node.ts";
import { describeProblems } from "../../../cnictl/status.ts";
import type { Family } from "../../../net/address.ts";
import { formatEndpoint } from "../../../net/endpoint.ts";
import { eventually } from "../../netns/harness/eventually.ts";
import type { Daemon } from "../../netns/harness/exec.ts";
import { BIN, type Node, type Owner } from "../../netns/harness/node.ts";
import type { Pod } from "../../netns/harness/pod.ts";
import type { CallOptions, ConfList } from "../../netns/harness/runtime.ts";
import { startUnderlay, type Underlay } from "../../netns/harness/underlay.ts";
import { openClusterAdmin } from "./admin.ts";
import { type Authority, createAuthority } from "./certificates.ts";

export interface ClusterOptions {
  readonly nodes: number;
  /** How many of them get an agent at the start; all when absent. */
  readonly agents?: number;
  /** "embedded" when absent; "etcd" starts a real one. */
  readonly store?: "embedded" | "etcd";
  /** Flags for the controller, such as --network-cidr. */
  readonly controllerFlags?: readonly string[];
  /** Flags for each agent. */
  readonly agentFlags?: readonly string[];
  /** Of the underlay, in bytes; 1500 when absent. */
  readonly mtu?: number;
  /** Families of the underlay; both when absent. */
  readonly families?: readonly Family[];
  /** Called when the nodes are there, before anything runs on them. */
  readonly prepare?: (underlay: Underlay) => Promise<void>;
  /** Told what happens, one line each. */
  readonly progress?: (line: string) => void;
}

const CONFLIST = "/etc/cni/net.d/10-podwire.conflist";
const PORT = 7444;

/** A controller in the middle and an agent on each node, all built programs, over TLS. Gone after the test. */
export class Cluster {
  readonly underlay: Underlay;
  readonly #options: ClusterOptions;
  readonly #authority: Authority;
  readonly agents: Daemon[] = [];
  controller: Daemon | undefined;

  constructor(underlay: Underlay, authority: Authority, options: ClusterOptions) {
    this.underlay = underlay;
    this.#authority = authority;
    this.#options = options;
  }

  get nodes(): readonly Node[] {
    return this.underlay.nodes;
  }

  node(index: number): Node {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`the cluster has ${this.nodes.length} nodes, none at ${index}`);
    return node;
  }

  /** host:port of the controller. */
  get endpoint(): string {
    const [v4, v6] = this.underlay.hubAddresses;
    return formatEndpoint({ host: this.underlay.families.includes(4) ? v4 : v6, port: PORT });
  }

  async startEtcd(): Promise<void> {
    const url = "http://127.0.0.1:2379";
    const etcd = this.underlay.hub.spawn(
      [
        "etcd",
        "--data-dir",
        "/var/lib/etcd",
        "--listen-client-urls",
        url,
        "--advertise-client-urls",
        url,
        "--listen-peer-urls",
        "http://127.0.0.1:2380",
      ],
      { ETCD_UNSUPPORTED_ARCH: "arm64" },
    );
    await etcd.prints(/ready to serve client requests|serving insecure client requests/);
  }

  async startController(): Promise<Daemon> {
    const { cert, key } = await this.#authority.issue("controller", ["127.0.0.1", ...this.underlay.hubAddresses]);
    const store = this.#options.store ?? "embedded";
    const controller = this.underlay.hub.spawn([
      `${BIN}/podwire-controller`,
      `--listen=${this.endpoint}`,
      `--store=${store}`,
      ...(store === "etcd" ? ["--etcd-endpoints=http://127.0.0.1:2379"] : []),
      ...["--tls-ca", this.#authority.ca, "--tls-cert", cert, "--tls-key", key],
      ...(this.#options.controllerFlags ?? []),
    ]);
    await controller.prints(/"msg":"listening"/);
    this.controller = controller;
    return controller;
  }

  /** Starts a node's agent, without waiting until it is ready. */
  async startAgent(index: number): Promise<Daemon> {
    const node = this.node(index);
    const agent = node.spawn([
      `${BIN}/podwire-agent`,
      `--controller=${this.endpoint}`,
      `--node-name=${node.name}`,
      ...(await this.clientTls(node.name)),
      ...(this.#options.agentFlags ?? []),
    ]);
    this.agents[index] = agent;
    return agent;
  }

  /** Flags with a client certificate for that name. */
  async clientTls(name: string): Promise<readonly string[]> {
    const { cert, key } = await this.#authority.issue(name, []);
    return ["--tls-ca", this.#authority.ca, "--tls-cert", cert, "--tls-key", key];
  }

  /** The conflist that the agent wrote. */
  conflist(index: number): ConfList {
    return JSON.parse(readFileSync(this.node(index).path(CONFLIST), "utf8"));
  }

  hasConflist(index: number): boolean {
    return existsSync(this.node(index).path(CONFLIST));
  }

  /**
   * A pod on that node, added as a runtime adds it.
   * @param list the network's; that of the agent's own conflist when absent
   * @throws Error with the plugin's answer when ADD fails
   */
  async addPod(index: number, name: string, options: CallOptions = {}, list = this.conflist(index)): Promise<WiredPod> {
    const node = this.node(index);
    const pod = await node.pod(name);
    await node.runtime.loopback(pod);
    const added = await node.runtime.add(list, pod, {
      args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${name}`,
      ...options,
    });
    if (added.code !== 0) throw new Error(`ADD of ${name} on ${node.name}: ${added.stdout}${added.stderr}`);
    const ips = (added.json?.ips ?? []) as readonly { readonly address: string }[];
    return { pod, addresses: ips.map(({ address }) => address.slice(0, address.indexOf("/"))) };
  }

  /** Runs cnictl in the controller's namespace. */
  async cnictl(...args: readonly string[]) {
    this.#adminTls ??= await this.clientTls("admin");
    return this.underlay.hub.run([`${BIN}/cnictl`, `--server=${this.endpoint}`, ...this.#adminTls, ...args]);
  }
  #adminTls: readonly string[] | undefined;

  /** The controller's Admin service, as this process calls it: cnictl without starting it. */
  async admin(): Promise<Admin> {
    this.#admin ??= openClusterAdmin(this.underlay.hub, this.endpoint, await this.clientTls("admin"));
    return this.#admin;
  }
  #admin: Promise<Admin> | undefined;

  /** Waits until that many nodes have applied all that the controller told them. */
  async converged(nodes: number): Promise<void> {
    const admin = await this.admin();
    await eventually(async () => {
      const items = await nodeList.list(admin, {});
      const problems = items.flatMap((item) => describeProblems(item, items));
      if (items.length < nodes) problems.push(`${items.length} nodes have joined`);
      if (problems.length > 0) throw new Error(problems.join("\n"));
      return true;
    }, `${nodes} nodes converge`);
  }

  /** The words of a shell that runs cnictl against this cluster from anywhere on this machine. */
  async cnictlCommand(): Promise<string> {
    this.#adminTls ??= await this.clientTls("admin");
    return `nsenter --net=${this.underlay.hub.netns} ${BIN}/cnictl --server=${this.endpoint} ${this.#adminTls.join(" ")}`;
  }
}

/** A pod with its addresses, v4 and v6 as the network has them. */
export interface WiredPod {
  readonly pod: Pod;
  readonly addresses: readonly string[];
}

/** Starts everything and waits until every node has written its conflist and knows the others. */
export async function startCluster(owner: Owner, options: ClusterOptions): Promise<Cluster> {
  const { nodes, progress = () => {}, store = "embedded", mtu } = options;
  const underlay = await startUnderlay(owner, nodes, mtu, options.families);
  progress(`${nodes} nodes, each a network and mount namespace, joined by a bridge in another`);
  await options.prepare?.(underlay);
  const cluster = new Cluster(underlay, await createAuthority(owner), options);
  if (store === "etcd") await cluster.startEtcd();
  await cluster.startController();
  progress(`controller on ${cluster.endpoint} over TLS, store: ${store}`);
  const agents = await Promise.all(
    underlay.nodes.slice(0, options.agents).map((_, index) => cluster.startAgent(index)),
  );
  await Promise.all(agents.map((agent) => agent.prints(/"msg":"conflist written"/)));
  await cluster.converged(agents.length);
  progress(`${nodes} agents have a subnet each, tunnels to the others, and a conflist`);
  return cluster;
}
