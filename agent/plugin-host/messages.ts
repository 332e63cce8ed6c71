/** What the plugin host's thread is given at its start. */
export interface PluginHostData {
  readonly socket: string;
  readonly spoolFolder: string;
  readonly journal: string;
  /** How many pods to add and delete for practice. */
  readonly rehearse: number;
  readonly debug: boolean;
}

/** From the plugin host's thread to the agent's. */
export type FromPluginHost =
  | { readonly type: "listening" }
  | { readonly type: "stopped" }
  | { readonly type: "metrics"; readonly id: number; readonly text: string }
  | {
      readonly type: "log";
      readonly level: "debug" | "info" | "warn" | "error";
      readonly message: string;
      readonly details: object;
    };

/** From the agent's thread to the plugin host's. */
export type ToPluginHost = { readonly type: "metrics"; readonly id: number } | { readonly type: "stop" };
