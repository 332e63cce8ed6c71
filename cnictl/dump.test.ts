import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { type KernelState, renderPlain } from "./dump.ts";
import { renderKernelState } from "./dump-text.ts";
import { CNICTL as PROGRAM } from "./testdata/live.ts";

const TESTDATA = join(import.meta.dirname, "testdata");
const CNICTL = PROGRAM.join(" ");

/** The operational state and carrier of a link settle a little after it is up. */
function settled(text: string): string {
  return text.replace(/ state [A-Z]+ /g, " state * ").replace(/<NO-CARRIER,(.*),UP>/g, "<$1,UP,LOWER_UP>");
}

/** Runs a shell script as root of a namespace of its own, which needs no root outside. */
function inFreshNamespace(script: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync("unshare", ["--user", "--map-root-user", "--net", "--mount", "sh", "-ec", script], {
    encoding: "utf8",
    cwd: join(import.meta.dirname, ".."),
  });
}

t.test("what of ours the kernel holds is shown as ip, bridge and nft show it, and nothing of others", async (t) => {
  const { status, stdout, stderr } = inFreshNamespace(`. "${TESTDATA}/dump-setup.sh"; ${CNICTL} dump`);
  t.equal(stderr, "");
  t.equal(status, 0);
  t.equal(settled(stdout), readFileSync(join(TESTDATA, "dump.txt"), "utf8"));
});

t.test("as JSON the same has names where the kernel has indexes", async (t) => {
  const { status, stdout, stderr } = inFreshNamespace(`. "${TESTDATA}/dump-setup.sh"; ${CNICTL} dump -o json`);
  t.equal(stderr, "");
  t.equal(status, 0);
  const dump = JSON.parse(stdout);
  t.match(dump, {
    routes: [
      { dst: "10.244.0.0/16", type: "blackhole", table: 77 },
      { dst: "10.6.2.0/24", multipath: [{ dev: "eth0" }, { dev: "eth0" }] },
      { dst: "10.7.2.0/24", via: "192.0.2.3", dev: "eth0" },
      { dst: "10.9.2.0/24", dev: "pwvx7" },
      { dst: "10.244.2.0/24", dev: "pwflow4790", encap: { id: 1, dst: "192.0.2.2" } },
    ],
    neighbours: [{ dev: "pwvx7", address: "10.9.2.0", mac: "02:00:00:00:00:08" }],
    fdb: [{ dev: "pwvx7", dst: "192.0.2.2" }],
    rules: [{ priority: 100, table: 77 }],
    nftables: [{ family: "inet", name: "podwire-default" }],
  });
  t.strictSame(
    dump.links.map(({ name }: { name: string }) => name),
    ["pwbr0", "pw0123456789ab", "pwflow4790", "pwvx7"],
  );
  t.match(dump.links[1], { master: "pwbr0", addresses: [] });
});

t.test("reading changes nothing in the kernel", async (t) => {
  const all = "ip -d link; ip address; ip route show table all; ip rule; ip neighbour; bridge fdb; nft list ruleset";
  const { stdout } = inFreshNamespace(
    `. "${TESTDATA}/dump-setup.sh"; b=$( (${all}) | sed 's/_timer.*//' ); ${CNICTL} dump >/dev/null; a=$( (${all}) | sed 's/_timer.*//' ); [ "$a" = "$b" ] && echo same`,
  );
  t.equal(stdout, "same\n");
});

t.test("a namespace without anything of ours says so on stderr and exits 0", async (t) => {
  const { status, stdout, stderr } = inFreshNamespace(`${CNICTL} dump`);
  t.equal(stdout, "");
  t.match(stderr, /^No resources found/);
  t.equal(status, 0);
});

t.test("another namespace is named by its path; a path that is none is an error of one sentence", async (t) => {
  const inside = inFreshNamespace(
    `. "${TESTDATA}/dump-setup.sh"; mount -t tmpfs t /mnt; touch /mnt/ns; mount --bind /proc/self/ns/net /mnt/ns; ` +
      `unshare --net ${CNICTL} dump --netns /mnt/ns`,
  );
  t.equal(settled(inside.stdout), readFileSync(join(TESTDATA, "dump.txt"), "utf8"));
  const wrong = inFreshNamespace(`${CNICTL} dump --netns /etc/passwd`);
  t.match(wrong.stderr, /^error: "\/etc\/passwd" is not a network namespace/);
  t.equal(wrong.status, 1);
});

t.test("what cannot be read does not hide the rest", async (t) => {
  const { status, stdout, stderr } = inFreshNamespace(
    `. "${TESTDATA}/dump-setup.sh"; exec setpriv --bounding-set=-net_admin --inh-caps=-net_admin ${CNICTL} dump`,
  );
  t.match(stdout, /^10\.7\.2\.0\/24 via 192\.0\.2\.3 dev eth0 proto 112$/m);
  t.match(stderr, /^error: cannot read nftables: /m);
  t.equal(status, 1);
});

const EMPTY: KernelState = {
  names: new Map([[3, "eth0"]]),
  links: [],
  addresses: [],
  routes: [],
  neighbours: [],
  fdb: [],
  rules: [],
  wireguard: [],
  tables: [],
  failures: [],
};

t.test("a device that is gone meanwhile is shown by its number", async (t) => {
  const state: KernelState = { ...EMPTY, neighbours: [{ index: 9, address: "192.0.2.1" as never, protocol: 112 }] };
  t.equal(renderKernelState(state), "# ip neighbour\n192.0.2.1 dev if9 PERMANENT proto 112\n");
  t.match(renderPlain(state), { neighbours: [{ dev: "if9" }] });
});

t.test("an alias cannot act on the terminal", async (t) => {
  const text = 'table inet podwire {\n\tcomment "\x1b[2J"\n}\n';
  const state: KernelState = { ...EMPTY, tables: [{ family: "inet", name: "podwire", text }] };
  t.equal(renderKernelState(state), '# nft list table inet podwire\ntable inet podwire {\n\tcomment "\\x1b[2J"\n}\n');
});
