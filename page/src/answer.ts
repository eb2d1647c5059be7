/** The answer: the policy, what it saves and loses, and the code to paste. */
import { dot, ruleX, tickX, rectX, axisX } from "@observablehq/plot";
import { draw, Loss, onWidth } from "./chart.ts";
import { within } from "./data.ts";
import { copyButton, h, prose, specOf } from "./dom.ts";
import { counted, marksOf, percent, runsPerMark, span, visible } from "./format.ts";
import type { State } from "./state.ts";


export function answerSection(state: State): HTMLElement {
  const { answer } = state.page;
  const { headline } = answer;
  const trust = answer.is_guaranteed ? "guaranteed" : answer.policy ? "best guess" : "cannot tell";
  const title = h(
    "h1",
    { id: "answer-title" },
    headline.before,
    headline.policy ? specOf(headline.policy) : "",
    prose(headline.after),
  );
  const text = h("div", { class: "lead" }, ...answer.sentences.map((sentence) => h("p", null, prose(sentence))));
  if (!answer.policy) text.append(h("p", null, prose(answer.reason)));
  return h(
    "section",
    { id: "answer", "aria-labelledby": "answer-title" },
    h(
      "p",
      { class: "eyebrow" },
      "Recommended stop policy ",
      h("span", { class: `badge ${trust.replace(" ", "-")}` }, trust),
    ),
    title,
    h("div", { class: "answer-grid" }, text, codeBox(state)),
    tiles(state),
  );
}

function codeBox(state: State): HTMLElement | null {
  const { code, check } = state.page.answer;
  const entries = [...code, ...(check ? [{ label: "replay check", text: `${check}\n` }] : [])];
  if (!entries.length) return null;
  let shown = 0;
  const pre = h("pre", { tabindex: 0, "aria-label": "Code that stops a training by this policy" });
  const tabs = entries.map((entry, index) =>
    h("button", { type: "button", class: "tab", click: () => show(index) }, visible(entry.label)),
  );
  const show = (index: number) => {
    shown = index;
    pre.textContent = entries[index]!.text.trimEnd();
    tabs.forEach((tab, at) => tab.setAttribute("aria-pressed", String(at === index)));
  };
  show(0);
  return h(
    "div",
    { class: "code" },
    h(
      "div",
      { class: "code-bar" },
      h("div", { class: "tabs", role: "group", "aria-label": "Framework" }, ...tabs),
      copyButton(() => `${entries[shown]!.text.trimEnd()}\n`, "the code"),
    ),
    pre,
  );
}

function tiles(state: State): HTMLElement | null {
  const { answer, tolerance, runs } = state.page;
  const held = answer.held_out;
  if (!held) return null;
  const loss = new Loss(state.page);
  const judged = (values: (number | null)[]) => values.filter((value, index) => value !== null && runs[index]!.judged) as number[];
  const lossMean = { lost: held.lost_mean, regret: held.regret_mean, relative_regret: held.relative_regret_mean }[tolerance.kind];
  const [low, high] =
    tolerance.kind === "lost" ? [held.lost_low, held.lost_high] : tolerance.kind === "regret" ? [held.regret_low, held.regret_high] : [null, null];
  const inside = judged(held.loss_runs).map((value) => within(value, tolerance.value));
  const perMark = runsPerMark(inside.length);
  const source = `cross-validated by ${held.by}`;
  const saved = tile(
    "Compute saved",
    percent(held.saved_mean),
    span(held.saved_low, held.saved_high),
    source,
    strip({
      values: judged(held.saved_runs).map((value) => 100 * value),
      mean: 100 * held.saved_mean,
      ends: [held.saved_low, held.saved_high].map((end) => (end === null ? null : 100 * end)),
      limit: null,
      most: 100,
      tick: (value) => `${value}%`,
    }),
    `The line is the mean, the band its 95% interval, and each tick one ${perMark > 1 ? `of ${perMark} runs` : "run"}.`,
  );
  const values = judged(held.loss_runs).map((value) => loss.factor * value);
  const lost = tile(
    answer.is_guaranteed ? "Improvement lost, at most" : `${loss.noun.charAt(0).toUpperCase()}${loss.noun.slice(1)}`,
    answer.is_guaranteed ? loss.limit(tolerance.value) : loss.text(lossMean),
    answer.is_guaranteed ? "guaranteed on average" : tolerance.kind === "regret" ? `${loss.text(low)}–${loss.text(high)}` : span(low, high),
    answer.is_guaranteed ? `${loss.text(lossMean)}${span(low, high) ? ` (${span(low, high)})` : ""} ${source}` : source,
    strip({
      values,
      mean: lossMean === null ? null : loss.factor * lossMean,
      ends: [low, high].map((end) => (end === null ? null : loss.factor * end)),
      limit: loss.factor * tolerance.value,
      most: Math.max(...values, 2 * loss.factor * tolerance.value),
      tick: loss.tick,
    }),
    `The dashed line is the tolerance. The worst run: ${loss.short(Math.max(...judged(held.loss_runs), 0))}.`,
  );
  const over = held.judged - held.kept;
  const kept = tile(
    "Runs within the tolerance",
    held.kept.toLocaleString("en"),
    `of ${held.judged.toLocaleString("en")}`,
    source,
    marks(inside, perMark),
    perMark > 1
      ? `One mark per ${perMark} runs, rounded up; ${over ? counted(over, "run") : "none"} lost more than ${loss.limit(tolerance.value)}.`
      : over
        ? `One mark per run; ${counted(over, "filled square")} lost more than ${loss.limit(tolerance.value)}.`
        : "One mark per run; none lost more.",
  );
  return h("div", { class: "tiles" }, saved, lost, kept);
}

function tile(label: string, figure: string, beside: string, source: string, chart: HTMLElement, note: string): HTMLElement {
  return h(
    "div",
    { class: "tile" },
    h("h2", null, label),
    h("p", { class: "figure" }, h("strong", null, prose(figure)), " ", h("span", null, prose(beside))),
    h("p", { class: "source" }, prose(source)),
    chart,
    h("p", { class: "note" }, prose(note)),
  );
}

interface Strip {
  values: number[];
  mean: number | null;
  ends: (number | null)[];
  limit: number | null;
  most: number;
  tick: (value: number) => string;
}

function strip({ values, mean, ends, limit, most, tick }: Strip): HTMLElement {
  const holder = h("div", { class: "strip" });
  const step = runsPerMark(values.length);
  const shown = values.slice().sort((a, b) => a - b).filter((_, index) => index % step === 0);
  const [low, high] = ends;
  onWidth(holder, (width) =>
    holder.replaceChildren(
      draw({
        width,
        height: 52,
        marginTop: 2,
        marginBottom: 20,
        marginLeft: 14,
        marginRight: 18,
        x: { domain: [0, Math.max(most, 1e-9)], clamp: true },
        marks: [
          typeof low === "number" && typeof high === "number" ? rectX([0], { x1: low, x2: high, fill: "var(--blue)", fillOpacity: 0.16 }) : null,
          tickX(shown, { x: (d) => d, stroke: "var(--ink)", strokeOpacity: 0.55, insetTop: 5, insetBottom: 5 }),
          limit === null ? null : ruleX([limit], { stroke: "var(--over)", strokeDasharray: "3,2", strokeWidth: 1.5 }),
          mean === null ? null : ruleX([mean], { stroke: "var(--blue)", strokeWidth: 3 }),
          axisX({ ticks: 3, tickFormat: tick, tickSize: 0, label: null, fill: "var(--muted)" }),
        ],
      }),
    ),
  );
  return holder;
}

function marks(inside: boolean[], perMark: number): HTMLElement {
  const holder = h("div", { class: "strip" });
  const ordered = marksOf(inside, perMark);
  onWidth(holder, (width) => {
    const size = ordered.length > 120 ? 8 : 14;
    const columns = Math.max(1, Math.floor(width / size));
    const rows = Math.ceil(ordered.length / columns);
    const at = ordered.map((kept, index) => ({ kept, x: (index % columns) + 0.5, y: Math.floor(index / columns) + 0.5 }));
    holder.replaceChildren(
      draw({
        width,
        height: Math.max(rows * size, 30) + 8,
        margin: 0,
        marginTop: 4,
        axis: null,
        x: { domain: [0, width / size], range: [0, width] },
        y: { domain: [0, rows], range: [4, rows * size + 4] },
        marks: [
          dot(at.filter((one) => one.kept), { x: "x", y: "y", r: size / 3.4, stroke: "var(--muted)", strokeWidth: 1.2 }),
          dot(at.filter((one) => !one.kept), { x: "x", y: "y", r: size / 3.2, symbol: "square", fill: "var(--over)" }),
        ],
      }),
    );
  });
  return holder;
}
