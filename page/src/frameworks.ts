/** The same setting as several tools read it, on these runs. */
import { axisX, axisY, dot, gridY, link } from "@observablehq/plot";
import { draw, Loss, onWidth } from "./chart.ts";
import type { Policy, Setting } from "./data.ts";
import { h, prose, replace, specOf } from "./dom.ts";
import { counted, percent, sharedPrefix, shorten, span, visible } from "./format.ts";
import type { State } from "./state.ts";

const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "cross"] as const;
const MOST_ROWS = 24;
const END = "end";

export function frameworksSection(state: State): HTMLElement | null {
  const { page } = state;
  const settings = page.frameworks.filter((setting) => setting.tools.some((tool) => page.policies[tool.policy]!.outcomes));
  if (!settings.length) return null;
  const loss = new Loss(page);
  let shown = settings.reduce((best, one, index) => (one.differ > settings[best]!.differ ? index : best), 0);
  const choose = h(
    "select",
    { id: "setting" },
    ...settings.map((setting, index) => h("option", { value: index, selected: index === shown }, `${setting.label} (${setting.differ ? `differs on ${counted(setting.differ, "run")}` : "all stop alike"})`)),
  );
  const said = h("p", { class: "intro", "aria-live": "polite" });
  const body = h("div", { class: "framework-grid" });
  const show = () => {
    const setting = settings[shown]!;
    replace(said, ...sentence(setting, state, loss));
    replace(body, table(setting, state, loss), setting.differ ? stops(setting, state) : null);
  };
  choose.addEventListener("change", () => {
    shown = Number(choose.value);
    show();
  });
  state.listen((change) => change === "policy" && show());
  show();
  return h(
    "section",
    { id: "frameworks", "aria-labelledby": "frameworks-title" },
    h("h2", { id: "frameworks-title" }, "One setting, several frameworks"),
    h("div", { class: "filters" }, h("div", { class: "field" }, h("label", { for: "setting" }, "Setting"), choose)),
    said,
    body,
  );
}

/** The policies of a setting's tools, with their names. */
function toolsOf(setting: Setting, state: State): { name: string; index: number; policy: Policy }[] {
  return setting.tools.map((tool) => ({ name: tool.name, index: tool.policy, policy: state.page.policies[tool.policy]! }));
}

function sentence(setting: Setting, state: State, loss: Loss): (Node | string)[] {
  const count = state.page.runs.length;
  const name = specOf(setting.label);
  if (!setting.differ) return ["With ", name, `, all of these tools stop each of the ${counted(count, "run")} at the same eval. A threshold on the gain is where they differ most.`];
  const known = toolsOf(setting, state).filter((tool) => tool.policy.saved !== null && tool.policy.loss !== null);
  const most = known.reduce((a, b) => (b.policy.saved! > a.policy.saved! ? b : a));
  const least = known.reduce((a, b) => (b.policy.saved! < a.policy.saved! ? b : a));
  return [
    "With ",
    name,
    prose(
      `, the tools do not stop alike on ${setting.differ} of ${counted(count, "run")}. ${article(most.name, true)} saves most (${percent(most.policy.saved)}, ${loss.short(most.policy.loss)}), ${article(least.name, false)} saves least (${percent(least.policy.saved)}, ${loss.short(least.policy.loss)}). In-sample figures.`,
    ),
  ];
}

function article(name: string, first: boolean): string {
  return name === "textbook rule" ? `${first ? "The" : "the"} ${name}` : name;
}

function table(setting: Setting, state: State, loss: Loss): HTMLElement {
  const tools = toolsOf(setting, state);
  const first = tools[0]!.policy.outcomes;
  const rows = tools.map(({ name, index, policy }, at) => {
    const differs = policy.outcomes?.stop.filter((stop, run) => stop !== first?.stop[run]).length ?? 0;
    return h(
      "tr",
      { class: index === state.policy ? "selected" : "", click: () => state.selectPolicy(index) },
      h("th", { scope: "row" }, h("span", { class: `symbol symbol-${SYMBOLS[at % SYMBOLS.length]}`, "aria-hidden": "true" }), h("button", { type: "button", class: "row-button", "aria-pressed": String(index === state.policy) }, name), specOf(policy.spec)),
      h("td", { class: "narrow" }, `${policy.stopped} of ${policy.runs}`),
      h("td", null, prose(percent(policy.saved)), h("span", { class: "quiet" }, prose(` ${span(policy.saved_low, policy.saved_high)}`))),
      h("td", null, prose(loss.text(policy.loss)), h("span", { class: "quiet" }, state.page.tolerance.kind === "lost" ? prose(` ${span(policy.lost_low, policy.lost_high)}`) : "")),
      h("td", null, at ? (differs ? counted(differs, "run") : "none") : "–"),
    );
  });
  return h(
    "div",
    { class: "card table-card" },
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "The setting by tool" },
      h(
        "table",
        { class: "tools" },
        h("thead", null, h("tr", null, ...["Tool", "Stopped", "Saved", "Lost", "Other stop than the textbook rule"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", null, ...rows),
      ),
    ),
  );
}

function stops(setting: Setting, state: State): HTMLElement {
  const { runs } = state.page;
  const tools = toolsOf(setting, state);
  const differing = runs
    .map((run, index) => ({ run, index, stops: tools.map((tool) => tool.policy.outcomes?.stop[index] ?? null) }))
    .filter((row) => new Set(row.stops).size > 1)
    .sort((a, b) => spread(b.stops, b.run.evals) - spread(a.stops, a.run.evals));
  const shown = differing.slice(0, MOST_ROWS);
  const prefix = sharedPrefix(runs.map((run) => run.id));
  const names = shown.map((row) => visible(row.run.id.slice(prefix.length) || row.run.id));
  const marks = shown.flatMap((row, y) =>
    row.stops.flatMap((stop, tool) => (stop === null ? [] : [{ y, x: stop < 0 ? 100 : (100 * (stop + 1)) / row.run.evals, tool }])),
  );
  // tools that stop alike would hide each other
  const apart = marks.map((mark) => {
    const same = marks.filter((other) => other.y === mark.y && Math.abs(other.x - mark.x) < 0.01);
    return { ...mark, at: mark.x + (same.indexOf(mark) - (same.length - 1) / 2) * 2.6 };
  });
  const ranges = shown.map((_, y) => {
    const places = marks.filter((mark) => mark.y === y).map((mark) => mark.x);
    return { y, low: Math.min(...places), high: Math.max(...places) };
  });
  const holder = h("div", { class: "stops", role: "img", "aria-label": `Where each tool stops the ${counted(shown.length, "run")} on which they differ most, in percent of the run's evals` });
  onWidth(holder, (width) => {
    const marginLeft = Math.min(Math.max(...names.map((name) => 6.4 * name.length)) + 12, 220, 0.42 * width);
    holder.replaceChildren(
      draw({
        width,
        height: shown.length * 30 + 60,
        marginLeft,
        marginRight: 16,
        marginTop: 8,
        marginBottom: 40,
        x: { domain: [-4, 108] },
        y: { domain: [-0.6, shown.length - 0.4], reverse: true },
        symbol: { domain: [0, 1, 2, 3, 4, 5], range: [...SYMBOLS] as any },
        marks: [
          gridY(shown.map((_, index) => index), { stroke: "var(--line)", strokeOpacity: 1 }),
          link(ranges, { x1: "low", x2: "high", y1: "y", y2: "y", stroke: "var(--faint)", strokeWidth: 5, strokeOpacity: 0.35, strokeLinecap: "round" } as any),
          dot(apart, { x: "at", y: "y", symbol: (d: any) => d.tool, r: 4.6, stroke: "var(--ink)", fill: (d: any) => (tools[d.tool]!.index === state.policy ? "var(--blue)" : d.tool === 0 ? "var(--ink)" : "var(--card)"), strokeWidth: 1.4 } as any),
          axisX([0, 25, 50, 75, 100], { tickFormat: (d: number) => (d === 100 ? END : `${d}%`), tickSize: 0, label: "stop, share of the run's evals →", fill: "var(--muted)" }),
          axisY(shown.map((_, index) => index), { tickFormat: (d: number) => shorten(names[d] ?? "", Math.floor((marginLeft - 12) / 6.2)), tickSize: 0, label: null, fill: "var(--muted)" }),
        ],
      }),
    );
  });
  return h(
    "div",
    { class: "card" },
    h("h3", null, shown.length < differing.length ? `The ${shown.length} runs on which they differ most` : "The runs on which they differ"),
    h("ul", { class: "legend" }, ...tools.map((tool, at) => h("li", null, h("span", { class: `symbol symbol-${SYMBOLS[at % SYMBOLS.length]}`, "aria-hidden": "true" }), tool.name))),
    holder,
  );
}

function spread(stops: (number | null)[], evals: number): number {
  const known = stops.filter((stop): stop is number => stop !== null).map((stop) => (stop < 0 ? evals : stop));
  return (Math.max(...known) - Math.min(...known)) / Math.max(evals, 1);
}
