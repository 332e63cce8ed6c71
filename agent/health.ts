import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { formatEndpoint, parseEndpoint } from "../net/endpoint.ts";

/** What the health endpoints tell; each is asked at each request. */
export interface HealthSource {
  /** Sentences that say why the node cannot serve ADD now; none: ready. */
  notReady(): readonly string[];
  /** The metrics in Prometheus' text format. */
  metrics(): Promise<string>;
}

/**
 * Serves /healthz (the process answers), /readyz (503 with one reason a line while not ready) and /metrics.
 * @param listen host:port; port 0 takes a free one
 */
export async function serveHealth(listen: string, source: HealthSource): Promise<Server> {
  const server = createServer(async (request, response) => {
    const answer = (code: number, body: string): void => {
      response.writeHead(code, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(body);
    };
    if (request.url === "/healthz") return answer(200, "ok\n");
    if (request.url === "/metrics") return answer(200, await source.metrics());
    if (request.url !== "/readyz") return answer(404, "try /healthz, /readyz or /metrics\n");
    const reasons = source.notReady();
    answer(reasons.length === 0 ? 200 : 503, reasons.length === 0 ? "ok\n" : `${reasons.join("\n")}\n`);
  });
  const { host, port } = parseEndpoint(listen);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return server;
}

/** host:port that the server is bound to. */
export function boundAddress(server: Server): string {
  const { address, port } = server.address() as AddressInfo;
  return formatEndpoint({ host: address, port });
}
