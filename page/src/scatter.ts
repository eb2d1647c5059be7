/** Saved against lost: every policy, the Pareto front, the equal budget and the tolerance. */
import { areaY, axisX, axisY, dot, gridX, gridY, line, link, ruleY, scale, text } from "@observablehq/plot";
import { draw, Loss, onWidth, rootTicks } from "./chart.ts";
import { countWithin, guaranteedAt, mean, savesMost, toNumber, type Policy } from "./data.ts";
import { h, prose, replace, specOf } from "./dom.ts";
import { number, percent, shorten, span, visible } from "./format.ts";
import { placeLabels, type Box, type Place } from "./labels.ts";
import type { State } from "./state.ts";

interface Mark {
  index: number;
  x: number;
  y: number;
  policy: Policy;
}

export function scatterSection(state: State): HTMLElement {
  const { page } = state;
  const loss = new Loss(page);
  const points: Mark[] = page.policies.flatMap((policy, index) =>
    policy.role !== "tool" && policy.saved !== null && policy.loss !== null
      ? [{ index, x: 100 * policy.saved, y: loss.factor * policy.loss, policy }]
      : [],
  );
  const front = points.filter((point) => point.policy.front).sort((a, b) => a.x - b.x);
  const holder = h("div", {
    class: "scatter",
    tabindex: 0,
    role: "slider",
    "aria-label": `Policies on the Pareto front, by compute saved and ${loss.noun}`,
    "aria-valuemin": 0,
    "aria-valuemax": Math.max(front.length - 1, 0),
  });
  const tip = h("div", { class: "tip", hidden: true });
  const plotArea = h("div", { class: "plot-area" });
  holder.append(plotArea, tip);
  let chart: ReturnType<typeof draw> | null = null;

  const redraw = onWidth(plotArea, (width) => {
    const height = Math.max(300, Math.min(0.58 * width, 620));
    const most = Math.max(...points.map((point) => point.y), loss.factor * state.tolerance, 1e-9);
    const widest = Math.min(100, 5 * Math.ceil((Math.max(...points.map((point) => point.x), 10) + 3) / 5));
    const chosen = points.find((point) => point.index === state.policy) ?? markOf(state, loss);
    const { policy } = chosen ?? { policy: state.selected };
    const limit = loss.factor * state.tolerance;
    const budget = (page.budget?.saved ?? []).map((saved, index) => ({
      x: 100 * saved,
      y: loss.factor * toNumber(page.budget!.loss[index]),
    }));
    const inside = budget.filter((point) => point.x <= widest && point.y <= most && Number.isFinite(point.y));
    const baselines = points.filter((point) => point.policy.role === "baseline");
    const others = points.filter((point) => point.policy.role === "candidate" && !point.policy.front);
    const small = width < 560;
    const margin = { left: 46, bottom: 40, top: 24, right: 16 };
    const x = scale({ x: { domain: [0, widest], range: [margin.left, width - margin.right] } }).apply;
    const y = scale({ y: { type: "sqrt", domain: [0, most], range: [height - margin.bottom, margin.top] } }).apply;
    const budgetLabel = inside[Math.floor(inside.length * 0.9)];
    // the selected policy has the first choice of a place, then the baselines
    const named: [Mark, string][] = [
      ...(chosen ? ([[chosen, shorten(visible(chosen.policy.name), small ? 26 : 48)]] as [Mark, string][]) : []),
      ...baselines.filter((mark) => mark.index !== chosen?.index).map((mark): [Mark, string] => [mark, visible(mark.policy.name)]),
    ];
    const places = placeLabels(
      named.map(([mark, name], index) => ({ x: x(mark.x), y: y(mark.y), radius: 6, text: name, size: index === 0 && chosen ? 12 : 10 })),
      [...others, ...front, ...baselines, ...(chosen ? [chosen] : [])].map((mark) => ({ x: x(mark.x), y: y(mark.y), radius: mark === chosen ? 7 : mark.policy.role === "baseline" ? 5 : 3.5 })),
      [
        around(0, 8, `↑ ${loss.noun} (square-root scale)`, "start"),
        around(margin.left + 6, y(limit) - 7, `tolerance ${loss.limit(state.tolerance)}`, "start"),
        ...(budgetLabel ? [around(x(budgetLabel.x) - 8, y(budgetLabel.y) - 4, "equal budget", "end")] : []),
      ],
      { left: margin.left, top: 4, right: width - 2, bottom: height - margin.bottom },
    );
    const placed = (at: number, options: object) => {
      const [mark, name] = named[at]!;
      const place: Place = places[at]!;
      return text([mark], { x: "x", y: "y", text: () => name, textAnchor: "middle", dx: place.x - x(mark.x), dy: place.y - y(mark.y), stroke: "var(--card)", ...options });
    };
    const firstBaseline = chosen ? 1 : 0;
    chart = draw({
      width,
      height,
      marginLeft: margin.left,
      marginBottom: margin.bottom,
      marginTop: margin.top,
      marginRight: margin.right,
      x: { domain: [0, widest] },
      y: { type: "sqrt", domain: [0, most], clamp: true },
      marks: [
        areaY([0, widest], { x: (d) => d, y1: limit, y2: most, fill: "var(--over)", fillOpacity: 0.05 }),
        gridX({ ticks: small ? 4 : 8, stroke: "var(--line)", strokeOpacity: 1 }),
        gridY(rootTicks(most), { stroke: "var(--line)", strokeOpacity: 1 }),
        axisX({ ticks: small ? 4 : 8, tickFormat: (d) => `${d}%`, tickSize: 0, tickPadding: 8, label: "compute saved →", fill: "var(--muted)" }),
        axisY(rootTicks(most), { tickFormat: loss.tick, tickSize: 0, label: `↑ ${loss.noun} (square-root scale)`, fill: "var(--muted)" }),
        line(inside, { x: "x", y: "y", stroke: "var(--muted)", strokeDasharray: "5,4" }),
        budgetLabel ? text([budgetLabel], { x: "x", y: "y", text: () => "equal budget", fontStyle: "italic", textAnchor: "end", dx: -8, dy: -4, fill: "var(--muted)", stroke: "var(--card)", strokeWidth: 4 }) : null,
        ruleY([limit], { stroke: "var(--over)", strokeDasharray: "2,3", strokeWidth: 1.5 }),
        text([limit], { x: 0, y: (d) => d, text: () => `tolerance ${loss.limit(state.tolerance)}`, textAnchor: "start", dx: 6, dy: -7, fill: "var(--over-ink)", stroke: "var(--card)", strokeWidth: 4 }),
        dot(others, { x: "x", y: "y", r: 2.6, fill: "var(--faint)", fillOpacity: 0.75 }),
        line(front, { x: "x", y: "y", stroke: "var(--ink)", strokeWidth: 1, strokeOpacity: 0.45 }),
        dot(front, { x: "x", y: "y", r: 3.8, fill: "var(--ink)", stroke: "var(--card)", strokeWidth: 1 }),
        dot(baselines, { x: "x", y: "y", r: 5, symbol: "diamond", fill: "var(--card)", stroke: "var(--ink)", strokeWidth: 1.4 }),
        ...named.slice(firstBaseline).map((_, index) => placed(firstBaseline + index, { fontStyle: "italic", fill: "var(--muted)", strokeWidth: 3 })),
        chosen && policy.saved_low !== null && policy.saved_high !== null
          ? link([chosen], { x1: 100 * policy.saved_low, x2: Math.min(100 * policy.saved_high, widest), y1: "y", y2: "y", stroke: "var(--blue)", strokeWidth: 2 } as any)
          : null,
        chosen && policy.loss_low !== null && policy.loss_high !== null
          ? link([chosen], { x1: "x", x2: "x", y1: loss.factor * policy.loss_low, y2: Math.min(loss.factor * policy.loss_high, most), stroke: "var(--blue)", strokeWidth: 2 } as any)
          : null,
        chosen ? dot([chosen], { x: "x", y: "y", r: 7, fill: "var(--blue)", stroke: "var(--card)", strokeWidth: 2 }) : null,
        chosen ? placed(0, { fontWeight: 650, fontSize: 12, fill: "var(--blue-ink)", strokeWidth: 3 }) : null,
      ],
    });
    plotArea.replaceChildren(chart);
    const at = front.findIndex((point) => point.index === state.policy);
    holder.setAttribute("aria-valuenow", String(Math.max(at, 0)));
    holder.setAttribute("aria-valuetext", describe(state, loss));
  });

  const nearest = (event: Event): Mark | null => {
    if (!chart || !(event instanceof PointerEvent || event instanceof MouseEvent)) return null;
    const box = plotArea.getBoundingClientRect();
    const [x, y] = [chart.scale("x"), chart.scale("y")];
    let best: Mark | null = null;
    let least = 28;
    for (const point of points) {
      const away = Math.hypot(x.apply(point.x) - (event.clientX - box.left), y.apply(point.y) - (event.clientY - box.top));
      const distance = point.policy.role === "baseline" || point.policy.front ? away - 3 : away;
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  };
  holder.addEventListener("pointermove", (event) => {
    const point = nearest(event);
    tip.hidden = point === null;
    if (!point || !chart) return;
    const { policy } = point;
    replace(
      tip,
      specOf(policy.name),
      h("span", null, prose(`saved ${percent(policy.saved)} ${bracket(span(policy.saved_low, policy.saved_high))}`)),
      h("span", null, prose(`${loss.short(policy.loss)} ${bracket(loss.span(policy))}`)),
      h("span", { class: "quiet" }, policy.role === "baseline" ? "baseline" : "in-sample; click to select"),
    );
    const left = chart.scale("x")!.apply(point.x);
    tip.style.setProperty("left", `${Math.min(left + 14, Math.max(plotArea.clientWidth - 230, 0))}px`);
    tip.style.setProperty("top", `${chart.scale("y")!.apply(point.y) + 14}px`);
  });
  holder.addEventListener("pointerleave", () => (tip.hidden = true));
  holder.addEventListener("click", (event) => {
    const point = nearest(event);
    if (point) state.selectPolicy(point.index);
  });
  holder.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || !front.length) return;
    event.preventDefault();
    const at = front.findIndex((point) => point.index === state.policy);
    const next = at < 0 ? 0 : Math.min(Math.max(at + step, 0), front.length - 1);
    state.selectPolicy(front[next]!.index);
  });
  state.listen((change) => change !== "run" && redraw());

  return h(
    "section",
    { id: "compare", "aria-labelledby": "compare-title" },
    h("h2", { id: "compare-title" }, "Saved against lost"),
    h(
      "p",
      { class: "intro" },
      "Each mark is one policy, averaged over the runs. Further right saves more compute, further up loses more. Select a policy, and the whole page follows. All figures here are in-sample.",
    ),
    h(
      "div",
      { class: "compare-grid" },
      h("div", { class: "card" }, slider(state, loss), holder, legend()),
      panel(state, loss),
    ),
  );
}

/** The box of a label that is anchored at a place. */
function around(x: number, y: number, label: string, anchor: "start" | "end"): Box {
  const width = 6 * label.length;
  const left = anchor === "start" ? x : x - width;
  return { left, right: left + width, top: y - 7, bottom: y + 7 };
}

function bracket(text: string): string {
  return text ? `(${text})` : "";
}

function markOf(state: State, loss: Loss): Mark | null {
  const policy = state.selected;
  return policy.saved === null || policy.loss === null
    ? null
    : { index: state.policy, x: 100 * policy.saved, y: loss.factor * policy.loss, policy };
}

function describe(state: State, loss: Loss): string {
  const policy = state.selected;
  return `${visible(policy.name)}: saves ${percent(policy.saved)}, ${loss.short(policy.loss)}, in-sample`;
}

function legend(): HTMLElement {
  const item = (mark: string, label: string) => h("li", null, h("span", { class: `key ${mark}`, "aria-hidden": "true" }), label);
  return h(
    "ul",
    { class: "legend" },
    item("key-selected", "selected, with 95% intervals"),
    item("key-front", "Pareto front"),
    item("key-other", "other policies"),
    item("key-baseline", "baseline"),
    item("key-budget", "equal budget"),
  );
}

/** The tolerances of the slider: round values, with the one of the command among them. */
export function tolerances(kind: string, value: number, losses: number[]): number[] {
  const most = Math.max(...losses.filter(Number.isFinite), value, 1e-12);
  const shares = [0, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1];
  const steps = kind === "lost" ? shares : shares.map((share) => Number((share * 2 * most).toPrecision(2)));
  return [...new Set([...steps, value])].sort((a, b) => a - b);
}

function slider(state: State, loss: Loss): HTMLElement {
  const { page } = state;
  const steps = tolerances(page.tolerance.kind, page.tolerance.value, page.policies.map((policy) => policy.loss ?? NaN));
  const input = h("input", { type: "range", id: "tolerance", min: 0, max: steps.length - 1, step: 1 });
  const output = h("output", { for: "tolerance" });
  const said = h("p", { class: "slider-note", "aria-live": "polite" });
  const reset = h("button", { type: "button", class: "quiet-button", click: () => back() }, "Reset");
  const show = () => {
    input.value = String(steps.indexOf(state.tolerance));
    input.setAttribute("aria-valuetext", loss.limit(state.tolerance));
    output.textContent = prose(loss.limit(state.tolerance));
    reset.hidden = !state.moved;
    replace(said, ...(state.moved ? afterMove(state, loss) : beforeMove(state, loss)));
  };
  const back = () => {
    state.setTolerance(page.tolerance.value, false);
    state.selectPolicy(state.recommended);
  };
  input.addEventListener("input", () => {
    state.setTolerance(steps[Number(input.value)] ?? page.tolerance.value);
    const best = savesMost(page.policies, state.tolerance);
    if (best >= 0) state.selectPolicy(best);
  });
  state.listen((change) => change === "tolerance" && show());
  show();
  return h(
    "div",
    { class: "slider" },
    h("label", { for: "tolerance" }, page.tolerance.kind === "lost" ? "I accept a loss of at most" : "I accept a mean regret of at most"),
    input,
    output,
    reset,
    said,
  );
}

function countIn(state: State): string {
  const candidates = state.page.policies.filter((policy) => policy.role === "candidate");
  const inside = candidates.filter((policy) => policy.loss !== null && policy.loss <= state.tolerance + 1e-9).length;
  return `${inside.toLocaleString("en")} of ${candidates.length.toLocaleString("en")} policies`;
}

function beforeMove(state: State, loss: Loss): (Node | string)[] {
  return [prose(`${countIn(state)} lose at most ${loss.limit(state.tolerance)} in-sample. Move the slider to see what another tolerance would give.`)];
}

function afterMove(state: State, loss: Loss): (Node | string)[] {
  const { page } = state;
  const best = savesMost(page.policies, state.tolerance);
  const limit = loss.limit(state.tolerance);
  const out: (Node | string)[] =
    best < 0
      ? [prose(`No policy saves anything and loses at most ${limit} on these runs.`)]
      : [
          prose(`In-sample, `),
          specOf(page.policies[best]!.name),
          prose(` saves most of those that lose at most ${limit}: ${percent(page.policies[best]!.saved)}. It was selected on these runs, so this is optimistic.`),
        ];
  if (page.answer.rungs.length && page.tolerance.kind === "lost") {
    const guaranteed = guaranteedAt(page.answer, state.tolerance);
    if (guaranteed) out.push(` Guaranteed at this tolerance: `, specOf(guaranteed), ".");
    else out.push(" Nothing can be guaranteed at this tolerance.");
  }
  return out;
}

function panel(state: State, loss: Loss): HTMLElement {
  const box = h("aside", { class: "card panel", "aria-live": "polite", "aria-label": "Selected policy" });
  const show = () => {
    const policy = state.selected;
    const { kept, known } = countWithin(policy, state.page.runs, state.tolerance);
    const row = (label: string, figure: string, beside = "") =>
      h("div", null, h("dt", null, label), h("dd", null, h("strong", null, prose(figure)), beside ? h("span", null, prose(beside)) : null));
    replace(
      box,
      h("p", { class: "eyebrow" }, state.policy === state.recommended && state.page.answer.policy ? "Selected, recommended" : "Selected"),
      h("h3", null, specOf(policy.name)),
      policy.tool && policy.role === "tool" ? h("p", { class: "quiet" }, `as ${policy.tool} reads the setting`) : null,
      h(
        "dl",
        null,
        row("saved", percent(policy.saved), span(policy.saved_low, policy.saved_high)),
        row(loss.noun, loss.text(policy.loss), loss.span(policy)),
        row("worst run lost", percent(policy.worst)),
        policy.role === "baseline" && policy.equal === null ? null : row("equal budget loses", percent(policy.equal)),
        known ? row("runs within tolerance", `${kept} of ${known}`) : null,
        row("runs stopped", `${number(policy.stopped)} of ${number(policy.runs)}`),
      ),
      h("p", { class: "verdict" }, verdict(policy)),
      byGroup(state, loss),
      h("p", { class: "quiet" }, "In-sample figures."),
    );
  };
  state.listen((change) => change !== "run" && show());
  show();
  return box;
}

function verdict(policy: Policy): string {
  const text = policy.verdict;
  if (!text) return "";
  const known: Record<string, string> = {
    "better than training shorter": "Better than the equal budget.",
    "worse than training shorter": "Worse than the equal budget.",
    "no significant difference": "No significant difference from the equal budget.",
    "within noise": "Loses no more than the noise of the evals.",
  };
  return known[text] ?? `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function byGroup(state: State, loss: Loss): HTMLElement | null {
  const { outcomes } = state.selected;
  const { runs } = state.page;
  if (!outcomes) return null;
  const groups = new Map<string, { saved: number[]; loss: number[] }>();
  runs.forEach((run, index) => {
    if (!run.judged) return;
    const name = run.group ?? "";
    if (!groups.has(name)) groups.set(name, { saved: [], loss: [] });
    const [saved, lost] = [outcomes.saved[index], outcomes.loss[index]];
    if (typeof saved === "number") groups.get(name)!.saved.push(saved);
    if (typeof lost === "number") groups.get(name)!.loss.push(lost);
  });
  if (groups.size < 2 || groups.size > 12) return null;
  return h(
    "table",
    { class: "mini" },
    h("caption", null, "By group of runs"),
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Group"), h("th", { scope: "col" }, "Saved"), h("th", { scope: "col" }, "Lost"))),
    h(
      "tbody",
      null,
      ...[...groups].map(([name, figures]) =>
        h(
          "tr",
          null,
          h("th", { scope: "row" }, h("bdi", null, visible(name || "no group"))),
          h("td", null, prose(percent(mean(figures.saved)))),
          h("td", null, prose(loss.text(mean(figures.loss)))),
        ),
      ),
    ),
  );
}
