/** One run, large: its curve, the policy's counter, and what else the log holds, on one axis of steps. */
import { axisX, axisY, dot, gridY, line, rect, rectX, ruleX, ruleY, text } from "@observablehq/plot";
import { draw, Loss, onWidth } from "./chart.ts";
import { curveOf, stepAt, toNumber, valueAt, type Run, type Trace } from "./data.ts";
import { h, nameOf, prose, replace, specOf } from "./dom.ts";
import { number, percent, quoted, visible } from "./format.ts";
import { domainOf } from "./runs.ts";
import type { State } from "./state.ts";

const LEFT = 58;

export function runSection(state: State): HTMLElement {
  const { page } = state;
  const loss = new Loss(page);
  const title = h("h2", { id: "run-title" });
  const said = h("p", { class: "intro", "aria-live": "polite" });
  const facts = h("p", { class: "quiet" });
  const charts = h("div", { class: "card charts" });
  const side = h("div", { class: "card trace" });
  const step = (by: number) => () => state.selectRun((state.run + by + page.runs.length) % page.runs.length);
  const jump = h("select", { id: "open-run" }, ...page.runs.map((run, index) => h("option", { value: index }, visible(run.id))));
  jump.addEventListener("change", () => state.selectRun(Number(jump.value)));

  const show = () => {
    const run = state.openRun;
    const { outcomes } = state.selected;
    const stop = outcomes?.stop[state.run] ?? null;
    const found = page.traces.find((one) => one.policy === state.selected.spec);
    const trace = found?.runs[state.run] ?? null;
    jump.value = String(state.run);
    replace(title, nameOf(run.id));
    replace(said, ...sentence(state, loss, trace));
    facts.textContent = prose(describe(run));
    replace(charts, ...panels(run, state, stop, trace, found ? toNumber(found.limit) : NaN));
    replace(side, ...table(run, state, stop, trace, found ? toNumber(found.limit) : NaN));
    const row = side.querySelector<HTMLElement>("tr.stop");
    const box = side.querySelector<HTMLElement>(".scroll");
    if (row && box) box.scrollTop = Math.max(row.offsetTop - box.clientHeight / 2, 0);
  };
  state.listen((change) => change !== "tolerance" && show());
  requestAnimationFrame(show);
  return h(
    "section",
    { id: "run", "aria-labelledby": "run-title" },
    h(
      "div",
      { class: "run-head" },
      h("div", null, h("p", { class: "eyebrow" }, "One run"), title),
      h(
        "div",
        { class: "run-controls" },
        h("div", { class: "field" }, h("label", { for: "open-run" }, "Open run"), jump),
        h("button", { type: "button", "aria-label": "Previous run", click: step(-1) }, "←"),
        h("button", { type: "button", "aria-label": "Next run", click: step(1) }, "→"),
      ),
    ),
    said,
    facts,
    h("div", { class: "run-grid" }, charts, side),
  );
}

function sentence(state: State, loss: Loss, trace: Trace | null): (Node | string)[] {
  const run = state.openRun;
  const { outcomes, name } = state.selected;
  if (!outcomes) return [specOf(name), ": the page holds only the means of this policy, not its outcome on each run."];
  const [stop, kept, saved, lost] = [outcomes.stop[state.run], outcomes.kept[state.run], outcomes.saved[state.run], outcomes.loss[state.run]];
  if (stop === null || stop === undefined) return [specOf(name), " has no outcome on this run."];
  const out: (Node | string)[] = [specOf(name)];
  if (stop < 0) out.push(prose(` never stops this run (${run.evals} evals).`));
  else {
    out.push(prose(` stops this run at eval ${stop + 1} of ${run.evals} (step ${number(stepAt(run, stop), 9)})`));
    out.push(trace?.why ? prose(`: ${trace.why}. `) : ". ");
    out.push(h("strong", null, prose(`It saves ${percent(saved)}`)), prose(` and keeps the checkpoint of eval ${(kept ?? -1) + 1}`));
    if (lost === 0) out.push(", which is the best one.");
    else if (lost === null || lost === undefined) out.push(". What it loses is unknown.");
    else out.push(prose(run.best === null ? ". " : `; the best is eval ${run.best + 1}. `), h("strong", null, prose(`This ${loss.short(lost)}.`.replace("This lost", "It loses").replace("This ", "It is "))));
  }
  return out;
}

function describe(run: Run): string {
  const parts = [run.group ? `Group ${run.group}` : "", run.model ? `model ${run.model}` : "", ...Object.entries(run.settings).map(([name, value]) => `${name} ${value}`), run.format ? `format ${run.format}` : ""];
  const ends = [run.censored ? `Censored: ${run.censored}, so the loss is a lower bound.` : "", run.improving ? `Still improving at the end: ${run.improving}.` : "", run.judged ? "" : "This run cannot be judged and is in no mean."];
  const about = parts.filter(Boolean).join(", ");
  return [`${about.charAt(0).toUpperCase()}${about.slice(1)}.`, ...ends].filter((text) => text.length > 1).join(" ");
}

function panels(run: Run, state: State, stop: number | null, trace: Trace | null, limit: number): HTMLElement[] {
  const { page } = state;
  const curve = curveOf(run);
  const first = curve[0]?.step ?? 0;
  const last = Math.max(stepAt(run, Math.max(run.evals - 1, 0)), first + 1e-9);
  const kept = state.selected.outcomes?.kept[state.run] ?? null;
  const stopped = stop !== null && stop >= 0;
  const end = stopped ? stepAt(run, stop) : last;
  const x = { domain: [Math.min(0, first), last] as [number, number] };
  const shade = (low: boolean) => [
    stopped ? rectX([0], { x1: end, x2: last, fill: "var(--blue)", fillOpacity: 0.08 }) : null,
    stopped ? ruleX([end], { stroke: "var(--blue)", strokeWidth: 1.5 }) : null,
    low ? axisX({ tickSize: 0, tickPadding: 8, label: "step →", fill: "var(--muted)", ticks: 6 }) : null,
  ];
  const reference = referenceLine(run, trace);
  const seen = trace?.seen ? trace.seen.map((value, index) => ({ step: stepAt(run, index), value: toNumber(value) })) : [];
  const [low, high] = domainOf([...curve.map((point) => point.value), ...seen.map((point) => point.value)], page.setting.monitor.mode === "min");
  const at = (position: number) => ({ step: stepAt(run, position), value: valueAt(run, position) });
  const counter = (trace?.counter ?? []).map((value, index) => ({ step: stepAt(run, index), value: toNumber(value), after: stopped && index > stop }));
  const counts = counter.filter((point) => Number.isFinite(point.value));
  const whole = counts.length > 0 && counts.every((point) => Number.isInteger(point.value)) && Number.isFinite(limit);
  const series = run.series.filter((one) => one.values.length > 1);
  const parts: { label: string; height: number; marks: () => unknown[]; y: object }[] = [
    {
      label: run.metric,
      height: 230,
      y: { domain: [low, high], clamp: true },
      marks: () => [
        gridY({ ticks: 5, stroke: "var(--line)", strokeOpacity: 1 }),
        axisY({ ticks: 5, tickSize: 0, label: null, fill: "var(--muted)" }),
        reference.length ? line(reference, { x: "step", y: "value", stroke: "var(--muted)", strokeDasharray: "2,3", curve: "step-after" }) : null,
        seen.length ? line(seen, { x: "step", y: "value", stroke: "var(--blue)", strokeWidth: 1.3, strokeDasharray: "5,3" }) : null,
        line(curve.filter((point) => point.step >= end), { x: "step", y: "value", stroke: "var(--faint)", strokeWidth: 1.6 }),
        line(curve.filter((point) => point.step <= end), { x: "step", y: "value", stroke: "var(--ink)", strokeWidth: 2 }),
        curve.length <= 80 ? dot(curve, { x: "step", y: "value", r: 1.8, fill: (d: any) => (d.step <= end ? "var(--ink)" : "var(--faint)") }) : null,
        run.best === null ? null : dot([at(run.best)], { x: "step", y: "value", r: 6, stroke: "var(--ink)", strokeWidth: 1.6, fill: "var(--card)" }),
        kept === null || kept < 0 ? null : dot([at(kept)], { x: "step", y: "value", r: run.best === kept ? 3.4 : 5, fill: "var(--blue)" }),
        run.best === null ? null : text([at(run.best)], { x: "step", y: "value", text: () => (kept === run.best ? "best, kept" : "best"), dy: page.setting.monitor.mode === "min" ? 16 : -14, fill: "var(--ink)", stroke: "var(--card)", strokeWidth: 4 }),
        kept === null || kept < 0 || kept === run.best ? null : text([at(kept)], { x: "step", y: "value", text: () => "kept", dy: page.setting.monitor.mode === "min" ? 16 : -14, fill: "var(--blue-ink)", stroke: "var(--card)", strokeWidth: 4 }),
        stopped ? text([end], { x: (d) => d, frameAnchor: "top", text: () => "stop", dy: -13, fill: "var(--blue-ink)", fontWeight: 650 }) : null,
      ],
    },
  ];
  if (counts.length) {
    const most = Math.max(Number.isFinite(limit) ? 1.25 * limit : 0, ...counts.filter((point) => !point.after).map((point) => point.value), 1e-12);
    const least = Math.min(0, ...counts.map((point) => point.value));
    const fill = (d: any) => (d.after ? "var(--faint)" : d.value >= limit ? "var(--blue)" : "var(--ink)");
    parts.push({
      label: whole ? "evals without improvement" : "the policy's signal",
      height: 70,
      y: { domain: [least, most], clamp: true },
      marks: () => [
        axisY({ ticks: 2, tickSize: 0, label: null, fill: "var(--muted)" }),
        whole
          ? rect(counts, { x1: (d: any) => d.step - (last - first) / counts.length / 3, x2: (d: any) => d.step + (last - first) / counts.length / 3, y1: 0, y2: "value", fill, clip: true } as any)
          : line(counts, { x: "step", y: "value", stroke: "var(--ink)" }),
        Number.isFinite(limit) ? ruleY([limit], { stroke: "var(--blue)", strokeDasharray: "2,3" }) : null,
        Number.isFinite(limit) ? text([limit], { x: x.domain[0], y: (d) => d, text: (d: number) => `stops at ${number(d)}`, textAnchor: "start", dx: 4, dy: -7, fill: "var(--blue-ink)", stroke: "var(--card)", strokeWidth: 4 }) : null,
      ],
    });
  }
  for (const one of series) {
    const points = one.values.map((value, index) => ({ step: one.steps[index]!, value: toNumber(value) }));
    const finite = points.map((point) => point.value).filter(Number.isFinite);
    if (finite.length < 2) continue;
    const constant = Math.min(...finite) === Math.max(...finite);
    parts.push({
      label: one.signal ? `adapter: ${one.label}` : one.label,
      height: 64,
      y: constant ? { domain: [Math.min(0, finite[0]!), Math.max(2 * finite[0]!, finite[0]! ? 0 : 1)] } : {},
      marks: () => [
        axisY({ ticks: 2, tickSize: 0, label: null, fill: "var(--muted)", tickFormat: (d: number) => number(d, 3) }),
        line(points.filter((point) => point.step >= end), { x: "step", y: "value", stroke: "var(--faint)", strokeWidth: 1.2 }),
        line(points.filter((point) => point.step <= end), { x: "step", y: "value", stroke: "var(--ink)", strokeWidth: 1.3 }),
      ],
    });
  }
  const summary = `Curve of ${visible(run.id)}${stopped ? `, stopped at step ${number(end, 9)}` : ""}. The table beside it has the values.`;
  return parts.map((part, index) => {
    const bottom = index === parts.length - 1;
    const holder = h("div", { class: "panel-chart", role: "img", "aria-label": index ? visible(part.label) : summary });
    onWidth(holder, (width) =>
      holder.replaceChildren(
        draw({
          width,
          height: part.height + (bottom ? 34 : 0) + (index ? 0 : 12),
          marginLeft: LEFT,
          marginRight: 14,
          marginTop: index ? 8 : 20,
          marginBottom: bottom ? 38 : 6,
          x: { ...x, axis: null },
          y: part.y,
          marks: [...shade(bottom), ...part.marks()] as any,
        }),
      ),
    );
    return h("div", null, h("p", { class: "panel-label" }, h("bdi", null, visible(part.label))), holder);
  });
}

function referenceLine(run: Run, trace: Trace | null): { step: number; value: number }[] {
  if (!trace) return [];
  const points = trace.reference.map(([position, value]) => ({ step: stepAt(run, position), value: toNumber(value) }));
  const last = points[points.length - 1];
  return last ? [...points, { step: stepAt(run, run.evals - 1), value: last.value }] : [];
}

function table(run: Run, state: State, stop: number | null, trace: Trace | null, limit: number): (Node | null)[] {
  const heading = h("h3", null, "Why it stops there");
  if (!trace) {
    const command = ["replay", "explain", ...state.page.paths, "--policy", state.selected.spec, "--run", run.id];
    return [
      heading,
      h("p", null, state.selected.role === "baseline" ? "A baseline decides nothing eval by eval." : "The page does not hold the trace of this policy on this run. This command prints it:"),
      state.selected.role === "baseline" ? null : h("pre", { tabindex: 0, class: "wrap" }, visible(command.map(quoted).join(" "))),
    ];
  }
  const references = new Map(trace.reference);
  let reference: number = NaN;
  const rows = trace.counter.map((counter, index) => {
    if (references.has(index)) reference = toNumber(references.get(index));
    const past = stop !== null && stop >= 0 && index > stop;
    const count = toNumber(counter);
    const words = index === stop ? trace.why : past ? (count >= limit ? "past the threshold" : (trace.reason?.[index] ?? "")) : (trace.reason?.[index] ?? "continues");
    return h(
      "tr",
      { class: index === stop ? "stop" : past ? "past" : "" },
      h("th", { scope: "row" }, String(index + 1)),
      h("td", null, number(stepAt(run, index), 9)),
      h("td", null, number(run.at ? NaN : toNumber(run.values[index]), 5)),
      trace.seen ? h("td", null, number(toNumber(trace.seen[index]), 5)) : null,
      h("td", null, number(reference, 5)),
      h("td", null, Number.isFinite(count) ? `${number(count, 3)}${Number.isFinite(limit) ? ` of ${number(limit, 3)}` : ""}` : ""),
      h("td", { class: "words" }, index === stop ? h("strong", null, "stop: ") : null, prose(words ?? "")),
    );
  });
  const head = ["Eval", "Step", "Value", ...(trace.seen ? ["Seen"] : []), "Reference", "Counter", "What happened"];
  return [
    heading,
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Trace of the policy, eval by eval" },
      h("table", null, h("thead", null, h("tr", null, ...head.map((name) => h("th", { scope: "col", class: name === "What happened" ? "words" : null }, name)))), h("tbody", null, ...rows)),
    ),
  ];
}
