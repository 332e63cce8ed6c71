import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type AttachmentName, attachmentKey } from "../../kernel/mark.ts";
import type { NftElement } from "../../kernel/nftables/element-message.ts";

/**
 * What an attachment has in our nft tables, in a file of its own: written before the elements, removed before they are.
 * Whoever finds that somebody emptied a table knows from them what belongs there; who finds a port taken, by whom. Under
 * /run, so that they go when the kernel's tables do.
 */
export interface AttachmentRecord extends AttachmentName {
  readonly elements: readonly NftElement[];
  /** What it needs and others need too: DEL leaves that. */
  readonly shared: readonly NftElement[];
}

export type RecordedElements = Pick<AttachmentRecord, "elements" | "shared">;

const FOLDER = "/run/podwire/elements";

/** @param kind whose elements they are: a plugin's name */
export function writeRecord(kind: string, name: AttachmentName, { elements, shared }: RecordedElements): void {
  const { network, containerId, ifName } = name;
  const path = recordPath(kind, attachmentKey(name));
  const text = JSON.stringify({
    ...{ network, containerId, ifName },
    elements: elements.map(toJson),
    shared: shared.map(toJson),
  });
  try {
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    mkdirSync(`${FOLDER}/${kind}`, { recursive: true, mode: 0o700 });
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
  }
  renameSync(`${path}.new`, path);
}

/** Undefined when there is none, or none that can be read. @param key of kernel/mark.ts attachmentKey */
export function readRecord(kind: string, key: string): AttachmentRecord | undefined {
  try {
    const { elements, shared, ...name } = JSON.parse(readFileSync(recordPath(kind, key), "utf8"));
    return { ...name, elements: elements.map(fromJson), shared: shared.map(fromJson) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
}

export function removeRecord(kind: string, key: string): void {
  rmSync(recordPath(kind, key), { force: true });
}

/** All of the plugin's. */
export function listRecords(kind: string): readonly AttachmentRecord[] {
  let names: readonly string[];
  try {
    names = readdirSync(`${FOLDER}/${kind}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return names.filter((name) => !name.endsWith(".new")).flatMap((name) => readRecord(kind, name) ?? []);
}

function recordPath(kind: string, key: string): string {
  return `${FOLDER}/${kind}/${key}`;
}

interface ElementJson {
  readonly of: NftElement["of"];
  readonly key: string;
  readonly keyEnd?: string;
  readonly value?: string;
  readonly comment?: string;
  readonly goto?: string;
  readonly jump?: string;
}

function toJson({ key, keyEnd, value, ...rest }: NftElement): object {
  return { ...rest, key: hex(key), ...(keyEnd && { keyEnd: hex(keyEnd) }), ...(value && { value: hex(value) }) };
}

function fromJson({ key, keyEnd, value, ...rest }: ElementJson): NftElement {
  return {
    ...rest,
    key: Buffer.from(key, "hex"),
    ...(keyEnd !== undefined && { keyEnd: Buffer.from(keyEnd, "hex") }),
    ...(value !== undefined && { value: Buffer.from(value, "hex") }),
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
