import { printable } from "./table.ts";

/** What stands beside a label: one line, several, or a block (a table) that is indented below the label. */
export type FieldValue = string | readonly string[] | { readonly block: string };

/** Labelled lines as `kubectl describe` prints them: values aligned, several lines one below the other, empty as `<none>`. */
export function renderFields(fields: readonly (readonly [label: string, value: FieldValue])[]): string {
  const width = Math.max(0, ...fields.map(([label]) => label.length)) + 3;
  return fields.map(([label, value]) => renderField(`${label}:`.padEnd(width), value)).join("");
}

function renderField(label: string, value: FieldValue): string {
  if (typeof value === "object" && "block" in value) {
    if (value.block === "") return `${label}<none>\n`;
    return `${label.trimEnd()}\n${value.block.replace(/^(?=.)/gm, "  ")}`;
  }
  const lines = (typeof value === "string" ? [value] : value).map(printable);
  const [first = "<none>", ...rest] = lines.map((line) => line || "<none>");
  return [label + first, ...rest.map((line) => " ".repeat(label.length) + line)].map((line) => `${line}\n`).join("");
}
