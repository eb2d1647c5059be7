import assert from "node:assert/strict";
import test from "node:test";
import { marksOf, number, percent, quoted, runsPerMark, sharedPrefix, shorten, span, visible } from "../src/format.ts";

test("a share reads as in the other outputs", () => {
  const cases: [number | null, string][] = [
    [null, "?"],
    [NaN, "?"],
    [0, "0%"],
    [0.0001, "<0.1%"],
    [0.042, "4.2%"],
    [0.0995, "10%"],
    [0.0994, "9.9%"],
    [0.31, "31%"],
    [0.125, "12%"],
    [0.135, "14%"],
    [0.0025, "0.2%"],
    [0.0035, "0.4%"],
    [1, "100%"],
    [-0.02, "-2.0%"],
  ];
  for (const [share, text] of cases) assert.equal(percent(share), text, String(share));
});

test("an interval has its ends, and nothing where there is none", () => {
  assert.equal(span(0.33, 0.58), "33–58%");
  assert.equal(span(0.004, 0.052), "0.4–5.2%");
  assert.equal(span(0.1, 0.1), "");
  assert.equal(span(null, 0.1), "");
});

test("numbers", () => {
  assert.equal(number(1200), "1200");
  assert.equal(number(0.123456), "0.1235");
  assert.equal(number(1e-7), "1.000e-7");
  assert.equal(number(NaN), "–");
  assert.equal(number(-Infinity), "−∞");
});

test("what cannot be seen in a name is shown", () => {
  assert.equal(visible("a\u202eb\u0000\u200b\ud800"), "a\\u202eb\\u0000\\u200b\\ud800");
  assert.equal(visible("ok 😀 <b>"), "ok 😀 <b>");
});

test("names are shortened in the middle, and shared beginnings end at a separator", () => {
  assert.equal(shorten("abcdefghij", 5), "ab…ij");
  assert.equal(shorten("abc", 5), "abc");
  assert.equal(sharedPrefix(["net-r4-lr1", "net-r4-lr3", "net-r16"]), "net-");
  assert.equal(sharedPrefix(["alpha", "beta"]), "");
  assert.equal(sharedPrefix(["one"]), "");
});

test("words of a command can be pasted into a shell", () => {
  assert.equal(["replay", "a b", "it's", "$(x)", "--max-lost", "5%"].map(quoted).join(" "), `replay 'a b' 'it'"'"'s' '$(x)' --max-lost 5%`);
});


test("many runs share marks, and no run over the tolerance is left without one", () => {
  const inside = (kept: number, over: number) => [...Array<boolean>(over).fill(false), ...Array<boolean>(kept).fill(true)];
  assert.equal(runsPerMark(400), 1);
  assert.deepEqual(marksOf(inside(2, 1), runsPerMark(3)), [true, true, false]);
  const perMark = runsPerMark(10000);
  assert.equal(perMark, 25);
  const marks = marksOf(inside(9697, 303), perMark);
  assert.equal(marks.filter((one) => one).length, 388);
  assert.equal(marks.filter((one) => !one).length, 13);
  assert.equal(marksOf(inside(9999, 1), perMark).filter((one) => !one).length, 1);
});
