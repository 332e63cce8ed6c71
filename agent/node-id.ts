import { randomUUID } from "node:crypto";
import { readFileIfThere, writeFileAtomic } from "./state-file.ts";

const PATTERN = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The machine's identity in the cluster: a random UUID, made at the first start and kept for good. It is never an
 * address and never the host's name, so both may change while the subnet stays.
 * @throws Error naming the file when it holds something else
 */
export function loadNodeId(path: string): string {
  const text = readFileIfThere(path)?.trim();
  if (text === undefined) {
    const id = randomUUID();
    writeFileAtomic(path, `${id}\n`);
    return id;
  }
  if (!PATTERN.test(text))
    throw new Error(
      `${path} holds ${JSON.stringify(text)}, which is not a UUID; delete the file to get a new identity`,
    );
  return text;
}
