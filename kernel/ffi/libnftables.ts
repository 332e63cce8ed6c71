import { koffi } from "./native.ts";

/** A `struct nft_ctx *`. */
export type NftContext = { readonly __nftContext: never };

/** The functions of libnftables(3) that we use. */
export interface Libnftables {
  nft_ctx_new(flags: number): NftContext | null;
  nft_ctx_free(context: NftContext): void;
  nft_ctx_buffer_output(context: NftContext): number;
  nft_ctx_buffer_error(context: NftContext): number;
  nft_ctx_get_output_buffer(context: NftContext): string;
  nft_ctx_get_error_buffer(context: NftContext): string;
  nft_ctx_output_set_flags(context: NftContext, flags: number): void;
  nft_run_cmd_from_buffer(context: NftContext, command: string): number;
}

const PROTOTYPES: Record<keyof Libnftables, [result: string, parameters: string[]]> = {
  nft_ctx_new: ["void *", ["uint"]],
  nft_ctx_free: ["void", ["void *"]],
  nft_ctx_buffer_output: ["int", ["void *"]],
  nft_ctx_buffer_error: ["int", ["void *"]],
  nft_ctx_get_output_buffer: ["str", ["void *"]],
  nft_ctx_get_error_buffer: ["str", ["void *"]],
  nft_ctx_output_set_flags: ["void", ["void *", "uint"]],
  nft_run_cmd_from_buffer: ["int", ["void *", "str"]],
};

let loaded: Libnftables | undefined;

/** The library, loaded at first use. @throws Error when libnftables.so.1 is not installed */
export function libnftables(): Libnftables {
  loaded ??= load();
  return loaded;
}

function load(): Libnftables {
  let library: ReturnType<ReturnType<typeof koffi>["load"]>;
  try {
    library = koffi().load("libnftables.so.1");
  } catch (cause) {
    throw new Error("libnftables.so.1 cannot be loaded; install libnftables1 (Debian) or nftables", { cause });
  }
  const functions = Object.entries(PROTOTYPES).map(([name, [result, parameters]]) => [
    name,
    library.func(name, result, parameters),
  ]);
  return Object.fromEntries(functions) as Libnftables;
}
