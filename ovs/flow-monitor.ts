import { createConnection, type Socket } from "node:net";

/** OpenFlow 1.0, which every bridge speaks. */
const VERSION = 1;
const HEADER_BYTES = 8;
/** enum ofp_type, <openflow/openflow-1.0.h> */
const Type = { hello: 0, error: 1, echoRequest: 2, echoReply: 3, statsRequest: 16, statsReply: 17 } as const;
const OFPST_VENDOR = 0xffff;
const NX_VENDOR_ID = 0x2320;
/** <openflow/nicira-ext.h>: NXST_FLOW_MONITOR, struct nx_flow_monitor_request, NXFMF_ADD | DELETE | MODIFY | OWN. */
const FLOW_MONITOR = 2;
const ANY_CHANGE = 0x2 | 0x4 | 0x8 | 0x20;
const OFPP_NONE = 0xffff;
const ALL_TABLES = 0xff;

export interface FlowMonitorListener {
  /** Flows were added, changed or removed by somebody. */
  onChange(): void;
  /** The bridge or ovs-vswitchd is gone; called once. */
  onClose(): void;
}

/** Hears of changes to a bridge's flows. They are written by ovs-ofctl; this only tells when to look. */
export class FlowMonitor {
  readonly #socket: Socket;
  readonly #listener: FlowMonitorListener;
  #received = Buffer.alloc(0);
  #answered: ((error?: Error) => void) | undefined;
  #closed = false;

  private constructor(socket: Socket, listener: FlowMonitorListener) {
    this.#socket = socket;
    this.#listener = listener;
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("error", () => this.#end());
    socket.on("close", () => this.#end());
  }

  /**
   * Connects to the bridge's management socket. When it resolves, every later change is told.
   * @throws an error with the code of connect(2), or Error when the bridge knows no flow monitors
   */
  static async open(path: string, listener: FlowMonitorListener): Promise<FlowMonitor> {
    const socket = await new Promise<Socket>((resolve, reject) => {
      const connecting = createConnection({ path });
      connecting.once("error", reject);
      connecting.once("connect", () => {
        connecting.off("error", reject);
        resolve(connecting);
      });
    });
    const monitor = new FlowMonitor(socket, listener);
    await new Promise<void>((resolve, reject) => {
      monitor.#answered = (error) => (error === undefined ? resolve() : reject(error));
      socket.write(message(Type.hello, 0, Buffer.alloc(0)));
      socket.write(monitorRequest());
    });
    return monitor;
  }

  close(): void {
    this.#closed = true;
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    let changed = false;
    while (this.#received.length >= HEADER_BYTES) {
      const length = Math.max(HEADER_BYTES, this.#received.readUInt16BE(2));
      if (this.#received.length < length) break;
      changed = this.#handle(this.#received.subarray(0, length)) || changed;
      this.#received = this.#received.subarray(length);
    }
    if (changed) this.#listener.onChange();
  }

  /** @returns whether it tells of a change */
  #handle(received: Buffer): boolean {
    const type = received.readUInt8(1);
    if (type === Type.echoRequest) {
      this.#socket.write(message(Type.echoReply, received.readUInt32BE(4), received.subarray(HEADER_BYTES)));
    }
    if (type !== Type.error && type !== Type.statsReply) return false;
    const answered = this.#answered;
    this.#answered = undefined;
    if (type === Type.error) {
      answered?.(new Error("the bridge refuses to tell of changes to its flows; is Open vSwitch older than 2.5?"));
      if (answered !== undefined) this.close();
      return false;
    }
    answered?.();
    return answered === undefined;
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    const answered = this.#answered;
    if (answered !== undefined) answered(new Error("the bridge closed the connection"));
    else this.#listener.onClose();
  }
}

function message(type: number, id: number, body: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(VERSION, 0);
  header.writeUInt8(type, 1);
  header.writeUInt16BE(HEADER_BYTES + body.length, 2);
  header.writeUInt32BE(id, 4);
  return Buffer.concat([header, body]);
}

/** struct nicira10_stats_msg, then the request: id, flags, out_port, match_len, table_id and zeros. */
function monitorRequest(): Buffer {
  const body = Buffer.alloc(32);
  body.writeUInt16BE(OFPST_VENDOR, 0);
  body.writeUInt32BE(NX_VENDOR_ID, 4);
  body.writeUInt32BE(FLOW_MONITOR, 8);
  body.writeUInt32BE(1, 16);
  body.writeUInt16BE(ANY_CHANGE, 20);
  body.writeUInt16BE(OFPP_NONE, 22);
  body.writeUInt8(ALL_TABLES, 26);
  return message(Type.statsRequest, 1, body);
}
