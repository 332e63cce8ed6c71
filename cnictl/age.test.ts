import t from "tap";
import { formatAge, formatDuration, formatExpiry, timestamp } from "./age.ts";
import { parseDuration } from "./duration.ts";

const [SECOND, MINUTE, HOUR, DAY] = [1000, 60_000, 3_600_000, 86_400_000];

t.test("durations read as kubectl's AGE column", async (t) => {
  const rows: [number, string][] = [
    [-5 * SECOND, "0s"],
    [0, "0s"],
    [999, "0s"],
    [119 * SECOND, "119s"],
    [2 * MINUTE, "2m"],
    [2 * MINUTE + 5 * SECOND, "2m5s"],
    [10 * MINUTE + 59 * SECOND, "10m"],
    [179 * MINUTE, "179m"],
    [3 * HOUR, "3h"],
    [3 * HOUR + 20 * MINUTE, "3h20m"],
    [8 * HOUR + 59 * MINUTE, "8h"],
    [47 * HOUR, "47h"],
    [2 * DAY, "2d"],
    [2 * DAY + 3 * HOUR, "2d3h"],
    [8 * DAY + 3 * HOUR, "8d"],
    [729 * DAY, "729d"],
    [730 * DAY, "2y"],
    [735 * DAY, "2y5d"],
    [9 * 365 * DAY + DAY, "9y"],
  ];
  for (const [milliseconds, text] of rows) t.equal(formatDuration(milliseconds), text, text);
});

t.test("times that are not known, never come, or have passed are said in words", async (t) => {
  t.equal(formatAge(0, 1000), "<unknown>");
  t.equal(formatAge(1000, 61_000), "60s");
  t.equal(formatExpiry(0, 1000), "never");
  t.equal(formatExpiry(1000, 1000), "expired");
  t.equal(formatExpiry(61_000, 1000), "60s");
  t.equal(timestamp(Date.UTC(2026, 0, 2, 3, 4, 5, 678)), "2026-01-02T03:04:05Z");
  t.equal(timestamp(0), undefined);
});

t.test("times on the command line have a unit", async (t) => {
  for (const [text, milliseconds] of [
    ["500ms", 500],
    ["5s", 5000],
    ["1m30s", 90_000],
    ["1.5h", 5_400_000],
  ] as const) {
    t.equal(parseDuration(text), milliseconds, text);
  }
  for (const text of ["", "5", "-5s", "5 s", "s", "0s", "99999h", "5d", "1e3s"]) {
    t.throws(() => parseDuration(text), { name: "RangeError", message: new RegExp(`^"${text}"`) }, text);
  }
});
