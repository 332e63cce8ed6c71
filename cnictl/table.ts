/** One column of a table of T. */
export interface Column<T> {
  /** The header, in capitals. */
  readonly title: string;
  /** Shown by `-o wide` alone. */
  readonly wide?: true;
  /** Changes by itself as time passes, so a change of it is no reason for a watch to print the row again. */
  readonly ticking?: true;
  cell(item: T, now: number): string;
}

/** Between two columns, as kubectl has it. */
const GAP = "   ";

/** What an empty cell shows. */
const NONE = "<none>";

/**
 * Lays rows out in aligned columns, no space at the end of a line. Widths only ever grow, so rows that a watch prints later line
 * up with those before while they fit.
 */
export class TableLayout<T> {
  readonly #columns: readonly Column<T>[];
  readonly #widths: number[];

  constructor(columns: readonly Column<T>[]) {
    this.#columns = columns;
    this.#widths = columns.map(({ title }) => title.length);
  }

  /** The lines of the rows, each ending with a line feed, after the line of headers when asked for. */
  render(items: readonly T[], options: { now: number; headers: boolean }): string {
    const rows = items.map((item) => this.cells(item, options.now));
    for (const row of rows) {
      for (const [i, cell] of row.entries()) this.#widths[i] = Math.max(this.#widths[i] ?? 0, displayWidth(cell));
    }
    const titles = this.#columns.map(({ title }) => title);
    return [...(options.headers ? [titles] : []), ...rows].map((row) => `${this.#line(row)}\n`).join("");
  }

  /** The texts of one row, safe to print. */
  cells(item: T, now: number): string[] {
    return this.#columns.map(({ cell }) => printable(cell(item, now)) || NONE);
  }

  /** What must change for a watch to print the row again. */
  fingerprint(item: T, now: number): string {
    const cells = this.cells(item, now);
    return JSON.stringify(cells.filter((_, i) => this.#columns[i]?.ticking !== true));
  }

  #line(cells: readonly string[]): string {
    const padded = cells.map((cell, i) => cell + " ".repeat(Math.max(0, (this.#widths[i] ?? 0) - displayWidth(cell))));
    return padded.join(GAP).trimEnd();
  }
}

/** A table laid out at once; see {@link TableLayout}. */
export function renderTable<T>(
  columns: readonly Column<T>[],
  items: readonly T[],
  options: { now: number; headers: boolean },
): string {
  return new TableLayout(columns).render(items, options);
}

/**
 * The text with every control and direction-changing character shown as an escape: names and messages come from other machines and must not
 * be able to move the cursor, colour the terminal, or forge a line.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]|\p{Cs}/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** Columns on a terminal, near enough: characters, not UTF-16 units. */
function displayWidth(text: string): number {
  return [...text].length;
}
