import t from "tap";
import { CniError, Code } from "./error.ts";
import { DEEPEST_NESTING, LARGEST_DOCUMENT, MOST_KEYS, parseJson, parseJsonBytes } from "./json.ts";
import { fastest, HOSTILE_MS } from "./testing.ts";

/** Plain objects with prototypes, to compare with. */
const plain = (value: unknown) => structuredClone(value);

t.test("what is JSON means what JSON.parse says", async (t) => {
  const rows = [
    "{}",
    "[]",
    "null",
    '""',
    "0",
    "-0",
    "-1.5e-3",
    "1E2",
    "9007199254740991",
    "-9007199254740991",
    ' { "a" : [ 1 , true , false , null , "x" ] }\r\n\t',
    '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00"',
    '"é 😀 \u2028"',
    '{"a":{"a":{"b":1}},"b":{"b":[[],[{}]]}}',
    '{"":1,"0":2,"00":3}',
  ];
  for (const [row, text] of rows.entries()) t.strictSame(plain(parseJson(text)), JSON.parse(text), `row ${row}`);
});

t.test("what is not JSON is refused with code 6 and its place", async (t) => {
  const rows = [
    "",
    " ",
    "{",
    "}",
    "[1,]",
    "[,1]",
    '{"a":1,}',
    '{"a" 1}',
    "{a:1}",
    "{'a':1}",
    "01",
    "1.",
    ".5",
    "+1",
    "1e",
    "0x10",
    "NaN",
    "Infinity",
    "tru",
    "truefalse",
    "{} {}",
    "[1] x",
    '"abc',
    '"a\\',
    '"a\\x"',
    '"a\\u12g4"',
    '"line\nbreak"',
    '"\u0000"',
    "// no comments\n{}",
    "\ufeff{}",
  ];
  for (const text of rows) {
    t.throws(() => JSON.parse(text.replace("\ufeff", "?")), "JSON.parse refuses it too");
    t.throws(() => parseJson(text), { code: Code.decodingFailure, message: /at character \d+$/ }, JSON.stringify(text));
  }
});

t.test(
  "S2: duplicate keys, lone surrogates, numbers JavaScript would change and deep nesting are refused",
  async (t) => {
    const deep = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    const deepest = DEEPEST_NESTING + 1; // the outermost array lies at depth 0
    t.doesNotThrow(() => parseJson(deep(deepest)));
    const rows: readonly [text: string, problem: RegExp][] = [
      ['{"a":1,"b":2,"a":3}', /duplicate key "a"/],
      ['{"a":1,"\\u0061":3}', /duplicate key "a"/],
      ['{"__proto__":1,"__proto__":2}', /duplicate key "__proto__"/],
      ['"\\ud800"', /surrogate/],
      ['"\\udc00\\ud800"', /surrogate/],
      ['{"\\udfff":1}', /surrogate/],
      ["9007199254740993", /beyond 9007199254740991/],
      ["-9007199254740992", /beyond/],
      ["1e400", /beyond/],
      [deep(deepest + 1), /nested deeper than 32/],
      [
        JSON.stringify(Object.fromEntries(Array.from({ length: MOST_KEYS + 1 }, (_, i) => [`k${i}`, i]))),
        /more than 4096 keys/,
      ],
      [`${'{"a":'.repeat(deepest + 1)}1`, /nested deeper than 32/],
    ];
    for (const [text, message] of rows) t.throws(() => parseJson(text), { code: Code.decodingFailure, message }, text);
  },
);

t.test("S2: no key reaches a prototype", async (t) => {
  const before = Object.getOwnPropertyNames(Object.prototype);
  const value = parseJson('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":2}');
  t.strictSame(Object.getOwnPropertyNames(Object.prototype), before);
  t.equal(({} as { polluted?: number }).polluted, undefined);
  t.equal(Object.getPrototypeOf(value), null);
  t.strictSame(Object.keys(value as object), ["__proto__", "constructor", "toString"], "they are keys like others");
  t.equal(JSON.stringify({ ...(value as object) }).includes('"__proto__":{"polluted":1}'), true, "and travel on");
});

t.test("S2: a document of more than 1 MiB, or not UTF-8, is refused", async (t) => {
  const exact = Buffer.from(`"${"x".repeat(LARGEST_DOCUMENT - 2)}"`);
  t.doesNotThrow(() => parseJsonBytes(exact));
  t.throws(() => parseJsonBytes(Buffer.concat([exact, Buffer.from(" ")])), { code: 6, message: /larger than 1048576/ });
  t.throws(() => parseJsonBytes(Buffer.from([0x22, 0xff, 0x22])), { code: 6, message: /UTF-8/ });
  t.throws(() => parseJsonBytes(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), { code: 6, message: /UTF-8/ });
});

t.test("S2: hostile documents of 1 MiB are answered without much work", async (t) => {
  const size = LARGEST_DOCUMENT;
  const fill = (unit: string) => unit.repeat(Math.floor((size - 2) / unit.length));
  const keys = Array.from({ length: 70_000 }, (_, i) => `"k${i.toString(36)}":1`).join(",");
  const indexes = Array.from({ length: 60_000 }, (_, i) => `"${i * 65_537}":1`).join(",");
  const objects = (count: number, key: (i: number) => string) =>
    `[${Array.from({ length: count }, (_, object) => {
      return `{${Array.from({ length: MOST_KEYS }, (_, i) => `"${key(object * MOST_KEYS + i)}":1`).join(",")}}`;
    }).join(",")}]`;
  const rows: Readonly<Record<string, string>> = {
    "as many keys as allowed, in many objects": objects(17, (i) => `k${i.toString(36)}`),
    "sparse indexes as keys, in many objects": objects(14, (i) => String(i * 65_537)),
    "open arrays": fill("["),
    "open objects": fill('{"a":'),
    "many keys": `{${keys}}`,
    "sparse indexes as keys": `{${indexes}}`,
    "empty arrays": `[${fill("[],")}[]]`,
    "a string of escapes": `"${fill("\\u0041")}"`,
    "a string of backslashes without an end": `"${fill("\\\\")}`,
    "a string of broken escapes": `"${fill("\\x")}"`,
    "many short strings": `[${fill('"a",')}1]`,
    "one long number": fill("9"),
    "one long fraction": `0.${fill("1")}`,
    "one long broken exponent": `1e${fill("+")}`,
    "white space": fill(" "),
    commas: `[${fill(",")}]`,
    "many surrogate pairs, the last one broken": `"${fill("\\ud83d\\ude00").slice(12)}\\ud83d"`,
  };
  for (const [name, text] of Object.entries(rows)) {
    t.ok(text.length <= size && text.length > size / 2, `${name} is near 1 MiB`);
    const elapsed = await fastest(async () => parseIt(text));
    t.ok(elapsed < HOSTILE_MS, `${name}: ${elapsed.toFixed(1)} ms`);
  }
});

function parseIt(text: string): void {
  try {
    parseJsonBytes(Buffer.from(text));
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
  }
}

t.test("random documents survive parse and print; random damage never gets past unnoticed", async (t) => {
  const random = generator(20_240_601);
  for (let round = 0; round < 2000; round++) {
    const text = JSON.stringify(randomJson(random, 0));
    t.equal(JSON.stringify(parseJson(text)), JSON.stringify(JSON.parse(text)));
    const at = Math.floor(random() * text.length);
    const damaged = text.slice(0, at) + '{}[]",:\\01e-.'[Math.floor(random() * 13)] + text.slice(at + 1);
    const [ours, theirs] = [outcome(() => parseJson(damaged)), outcome(() => JSON.parse(damaged))];
    // stricter is fine; accepting what JSON.parse refuses, or reading something else, is not
    if (ours !== undefined) t.equal(ours, theirs, damaged);
  }
});

function outcome(parse: () => unknown): string | undefined {
  try {
    return JSON.stringify(parse());
  } catch {
    return undefined;
  }
}

function randomJson(random: () => number, depth: number): unknown {
  const kind = Math.floor(random() * (depth > 4 ? 5 : 7));
  if (kind === 0) return null;
  if (kind === 1) return random() < 0.5;
  if (kind === 2) return Math.floor((random() - 0.5) * 2 ** 53);
  if (kind === 3) return random() * 1e6;
  if (kind === 4) return randomText(random);
  const items = Array.from({ length: Math.floor(random() * 5) }, () => randomJson(random, depth + 1));
  if (kind === 5) return items;
  return Object.fromEntries(items.map((item) => [randomText(random), item]));
}

function randomText(random: () => number): string {
  const alphabet = ["a", "b", '"', "\\", "\n", "é", "😀", "/", "__proto__", "\u0000", " "];
  return Array.from({ length: Math.floor(random() * 6) }, () => alphabet[Math.floor(random() * 11)]).join("");
}

/** mulberry32: the same sequence in every run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
