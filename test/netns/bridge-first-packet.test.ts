import t from "tap";
import { FULL } from "./bridge-fixture.ts";
import { BIN, startNode } from "./harness/node.ts";

/**
 * Runs an ADD, and sends one echo request to each other from pod and node, over both families, right after its exit:
 * all sockets are open before. Prints who was answered; whoever is not within 20 s never will be.
 */
const ADD_AND_SEND = `
import ctypes, json, os, select, socket, struct, subprocess, sys
netns, plugin = sys.argv[1:3]
ICMP = [(socket.AF_INET, socket.IPPROTO_ICMP, 8, 0), (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129)]
def sockets(): return [socket.socket(family, socket.SOCK_RAW, protocol) for family, protocol, _, _ in ICMP]
def enter(fd):
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000) != 0: raise OSError(ctypes.get_errno(), "setns")
home, inside = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in ("/proc/self/ns/net", netns)]
enter(inside)
pod = sockets()
enter(home)
node = sockets()
def request(kind, identifier):
    head = struct.pack("!BBHHH", kind, 0, 0, identifier, 1)
    return head[:2] + struct.pack("!H", 0xffff & ~((kind << 8) + identifier + 1)) + head[4:]
added = subprocess.run([plugin], stdin=sys.stdin, stdout=subprocess.PIPE)
if added.returncode != 0: sys.exit(added.stdout.decode())
result = json.loads(added.stdout)
mine = [ip["address"].split("/")[0] for ip in result["ips"]]
theirs = [ip["gateway"] for ip in result["ips"]]
waiting = {}
for i, (family, _, kind, answer) in enumerate(ICMP):
    for identifier, (name, side, address) in enumerate([("pod", pod, theirs[i]), ("node", node, mine[i])], 1000):
        side[i].sendto(request(kind, identifier), (address, 0))
        waiting[side[i]] = (f"{name} {address}", i, answer, identifier)
while waiting:
    ready = select.select(list(waiting), [], [], 20)[0]
    if not ready: break
    for each in ready:
        name, i, answer, identifier = waiting[each]
        packet = each.recv(2048)[20 if i == 0 else 0:]
        if packet[0] == answer and struct.unpack("!H", packet[4:6])[0] == identifier:
            print("answered:", name)
            del waiting[each]
for name, *_ in waiting.values(): print("lost:", name)
`;

t.test("the very first packets after ADD are answered, of both families and from both ends", async (t) => {
  const node = await startNode(t);
  for (let i = 0; i < 12; i++) {
    const pod = await node.pod("pod"); // another one each time
    const env = { CNI_COMMAND: "ADD", CNI_PATH: BIN, CNI_CONTAINERID: pod.containerId, CNI_IFNAME: "eth0" };
    const said = await node.runOk(["python3", "-c", ADD_AND_SEND, pod.netns, `${BIN}/bridge`], {
      input: JSON.stringify(FULL),
      env: { PATH: process.env.PATH ?? "", CNI_NETNS: pod.netns, ...env },
    });
    t.notMatch(said, "lost", `pod ${i}: ${said.trim().replaceAll("\n", ", ")}`);
    t.equal(said.match(/^answered/gm)?.length, 4);
  }
});
