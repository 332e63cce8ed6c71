import { libnftables, type NftContext } from "../ffi/libnftables.ts";
import { inNetns, type Netns } from "../netns.ts";

/** NFT_CTX_OUTPUT_*, <nftables/libnftables.h>. */
const OUTPUT_JSON = 1 << 4;
/** NFTNL_UDATA_COMMENT_MAXLEN */
const MAX_COMMENT_BYTES = 128;

/** What nft refused, in libnftables' own words. */
export class NftError extends Error {
  override readonly name = "NftError";
  /** The text that was refused. */
  readonly command: string;
  constructor(message: string, command: string) {
    super(message);
    this.command = command;
  }
}

/** A libnftables context: it stays in the network namespace that it was opened in. */
export interface Nft extends Disposable {
  /** Runs nft(8) text as one atomic transaction: all of it or nothing. @throws NftError */
  run(text: string): void;
  /** Runs `list …` or `get …` and gives the objects of libnftables-json(5), without the metainfo. @throws NftError */
  query(command: string): readonly unknown[];
  /** Runs `list …` and gives nft text. @throws NftError */
  listText(command: string): string;
}

/**
 * Opens a context in the namespace (an open one or its path; this thread's when absent).
 * @throws NotANamespaceError, Error when libnftables is not installed
 */
export function openNft(netns?: Netns | string): Nft {
  const library = libnftables();
  // nft_ctx_new opens its netlink socket at once, in the namespace that the thread is in.
  const context = inNetns(netns, () => library.nft_ctx_new(0));
  if (context === null) throw new Error("nft_ctx_new: libnftables could not make a context");
  library.nft_ctx_buffer_output(context);
  library.nft_ctx_buffer_error(context);
  return new Context(context);
}

class Context implements Nft {
  readonly #library = libnftables();
  #context: NftContext | undefined;

  constructor(context: NftContext) {
    this.#context = context;
  }

  run(text: string): void {
    this.#run(text, 0);
  }

  query(command: string): readonly unknown[] {
    const { nftables } = JSON.parse(this.#run(command, OUTPUT_JSON)) as { nftables: readonly object[] };
    return nftables.filter((object) => !("metainfo" in object));
  }

  listText(command: string): string {
    return this.#run(command, 0);
  }

  [Symbol.dispose](): void {
    if (this.#context !== undefined) this.#library.nft_ctx_free(this.#context);
    this.#context = undefined;
  }

  #run(command: string, flags: number): string {
    const context = this.#context;
    if (context === undefined) throw new Error("the nft context is closed");
    if (command.includes("\0")) throw new RangeError("nft text cannot hold a NUL character");
    this.#library.nft_ctx_output_set_flags(context, flags);
    const result = this.#library.nft_run_cmd_from_buffer(context, `${command}\n`);
    // Both buffers are emptied by being read.
    const output = this.#library.nft_ctx_get_output_buffer(context);
    const errors = this.#library.nft_ctx_get_error_buffer(context);
    if (result !== 0) throw new NftError(errors.trim() || `nft failed with ${result}`, command);
    return output;
  }
}

/**
 * The text as an nft comment, quotes included. nft has no escapes within quotes, so what would end them is refused.
 * @throws RangeError for quotes, backslashes, control characters, and more than 128 bytes
 */
export function quoteComment(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/["\\\u0000-\u001f\u007f]/.test(text) || Buffer.byteLength(text) >= MAX_COMMENT_BYTES) {
    throw new RangeError(
      `${JSON.stringify(text)} cannot be an nft comment: it has quotes, control characters, or over 127 bytes`,
    );
  }
  return `"${text}"`;
}
