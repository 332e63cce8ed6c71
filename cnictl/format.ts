import { usageError } from "./exit.ts";
import type { ApiObject } from "./resources/resource.ts";

/** What `-o` takes. */
export const FORMATS = ["table", "wide", "json", "yaml", "name"] as const;
export type Format = (typeof FORMATS)[number];

/** @throws CommandError naming the word and what would do. */
export function parseFormat<T extends Format>(word: string, allowed: readonly T[]): T {
  const format = allowed.find((known) => known === word);
  if (format === undefined) throw usageError(`-o ${word}: the output formats here are ${allowed.join(", ")}`);
  return format;
}

/** Several objects as one, as kubectl shows them. */
export function listOf(items: readonly ApiObject[]): object {
  return { apiVersion: "podwire.io/v1", kind: "List", items };
}

/** Any value as JSON or YAML text that ends with a line feed. The YAML parser is loaded when it is needed. */
export async function renderValue(value: unknown, format: "json" | "yaml", explicitDocument = false): Promise<string> {
  if (format === "json") return `${escapeC1(JSON.stringify(value, null, 4), "\\u00")}\n`;
  const { stringify } = await import("yaml");
  const text = escapeC1(stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 }), "\\x");
  return explicitDocument ? `---\n${text}` : text;
}

/**
 * Neither JSON.stringify nor the YAML library escapes DEL and the C1 control characters, which terminals obey. (Where YAML has
 * a text without quotes, what is shown then is not what it is, but it is shown and not obeyed.)
 */
function escapeC1(text: string, prefix: "\\u00" | "\\x"): string {
  return text.replace(/[\x7f-\x9f]/g, (char) => prefix + char.charCodeAt(0).toString(16));
}
