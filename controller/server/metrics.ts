import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { Controller } from "../core/controller.ts";

/** A listening HTTP server for /metrics, /healthz and /readyz. */
export interface MetricsServer {
  readonly address: string;
  close(): Promise<void>;
}

/** Serves the controller's metrics and health on that address. */
export async function serveMetrics(controller: Controller, host: string, port: number): Promise<MetricsServer> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  addGauges(registry, controller);
  const server = createServer((request, response) => {
    const path = request.url?.split("?")[0];
    const reply = (code: number, body: string, type = "text/plain; charset=utf-8") => {
      response.writeHead(code, { "content-type": type }).end(body);
    };
    if (request.method !== "GET" && request.method !== "HEAD") return reply(405, "only GET\n");
    if (path === "/healthz") return reply(200, "ok\n");
    if (path === "/readyz") {
      const reasons = controller.health.reasons();
      return reasons.length === 0 ? reply(200, "ok\n") : reply(503, `${reasons.join("\n")}\n`);
    }
    if (path !== "/metrics") return reply(404, "try /metrics, /healthz or /readyz\n");
    return void registry.metrics().then(
      (text) => reply(200, text, registry.contentType),
      (error: Error) => reply(500, `${error.message}\n`),
    );
  });
  server.requestTimeout = 10_000;
  server.headersTimeout = 5_000;
  return { address: await listenOn(server, host, port), close: () => closeServer(server) };
}

function addGauges(registry: Registry, controller: Controller): void {
  const { mirror, sessions, distributor, allocator, health } = controller;
  const { state } = mirror;
  const gauge = (name: string, help: string, read: () => number) => {
    new Gauge({ name: `podwire_controller_${name}`, help, registers: [registry], collect: set(read) });
  };
  const counter = (name: string, help: string, read: () => number) => {
    new Counter({ name: `podwire_controller_${name}`, help, registers: [registry], collect: reach(read) });
  };
  gauge("sessions", "Nodes connected to this controller", () => sessions.size);
  gauge("nodes", "Nodes known to the store", () => state.nodes.size);
  gauge("networks", "Networks", () => state.networks.size);
  gauge("subnets", "Subnets leased or reserved", () => state.subnets.size);
  gauge("revision", "Revision of the last change that nodes are told of", () => distributor.revision);
  gauge("store_synced", "1 while the store answers and is followed", () => (health.reasons().length === 0 ? 1 : 0));
  counter("claims_total", "Lease claims handled", () => allocator.counts.claims);
  counter("conflicts_total", "Compare-and-swaps that lost a race and were repeated", () => allocator.counts.conflicts);
  counter("snapshots_sent_total", "Snapshots sent to nodes", () => distributor.counts.snapshots);
  counter("deltas_sent_total", "Deltas sent to nodes", () => distributor.counts.deltas);
  counter("messages_encoded_total", "Messages encoded; one may go to many nodes", () => distributor.counts.encoded);
  counter("state_bytes_sent_total", "Bytes of snapshots and deltas sent", () => distributor.counts.bytes);
}

function set(read: () => number): (this: Gauge) => void {
  return function () {
    this.set(read());
  };
}

/** The core counts by itself; a counter here is brought to its number when it is asked for. */
function reach(read: () => number): (this: Counter) => void {
  return function () {
    this.reset();
    this.inc(read());
  };
}

function listenOn(server: Server, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      const { address, family, port: bound } = server.address() as AddressInfo;
      resolve(`${family === "IPv6" ? `[${address}]` : address}:${bound}`);
    });
  });
}

function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => void server.close(() => resolve()));
}
