/** Standard input, made of the text of a right configuration. */
type Text = (conf: string) => string | Uint8Array;

/** No JSON at all. */
export const NOT_JSON: Readonly<Record<string, Text>> = {
  empty: () => "",
  "white space": () => " \n\t ",
  "one bracket": () => "{",
  "the wrong bracket": () => "{]",
  "a closing bracket": () => "}",
  "without the last bracket": (conf) => conf.slice(0, -1),
  "a quarter of it": (conf) => conf.slice(0, conf.length / 4),
  "half of it": (conf) => conf.slice(0, conf.length / 2),
  "three quarters of it": (conf) => conf.slice(0, (conf.length * 3) / 4),
  "without the first bracket": (conf) => conf.slice(1),
  twice: (conf) => conf + conf,
  "and a word": (conf) => `${conf} end`,
  "and a bracket": (conf) => `${conf}}`,
  "behind a comma": (conf) => `,${conf}`,
  "with a comma at the end": (conf) => `${conf.slice(0, -1)},}`,
  "with two commas": (conf) => conf.replace(",", ",,"),
  "without a colon": (conf) => conf.replace(":", " "),
  "with a semicolon": (conf) => conf.replace(",", ";"),
  "in single quotes": (conf) => conf.replaceAll('"', "'"),
  "with a key without quotes": (conf) => conf.replace('"cniVersion"', "cniVersion"),
  "with a comment": (conf) => `${conf.slice(0, -1)} /* end */}`,
  "with a comment of a line": (conf) => `// start\n${conf}`,
  "with NaN": (conf) => `${conf.slice(0, -1)},"kit":NaN}`,
  "with Infinity": (conf) => `${conf.slice(0, -1)},"kit":Infinity}`,
  "with undefined": (conf) => `${conf.slice(0, -1)},"kit":undefined}`,
  "with True": (conf) => `${conf.slice(0, -1)},"kit":True}`,
  "with a hexadecimal number": (conf) => `${conf.slice(0, -1)},"kit":0x10}`,
  "with a number that begins with 0": (conf) => `${conf.slice(0, -1)},"kit":010}`,
  "with a number that begins with +": (conf) => `${conf.slice(0, -1)},"kit":+1}`,
  "with a line feed in a string": (conf) => `${conf.slice(0, -1)},"kit":"a\nb"}`,
  "with a NUL in a string": (conf) => `${conf.slice(0, -1)},"kit":"a\0b"}`,
  "with an escape that is none": (conf) => `${conf.slice(0, -1)},"kit":"\\x41"}`,
  "with half an escape": (conf) => `${conf.slice(0, -1)},"kit":"\\u00"}`,
  "a string that does not end": (conf) => `${conf.slice(0, -1)},"kit":"`,
  XML: () => "<network/>",
  YAML: () => "cniVersion: 1.0.0\nname: kit-net\n",
  "random bytes": () => Uint8Array.from({ length: 256 }, (_, i) => (i * 197 + 13) & 255),
  "a million brackets": () => "[".repeat(1_000_000),
  "UTF-16": (conf) => Buffer.from(conf, "utf16le"),
};

/** JSON, but no object. */
export const NO_OBJECT: Readonly<Record<string, string>> = {
  "a number": "7",
  "a text": '"text"',
  true: "true",
  "a list": "[]",
  "a list of it": "[{}]",
};

/** JSON that is strange, and whose fate the specification leaves open. */
export const STRANGE: Readonly<Record<string, Text>> = {
  null: () => "null",
  "with a byte order mark": (conf) => `\ufeff${conf}`,
  "with bytes that are no UTF-8": (conf) =>
    Buffer.concat([Buffer.from(`${conf.slice(0, -1)},"kit":"`), Buffer.of(0xff, 0xfe), Buffer.from('"}')]),
  "with half a surrogate pair": (conf) => `${conf.slice(0, -1)},"kit":"\\ud800"}`,
  "with a key twice": (conf) => `${conf.slice(0, -1)},"cniVersion":"1.0.0"}`,
  "with __proto__": (conf) => `${conf.slice(0, -1)},"__proto__":{"mtu":7}}`,
  "with a number too large for a double": (conf) => `${conf.slice(0, -1)},"kit":1e999}`,
  "with a number of a thousand digits": (conf) => `${conf.slice(0, -1)},"kit":${"9".repeat(1000)}}`,
  "5,000 levels deep": (conf) => `${conf.slice(0, -1)},"kit":${"[".repeat(5000)}${"]".repeat(5000)}}`,
  "100,000 levels deep": (conf) => `${conf.slice(0, -1)},"kit":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
  "of 4 MB": (conf) => `${conf.slice(0, -1)},"kit":"${"x".repeat(4_000_000)}"}`,
  "with 50,000 keys": (conf) =>
    `${conf.slice(0, -1)},${Array.from({ length: 50_000 }, (_, i) => `"k${i}":0`).join(",")}}`,
};
