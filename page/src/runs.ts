/** All runs as small multiples under the selected policy. */
import { dot, line, rectX, ruleX } from "@observablehq/plot";
import { draw, Loss, whenSeen } from "./chart.ts";
import { curveOf, mean, stepAt, valueAt, within, type Run } from "./data.ts";
import { h, nameOf, prose, replace, specOf } from "./dom.ts";
import { counted, percent, sharedPrefix, shorten, visible } from "./format.ts";
import type { State } from "./state.ts";

const FIRST = 120;

const OUTCOMES = {
  all: "all",
  over: "over the tolerance",
  stopped: "stopped",
  never: "never stopped",
  free: "lost nothing",
  censored: "censored",
} as const;

const ORDERS = { lost: "most lost first", saved: "most saved first", name: "by name" } as const;

interface Filter {
  words: string;
  outcome: keyof typeof OUTCOMES;
  order: keyof typeof ORDERS;
  fields: Record<string, string>;
}

export function runsSection(state: State): HTMLElement {
  const { page } = state;
  const loss = new Loss(page);
  const filter: Filter = { words: "", outcome: "all", order: "lost", fields: {} };
  let most = FIRST;
  const seen = whenSeen();
  const title = h("h2", { id: "runs-title" });
  const count = h("p", { class: "count", "aria-live": "polite" });
  const list = h("div", { class: "runs", role: "listbox", "aria-label": "Runs", tabindex: -1 });
  const more = h("button", { type: "button", class: "quiet-button", click: () => ((most += FIRST), show()) });
  const matching = () =>
    page.runs
      .map((run, index) => ({ run, index, ...outcome(state, index) }))
      .filter(({ run, lossOf, stop }) => {
        if (filter.words && !filter.words.split(/\s+/).every((word) => run.id.toLowerCase().includes(word))) return false;
        for (const [name, value] of Object.entries(filter.fields)) if (value && fieldOf(run, name) !== value) return false;
        switch (filter.outcome) {
          case "over":
            return lossOf !== null && !within(lossOf, state.tolerance);
          case "stopped":
            return stop !== null && stop >= 0;
          case "never":
            return stop === -1;
          case "free":
            return lossOf === 0;
          case "censored":
            return run.censored !== null;
          default:
            return true;
        }
      });
  const show = () => {
    const policy = state.selected;
    replace(title, "The runs under ", specOf(policy.name));
    seen.clear();
    const runs = matching();
    count.textContent = `${runs.length.toLocaleString("en")} of ${counted(page.runs.length, "run")}`;
    if (!policy.outcomes) {
      replace(list, h("p", { class: "empty" }, "The page holds only the means of this policy, not its outcome on each run."));
      more.hidden = true;
      return;
    }
    const compare = {
      lost: (a: (typeof runs)[number], b: (typeof runs)[number]) => (b.lossOf ?? -1) - (a.lossOf ?? -1) || (b.saved ?? 0) - (a.saved ?? 0),
      saved: (a: (typeof runs)[number], b: (typeof runs)[number]) => (b.saved ?? -1) - (a.saved ?? -1),
      name: (a: (typeof runs)[number], b: (typeof runs)[number]) => a.run.id.localeCompare(b.run.id, "en", { numeric: true }),
    }[filter.order];
    const groups = new Map<string, typeof runs>();
    for (const run of runs.sort(compare)) {
      const name = run.run.group ?? "";
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name)!.push(run);
    }
    if (groups.size > Math.max(12, runs.length / 2)) {
      groups.clear();
      groups.set("", runs);
    }
    let room = most;
    const parts: HTMLElement[] = [];
    for (const [name, members] of groups) {
      if (room <= 0) break;
      const shown = members.slice(0, room);
      room -= shown.length;
      const prefix = sharedPrefix(members.map((one) => one.run.id));
      const judged = members.filter((one) => one.run.judged);
      const summary = `${counted(members.length, "run")}, saved ${percent(mean(judged.map((one) => one.saved)))}, ${loss.short(mean(judged.map((one) => one.lossOf)))}`;
      const heading = groups.size > 1 || name ? h("p", { class: "group-title", "aria-hidden": "true" }, h("strong", null, nameOf(name || "no group")), ` ${prose(summary)}`) : null;
      parts.push(
        h("div", { role: "group", "aria-label": `${visible(name || "all runs")}: ${summary}`, class: "run-group" }, heading, h("div", { class: "cells", role: "presentation" }, ...shown.map(({ index }) => cellOf(index, prefix)))),
      );
    }
    replace(list, ...(parts.length ? parts : [h("p", { class: "empty" }, "No run fits these filters.")]));
    if (!list.querySelector('[tabindex="0"]')) list.querySelector('[role="option"]')?.setAttribute("tabindex", "0");
    more.hidden = runs.length <= most;
    more.textContent = `Show ${Math.min(FIRST, runs.length - most)} more runs`;
  };
  const cellOf = (index: number, prefix: string) => {
    const run = page.runs[index]!;
    const { stop, saved, lossOf } = outcome(state, index);
    const over = lossOf !== null && !within(lossOf, state.tolerance);
    const chart = h("div", { class: "cell-chart" });
    const short = run.id.slice(prefix.length) || run.id;
    const cell = h(
      "div",
      { role: "option", class: `cell ${over ? "over" : ""}`, "aria-selected": String(index === state.run), tabindex: index === state.run ? 0 : -1, "data-index": index },
      h("p", { class: "cell-name" }, nameOf(run.id, shorten(short, 30))),
      chart,
      h(
        "p",
        { class: "cell-figures" },
        h("span", null, prose(stop === null ? "no outcome" : stop < 0 ? "not stopped" : `saved ${percent(saved)}`)),
        h("span", { class: "cell-loss" }, prose(run.judged ? loss.short(lossOf) : "not judged"), run.censored ? h("span", { title: run.censored }, " censored") : null),
      ),
    );
    seen.add(cell, () => small(chart, run, state, index));
    return cell;
  };
  const pick = (target: EventTarget | null, focus = false) => {
    const cell = (target as Element | null)?.closest<HTMLElement>('[role="option"]');
    if (!cell) return;
    state.selectRun(Number(cell.dataset["index"]));
    if (focus) document.getElementById("run")?.scrollIntoView({ behavior: "auto", block: "start" });
  };
  list.addEventListener("click", (event) => pick(event.target, true));
  list.addEventListener("keydown", (event) => {
    const options = [...list.querySelectorAll<HTMLElement>('[role="option"]')];
    const at = options.indexOf(document.activeElement as HTMLElement);
    if (at < 0) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      pick(options[at]!, true);
      return;
    }
    const row = Math.max(1, options.filter((one) => Math.abs(one.offsetTop - options[at]!.offsetTop) < 4).length);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row, Home: -options.length, End: options.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = options[Math.min(Math.max(at + step, 0), options.length - 1)]!;
    options[at]!.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  state.listen((change) => {
    if (change !== "run") return show();
    for (const cell of list.querySelectorAll<HTMLElement>('[role="option"]')) {
      const chosen = Number(cell.dataset["index"]) === state.run;
      cell.setAttribute("aria-selected", String(chosen));
      cell.tabIndex = chosen ? 0 : -1;
    }
    if (!list.querySelector('[tabindex="0"]')) list.querySelector('[role="option"]')?.setAttribute("tabindex", "0");
  });
  const controls = filters(state, filter, () => ((most = FIRST), show()));
  show();
  return h(
    "section",
    { id: "runs", "aria-labelledby": "runs-title" },
    title,
    h("p", { class: "intro" }, `Each curve is one run's ${visible(page.setting.monitor.metric)}, on its own scale. The shaded part is what the stop saves. Open a run to see why it stopped there.`),
    controls,
    h(
      "div",
      { class: "runs-head" },
      h(
        "ul",
        { class: "legend" },
        h("li", null, h("span", { class: "key key-stop", "aria-hidden": "true" }), "stop, and what it saves"),
        h("li", null, h("span", { class: "key key-kept", "aria-hidden": "true" }), "checkpoint kept"),
        h("li", null, h("span", { class: "key key-best", "aria-hidden": "true" }), "best eval"),
        h("li", null, h("span", { class: "key key-over", "aria-hidden": "true" }), "lost more than the tolerance"),
      ),
      count,
    ),
    ...page.sampling.slice(0, 1).filter(() => page.runs.some((run) => run.at)).map((text) => h("p", { class: "quiet" }, text)),
    list,
    more,
  );
}

function outcome(state: State, index: number): { stop: number | null; saved: number | null; lossOf: number | null } {
  const { outcomes } = state.selected;
  return {
    stop: outcomes?.stop[index] ?? null,
    saved: outcomes?.saved[index] ?? null,
    lossOf: outcomes?.loss[index] ?? null,
  };
}

const OWN_FIELDS = ["group", "dataset", "model", "format"] as const;

function fieldOf(run: Run, name: string): string {
  return (OWN_FIELDS as readonly string[]).includes(name) ? (run[name as "group"] ?? "") : (run.settings[name] ?? "");
}

function filters(state: State, filter: Filter, changed: () => void): HTMLElement {
  const { runs } = state.page;
  const search = h("input", { type: "search", id: "search", placeholder: "part of a run's name", autocomplete: "off", spellcheck: "false" });
  search.addEventListener("input", () => {
    filter.words = search.value.trim().toLowerCase();
    changed();
  });
  const select = (name: string, label: string, options: [string, string][], set: (value: string) => void) => {
    const box = h("select", { id: `filter-${name}` }, ...options.map(([value, text]) => h("option", { value }, visible(text))));
    box.addEventListener("change", () => {
      set(box.value);
      changed();
    });
    return h("div", { class: "field" }, h("label", { for: `filter-${name}` }, label), box);
  };
  const names = [...OWN_FIELDS, ...new Set(runs.flatMap((run) => Object.keys(run.settings)))];
  const fields = names.flatMap((name, number) => {
    const values = [...new Set(runs.map((run) => fieldOf(run, name)))].filter(Boolean);
    if (values.length < 2 || values.length > 60) return [];
    if (names.slice(0, number).some((other) => sameSplit(runs, other, name))) return [];
    values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    const label = `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
    return [select(`field-${number}`, label, [["", "all"], ...values.map((value): [string, string] => [value, value])], (value) => (filter.fields[name] = value))];
  });
  return h(
    "div",
    { class: "filters", role: "search", "aria-label": "Filter the runs" },
    h("div", { class: "field" }, h("label", { for: "search" }, "Search"), search),
    ...fields,
    select("outcome", "Outcome", Object.entries(OUTCOMES), (value) => (filter.outcome = value as Filter["outcome"])),
    select("order", "Order", Object.entries(ORDERS), (value) => (filter.order = value as Filter["order"])),
  );
}

/** Whether two fields split the runs in the same way, so that one filter is enough. */
function sameSplit(runs: Run[], one: string, other: string): boolean {
  const pairs = new Set(runs.map((run) => JSON.stringify([fieldOf(run, one), fieldOf(run, other)])));
  return pairs.size === new Set(runs.map((run) => fieldOf(run, one))).size && pairs.size === new Set(runs.map((run) => fieldOf(run, other))).size;
}

/** The range of values to draw: a few evals of a run that diverges do not flatten the rest. */
export function domainOf(values: number[], lowerIsBetter: boolean): [number, number] {
  const finite = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (!finite.length) return [0, 1];
  const at = (share: number) => finite[Math.round(share * (finite.length - 1))]!;
  let [low, high] = [finite[0]!, finite[finite.length - 1]!];
  if (lowerIsBetter && high - low > 6 * (at(0.8) - low) && at(0.8) > low) high = low + 3 * (at(0.8) - low);
  if (!lowerIsBetter && high - low > 6 * (high - at(0.2)) && at(0.2) < high) low = high - 3 * (high - at(0.2));
  const pad = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - pad, high + pad];
}

function small(holder: HTMLElement, run: Run, state: State, index: number): void {
  const curve = curveOf(run);
  const { outcomes } = state.selected;
  const stop = outcomes?.stop[index] ?? null;
  const kept = outcomes?.kept[index] ?? null;
  const width = holder.clientWidth || 170;
  const first = curve[0]?.step ?? 0;
  const last = stepAt(run, Math.max(run.evals - 1, 0));
  const stopped = stop !== null && stop >= 0;
  const end = stopped ? stepAt(run, stop) : last;
  const before = curve.filter((point) => point.step <= end);
  const after = curve.filter((point) => point.step >= end);
  const [low, high] = domainOf(curve.map((point) => point.value), state.page.setting.monitor.mode === "min");
  const at = (position: number) => ({ step: stepAt(run, position), value: valueAt(run, position) });
  holder.replaceChildren(
    draw({
      width,
      height: 78,
      margin: 5,
      marginTop: 6,
      axis: null,
      x: { domain: [first, Math.max(last, first + 1e-9)] },
      y: { domain: [low, high], clamp: true },
      marks: [
        stopped ? rectX([0], { x1: end, x2: last, fill: "var(--blue)", fillOpacity: 0.1, insetTop: -5, insetBottom: -5 }) : null,
        line(after, { x: "step", y: "value", stroke: "var(--faint)", strokeWidth: 1.3 }),
        line(before, { x: "step", y: "value", stroke: "var(--ink)", strokeWidth: 1.6 }),
        stopped ? ruleX([end], { stroke: "var(--blue)", strokeWidth: 1.4, insetTop: -5, insetBottom: -5 }) : null,
        run.best === null ? null : dot([at(run.best)], { x: "step", y: "value", r: 4.2, stroke: "var(--ink)", strokeWidth: 1.3, fill: "var(--card)" }),
        kept === null || kept < 0 ? null : dot([at(kept)], { x: "step", y: "value", r: run.best === kept ? 2.4 : 3.4, fill: "var(--blue)" }),
      ],
    }),
  );
}
