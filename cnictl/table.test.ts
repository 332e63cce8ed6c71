import t from "tap";
import { renderFields } from "./fields.ts";
import { type Column, printable, renderTable, TableLayout } from "./table.ts";

interface Row {
  readonly name: string;
  readonly age: string;
}
const columns: readonly Column<Row>[] = [
  { title: "NAME", cell: ({ name }) => name },
  { title: "AGE", ticking: true, cell: ({ age }) => age },
];

t.test("columns are as wide as their widest cell, and no line ends with a space", async (t) => {
  const rows = [
    { name: "a", age: "5m" },
    { name: "längster", age: "" },
  ];
  t.equal(renderTable(columns, rows, { now: 0, headers: true }), "NAME       AGE\na          5m\nlängster   <none>\n");
  t.equal(renderTable(columns, rows.slice(0, 1), { now: 0, headers: false }), "a      5m\n");
});

t.test("rows printed later line up with those before", async (t) => {
  const layout = new TableLayout(columns);
  layout.render([{ name: "node-100", age: "5m" }], { now: 0, headers: true });
  t.equal(layout.render([{ name: "n", age: "6m" }], { now: 0, headers: false }), "n          6m\n");
});

t.test("a row that only grew older has not changed", async (t) => {
  const layout = new TableLayout(columns);
  t.equal(layout.fingerprint({ name: "n", age: "5m" }, 0), layout.fingerprint({ name: "n", age: "6m" }, 0));
  t.not(layout.fingerprint({ name: "n", age: "5m" }, 0), layout.fingerprint({ name: "m", age: "5m" }, 0));
});

t.test("text from other machines cannot act on the terminal", async (t) => {
  t.equal(printable("a\x1b[2Jb\nc\td\x9b1m"), "a\\x1b[2Jb\\x0ac\\x09d\\x9b1m");
  t.equal(printable("a\u202eb\u2028c\ud800d"), "a\\u202eb\\u2028c\\ud800d");
  t.equal(printable("käse 日本 🙂"), "käse 日本 🙂");
  t.notMatch(renderFields([["Message", "fine\nName: forged"]]), /^Name: forged/m);
});

t.test("labelled lines are aligned, blocks are indented below their label", async (t) => {
  const text = renderFields([
    ["Name", "x"],
    ["Addresses", ["192.0.2.1", "2001:db8::1"]],
    ["Failures", []],
    ["Pods", { block: "NAME\na\n" }],
    ["Leases", { block: "" }],
  ]);
  t.equal(
    text,
    [
      "Name:       x",
      "Addresses:  192.0.2.1",
      "            2001:db8::1",
      "Failures:   <none>",
      "Pods:",
      "  NAME",
      "  a",
      "Leases:     <none>",
      "",
    ].join("\n"),
  );
});
