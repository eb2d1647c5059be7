import assert from "node:assert/strict";
import test from "node:test";
import { overlap, placeLabels, type Box, type Labelled } from "../src/labels.ts";

const BOUNDS: Box = { left: 0, top: 0, right: 600, bottom: 300 };
const label = (x: number, y: number, text: string): Labelled => ({ x, y, text, radius: 5, size: 12 });
const boxOf = ({ text, size }: Labelled, { x, y }: { x: number; y: number }): Box => {
  const [width, height] = [0.58 * size * text.length, 1.2 * size];
  return { left: x - width / 2, top: y - height / 2, right: x + width / 2, bottom: y + height / 2 };
};

test("labels cover no mark and no other label", () => {
  const labels = [label(200, 200, "patience=4"), label(215, 205, "patience=3"), label(190, 190, "best possible"), label(205, 212, "one-epoch")];
  const marks = [...labels, ...[180, 230, 245, 260].map((x) => ({ x, y: 205, radius: 4 }))];
  const boxes = placeLabels(labels, marks, [], BOUNDS).map((place, index) => boxOf(labels[index]!, place));
  boxes.forEach((box, index) => {
    for (const other of boxes.slice(index + 1)) assert.ok(!overlap(box, other));
    for (const { x, y, radius } of marks) assert.ok(!overlap(box, { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }));
  });
});

test("labels stay inside, beside what is written already", () => {
  const corner = label(598, 298, "patience=20,min_delta=0.001");
  const written = { left: 380, top: 270, right: 600, bottom: 300 };
  const box = boxOf(corner, placeLabels([corner], [corner], [written], BOUNDS)[0]!);
  assert.ok(box.left >= 0 && box.top >= 0 && box.right <= 600 && box.bottom <= 300);
  assert.ok(!overlap(box, written));
});

test("a label without a free place covers as little as it can", () => {
  const marks = Array.from({ length: 900 }, (_, index) => ({ x: (index % 30) * 20, y: Math.floor(index / 30) * 10, radius: 6 }));
  const places = placeLabels([label(300, 150, "patience=4")], marks, [], BOUNDS);
  assert.equal(places.length, 1);
  assert.ok(Number.isFinite(places[0]!.x) && Number.isFinite(places[0]!.y));
});
