import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type Admin, openAdmin } from "../../../cnictl/connection.ts";
import { parseEndpoint } from "../../../net/endpoint.ts";
import type { Node } from "../../netns/harness/node.ts";
import { connectIn } from "./traffic.ts";

/**
 * The Admin service of a controller inside a node, called by this process: by way of a port on loopback, whose
 * connections go on inside. Ends with the node.
 * @param tls flags as cnictl takes them: --tls-ca FILE --tls-cert FILE --tls-key FILE
 */
export async function openClusterAdmin(hub: Node, endpoint: string, tls: readonly string[]): Promise<Admin> {
  const { host, port } = parseEndpoint(endpoint);
  const open = new Set<Socket>();
  const join = (outside: Socket) => {
    const inside = connectIn(hub.netns, host, port);
    for (const socket of [outside, inside]) {
      open.add(socket);
      socket
        .on("error", () => {})
        .on("close", () => {
          open.delete(socket);
          for (const end of [outside, inside]) end.destroy();
        });
    }
    outside.pipe(inside).pipe(outside);
  };
  const server = createServer(join).listen(0, "localhost");
  await once(server, "listening");
  const [, tlsCa = "", , tlsCert = "", , tlsKey = ""] = tls;
  const address = server.address() as AddressInfo;
  const admin = openAdmin({ server: `localhost:${address.port}`, tlsCa, tlsCert, tlsKey, timeout: 30_000 });
  hub.teardown(() => {
    admin[Symbol.dispose]();
    server.close();
    for (const socket of open) socket.destroy();
  });
  return admin;
}
