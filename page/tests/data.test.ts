import assert from "node:assert/strict";
import test from "node:test";
import { countWithin, curveOf, guaranteedAt, savesMost, stepAt, toNumber, valueAt, within, type Answer, type Policy, type Run } from "../src/data.ts";
import { axesOf, contour } from "../src/grid.ts";
import { rootTicks } from "../src/chart.ts";
import { csv } from "../src/read.ts";
import { domainOf } from "../src/runs.ts";
import { tolerances } from "../src/scatter.ts";

const policy = (fields: Partial<Policy>): Policy => ({ role: "candidate", runs: 10, saved: 0.5, loss: 0.01, front: false, outcomes: null, ...fields }) as Policy;
const run = (fields: Partial<Run>): Run => ({ id: "a", evals: 5, steps: { first: 10, every: 10 }, values: [5, 4, 3, null, "Infinity"], at: null, best: 2, judged: true, ...fields }) as Run;

test("steps and values of a whole and of a sampled curve", () => {
  assert.equal(stepAt(run({}), 3), 40);
  assert.equal(stepAt(run({ steps: [1, 5, 7] }), 2), 7);
  assert.deepEqual(curveOf(run({})).map((point) => point.value).slice(0, 3), [5, 4, 3]);
  assert.equal(toNumber("Infinity"), Infinity);
  assert.ok(Number.isNaN(toNumber(null)));
  const sampled = run({ evals: 9, values: [9, 5, 1], at: [0, 4, 8] });
  assert.equal(valueAt(sampled, 4), 5);
  assert.equal(valueAt(sampled, 6), 3);
  assert.equal(curveOf(sampled)[1]!.step, 50);
});

test("the policy that saves most within a tolerance", () => {
  const policies = [
    policy({ saved: 0.9, loss: 0.2 }),
    policy({ saved: 0.4, loss: 0.05 }),
    policy({ saved: 0.4, loss: 0.01 }),
    policy({ saved: 0.8, loss: 0.01, role: "baseline" }),
    policy({ saved: 0.7, loss: 0.01, runs: 3 }),
    policy({ saved: 0.6, loss: null }),
  ];
  assert.equal(savesMost(policies, 0.05), 2);
  assert.equal(savesMost(policies, 0.3), 0);
  assert.equal(savesMost(policies, 0), -1);
  assert.ok(within(0.05 + 1e-12, 0.05));
  assert.ok(!within(null, 1));
});

test("the policy that is guaranteed at a tolerance", () => {
  const answer = { rungs: [{ policy: "a", bound: 0.01, saved: 0.1 }, { policy: "b", bound: 0.04, saved: 0.3 }, { policy: "c", bound: 0.2, saved: 0.6 }] } as Answer;
  assert.equal(guaranteedAt(answer, 0.05), "b");
  assert.equal(guaranteedAt(answer, 0.005), null);
});

test("only judged runs with a known loss count as within the tolerance", () => {
  const outcomes = { stop: [], kept: [], saved: [], loss: [0, 0.1, null, 0] };
  const runs = [run({}), run({}), run({}), run({ judged: false })];
  assert.deepEqual(countWithin(policy({ outcomes }), runs, 0.05), { kept: 1, known: 2 });
});

test("the two longest dimensions of a grid are its axes", () => {
  const dimensions = [{ name: "a", values: ["1"] }, { name: "b", values: ["1", "2"] }, { name: "c", values: ["1", "2", "3"] }, { name: "d", values: ["1", "2"] }];
  assert.deepEqual(axesOf({ dimensions } as any), { x: 2, y: 1, rest: [3] });
});

test("the line of the tolerance runs between cells inside and outside, and not around the grid", () => {
  const cell = (x: number, y: number, inside: boolean) => ({ x, y, inside, index: 0, policy: policy({}) });
  assert.deepEqual(contour([cell(0, 0, false), cell(1, 0, true), cell(2, 0, true)]), [{ x1: 0.5, x2: 0.5, y1: -0.5, y2: 0.5 }]);
  assert.deepEqual(contour([cell(0, 0, true), cell(1, 0, true)]), []);
});

test("a run that diverges does not flatten the others", () => {
  const [low, high] = domainOf([1, 0.9, 0.8, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6, 900], true);
  assert.ok(high < 3 && low < 0.6);
  assert.deepEqual(domainOf([NaN], true), [0, 1]);
});

test("ticks of a square-root axis begin at 0 and stay inside", () => {
  const ticks = rootTicks(48);
  assert.equal(ticks[0], 0);
  assert.ok(ticks.length >= 4 && ticks.every((tick) => tick <= 48));
});

test("the slider has the tolerance of the command", () => {
  assert.ok(tolerances("lost", 0.037, [0.1]).includes(0.037));
  const steps = tolerances("regret", 0.012, [0.001, 3]);
  assert.ok(steps.includes(0.012) && steps[0] === 0 && steps.every((step, at) => !at || step > steps[at - 1]!));
});

test("no cell of the CSV is a formula", () => {
  const text = csv({ policies: [policy({ spec: '=cmd|"x"', verdict: "@sum" })] } as any);
  assert.match(text, /"'=cmd\|""x"""/);
  assert.match(text, /'@sum/);
});
