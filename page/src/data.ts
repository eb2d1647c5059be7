/** The data that `replay report` puts into the page. */

export type Num = number | null | "Infinity" | "-Infinity";

export interface Outcomes {
  stop: (number | null)[];
  kept: (number | null)[];
  saved: (number | null)[];
  loss: (number | null)[];
}

export interface Policy {
  spec: string;
  name: string;
  role: "baseline" | "candidate" | "tool";
  tool: string | null;
  front: boolean;
  runs: number;
  stopped: number;
  censored: number;
  saved: number | null;
  saved_low: number | null;
  saved_high: number | null;
  total: number | null;
  lost: number | null;
  lost_low: number | null;
  lost_high: number | null;
  worst: number | null;
  loss: number | null;
  loss_low: number | null;
  loss_high: number | null;
  equal: number | null;
  verdict: string | null;
  outcomes: Outcomes | null;
}

export interface Series {
  label: string;
  signal: boolean;
  steps: number[];
  values: Num[];
}

export interface Run {
  id: string;
  group: string | null;
  dataset: string | null;
  model: string | null;
  format: string | null;
  settings: Record<string, string>;
  source: string[];
  metric: string;
  evals: number;
  steps: { first: number; every: number } | number[];
  values: Num[];
  at: number[] | null;
  best: number | null;
  best_value: Num;
  improvement: Num;
  noise: Num;
  judged: boolean;
  censored: string | null;
  improving: string | null;
  series: Series[];
}

export interface Trace {
  counter: Num[];
  reference: [number, Num][];
  seen: Num[] | null;
  why: string | null;
  reason: string[] | null;
}

export interface HeldOut {
  by: string;
  kept: number;
  judged: number;
  runs: number;
  censored: number;
  saved_mean: number;
  saved_low: number | null;
  saved_high: number | null;
  lost_mean: number | null;
  lost_low: number | null;
  lost_high: number | null;
  lost_worst: number | null;
  regret_mean: number | null;
  regret_low: number | null;
  regret_high: number | null;
  relative_regret_mean: number | null;
  budget_lost: number | null;
  saved_runs: (number | null)[];
  loss_runs: (number | null)[];
}

export interface Answer {
  status: string;
  policy: string | null;
  guess: string | null;
  headline: { before: string; policy: string | null; after: string };
  sentences: string[];
  reason: string;
  guarantee: { tolerance: number; confidence: number | null } | null;
  held_out: HeldOut | null;
  is_guaranteed: boolean;
  rungs: { policy: string; bound: number | null; saved: number | null }[];
  code: { label: string; text: string }[];
  check: string;
  groups: { group: string; runs: number; saved: number | null; loss: number | null }[];
}

export interface Grid {
  rule: string;
  dimensions: { name: string; values: string[] }[];
  policies: number[];
  coordinates: number[][];
  centre: number | null;
  refused: number;
}

export interface Setting {
  label: string;
  differ: number;
  tools: { name: string; policy: number }[];
}

export type Block =
  | { kind: "paragraph"; lines: string[] }
  | { kind: "list"; items: string[] }
  | { kind: "code"; text: string }
  | { kind: "table"; head: string[]; rows: string[][]; left: number[]; more: number };

export interface Page {
  schema: number;
  source: string;
  paths: string[];
  command: string[];
  versions: Record<string, string>;
  setting: {
    monitor: { metric: string; mode: string };
    objective: { metric: string; mode: string };
    unit: string;
  };
  setting_text: string[];
  tolerance: { kind: "lost" | "regret" | "relative_regret"; value: number; text: string };
  answer: Answer;
  policies: Policy[];
  candidates: number;
  budget: { saved: number[]; loss: Num[] } | null;
  grids: Grid[];
  frameworks: Setting[];
  runs: Run[];
  traces: { policy: string; limit: Num; runs: (Trace | null)[] }[];
  sampling: string[];
  read: Block[];
  notes: string[];
  methods: { term: string; text: string }[];
}

/** A number, or NaN where the log has none; infinities are numbers. */
export function toNumber(value: Num | undefined): number {
  if (value === "Infinity") return Infinity;
  if (value === "-Infinity") return -Infinity;
  return value ?? NaN;
}

/** The step of an eval of a run, by its 0-based position. */
export function stepAt(run: Run, position: number): number {
  return Array.isArray(run.steps) ? run.steps[position] ?? NaN : run.steps.first + position * run.steps.every;
}

export interface Point {
  position: number;
  step: number;
  value: number;
}

/** The evals of a run's curve that the page holds. */
export function curveOf(run: Run): Point[] {
  return run.values.map((value, index) => {
    const position = run.at ? run.at[index]! : index;
    return { position, step: stepAt(run, position), value: toNumber(value) };
  });
}

/** The value at a position, between its neighbours where the curve is sampled. */
export function valueAt(run: Run, position: number): number {
  if (!run.at) return toNumber(run.values[position]);
  const after = run.at.findIndex((at) => at >= position);
  if (after < 0) return NaN;
  const high = run.at[after]!;
  if (high === position || after === 0) return toNumber(run.values[after]);
  const low = run.at[after - 1]!;
  const share = (position - low) / (high - low);
  return (1 - share) * toNumber(run.values[after - 1]) + share * toNumber(run.values[after]);
}

/** The mean of the known values; null without any. */
export function mean(values: (number | null)[]): number | null {
  const known = values.filter((value): value is number => value !== null);
  return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
}

/** Whether a loss is at most the tolerance, but for rounding. */
export function within(loss: number | null, tolerance: number): boolean {
  return loss !== null && loss <= tolerance + 1e-9 * Math.max(1, Math.abs(tolerance));
}

/** How many judged runs of a policy lose at most the tolerance, and of how many the loss is known. */
export function countWithin(policy: Policy, runs: Run[], tolerance: number): { kept: number; known: number } {
  let kept = 0;
  let known = 0;
  policy.outcomes?.loss.forEach((loss, index) => {
    if (loss === null || !runs[index]!.judged) return;
    known += 1;
    if (within(loss, tolerance)) kept += 1;
  });
  return { kept, known };
}

/** The index of the candidate that saves most among those within the tolerance; −1 where there is none. */
export function savesMost(policies: Policy[], tolerance: number): number {
  let best = -1;
  const most = Math.max(0, ...policies.map((policy) => (policy.role === "candidate" ? policy.runs : 0)));
  policies.forEach((policy, index) => {
    if (policy.role !== "candidate" || policy.runs < most || policy.saved === null) return;
    if (!within(policy.loss, tolerance) || policy.saved <= 1e-9) return;
    const other = policies[best];
    if (!other || policy.saved > other.saved! + 1e-9) best = index;
    else if (policy.saved > other.saved! - 1e-9 && policy.loss! < other.loss! - 1e-9) best = index;
  });
  return best;
}

/** The policy that is guaranteed at a tolerance, by the bounds of the ladder's rungs; null: none. */
export function guaranteedAt(answer: Answer, tolerance: number): string | null {
  const able = answer.rungs.filter((rung) => within(rung.bound, tolerance) && (rung.saved ?? 0) > 1e-9);
  return able.reduce<(typeof able)[number] | null>(
    (best, rung) => (!best || rung.saved! > best.saved! + 1e-9 ? rung : best),
    null,
  )?.policy ?? null;
}
