/** The grid of a sweep as a heat map, with the line of the tolerance. */
import { axisX, axisY, link, rect, text } from "@observablehq/plot";
import { draw, Loss, onWidth } from "./chart.ts";
import { within, type Grid, type Policy } from "./data.ts";
import { h, prose, replace } from "./dom.ts";
import { percent, visible } from "./format.ts";
import type { State } from "./state.ts";

export interface Cell {
  x: number;
  y: number;
  index: number;
  policy: Policy;
  inside: boolean;
}

/** The two dimensions with most values, the first along x, and the others. */
export function axesOf(grid: Grid): { x: number; y: number | null; rest: number[] } {
  const order = grid.dimensions.map((_, index) => index).sort((a, b) => grid.dimensions[b]!.values.length - grid.dimensions[a]!.values.length || a - b);
  const several = order.filter((index) => grid.dimensions[index]!.values.length > 1);
  const [x, y, ...rest] = several;
  return { x: x ?? 0, y: y ?? null, rest };
}

/** The edges between cells within the tolerance and cells beyond it. */
export function contour(cells: Cell[]): { x1: number; y1: number; x2: number; y2: number }[] {
  const at = new Map(cells.map((cell) => [`${cell.x},${cell.y}`, cell]));
  return cells.flatMap((cell) => {
    if (!cell.inside) return [];
    const edge = (dx: number, dy: number) => {
      const other = at.get(`${cell.x + dx},${cell.y + dy}`);
      if (!other || other.inside) return [];
      return dx
        ? [{ x1: cell.x + dx / 2, x2: cell.x + dx / 2, y1: cell.y - 0.5, y2: cell.y + 0.5 }]
        : [{ x1: cell.x - 0.5, x2: cell.x + 0.5, y1: cell.y + dy / 2, y2: cell.y + dy / 2 }];
    };
    return [...edge(1, 0), ...edge(-1, 0), ...edge(0, 1), ...edge(0, -1)];
  });
}

export function gridSection(state: State): HTMLElement | null {
  const { grids } = state.page;
  if (!grids.length) return null;
  const loss = new Loss(state.page);
  let shown = 0;
  const body = h("div", { class: "maps" });
  const choose = h("select", { id: "grid-rule" }, ...grids.map((grid, index) => h("option", { value: index }, visible(grid.rule))));
  const draws: (() => void)[] = [];
  const show = () => {
    draws.length = 0;
    const grid = grids[shown]!;
    replace(body, ...maps(grid, state, loss, draws));
  };
  choose.addEventListener("change", () => {
    shown = Number(choose.value);
    show();
  });
  state.listen((change) => change !== "run" && draws.forEach((redraw) => redraw()));
  show();
  return h(
    "section",
    { id: "grid", "aria-labelledby": "grid-title" },
    h("h2", { id: "grid-title" }, "The grid"),
    h(
      "p",
      { class: "intro" },
      prose("Each cell is one policy, with the compute that it saves in percent. Inside the line the mean loss is within the tolerance; outside, the figure is struck out. A wide region means that the exact setting matters little. In-sample figures."),
    ),
    grids.length > 1 ? h("div", { class: "filters" }, h("div", { class: "field" }, h("label", { for: "grid-rule" }, "Rule"), choose)) : null,
    body,
  );
}

function maps(grid: Grid, state: State, loss: Loss, draws: (() => void)[]): HTMLElement[] {
  const { x, y, rest } = axesOf(grid);
  const panels = new Map<string, { title: string; cells: { x: number; y: number; index: number }[] }>();
  grid.coordinates.forEach((coordinates, point) => {
    const key = rest.map((axis) => coordinates[axis]).join(",");
    if (!panels.has(key)) {
      const title = rest.map((axis) => `${grid.dimensions[axis]!.name}=${grid.dimensions[axis]!.values[coordinates[axis]!]}`).join(", ");
      panels.set(key, { title, cells: [] });
    }
    panels.get(key)!.cells.push({ x: coordinates[x]!, y: y === null ? 0 : coordinates[y]!, index: grid.policies[point]! });
  });
  return [...panels.values()].slice(0, 24).map((panel) => map(grid, x, y, panel, state, loss, draws));
}

function map(
  grid: Grid,
  xAxis: number,
  yAxis: number | null,
  panel: { title: string; cells: { x: number; y: number; index: number }[] },
  state: State,
  loss: Loss,
  draws: (() => void)[],
): HTMLElement {
  const columns = grid.dimensions[xAxis]!;
  const rows = yAxis === null ? null : grid.dimensions[yAxis]!;
  const [wide, high] = [columns.values.length, rows?.values.length ?? 1];
  const chart = h("div", { class: "plot-area" });
  const holder = h(
    "div",
    {
      class: "map",
      tabindex: 0,
      role: "slider",
      "aria-label": `Heat map by ${visible(columns.name)}${rows ? ` and ${visible(rows.name)}` : ""}${panel.title ? `, ${visible(panel.title)}` : ""}`,
      "aria-valuemin": 0,
      "aria-valuemax": panel.cells.length - 1,
    },
    chart,
  );
  const most = Math.max(...state.page.policies.filter((policy) => policy.role === "candidate").map((policy) => policy.saved ?? 0), 0.01);
  let plot: ReturnType<typeof draw> | null = null;
  const redraw = onWidth(chart, (width) => {
    const cells: Cell[] = panel.cells.map((cell) => {
      const policy = state.page.policies[cell.index]!;
      return { ...cell, policy, inside: within(policy.loss, state.tolerance) };
    });
    const left = rows ? 12 + 7 * Math.max(...rows.values.map((value) => Math.min(visible(value).length, 12))) : 10;
    const size = (width - left - 8) / wide;
    const names = wide * size > wide * 22;
    const inside = cells.filter((cell) => cell.inside);
    const outside = cells.filter((cell) => !cell.inside);
    const figure = (cell: Cell) => (cell.policy.saved === null ? "?" : String(Math.round(100 * cell.policy.saved)));
    const chosen = cells.filter((cell) => cell.index === state.policy);
    const box = { x1: (d: Cell) => d.x - 0.5, x2: (d: Cell) => d.x + 0.5, y1: (d: Cell) => d.y - 0.5, y2: (d: Cell) => d.y + 0.5 };
    plot = draw({
      width,
      height: high * 34 + 60,
      marginLeft: left,
      marginRight: 8,
      marginTop: rows ? 22 : 8,
      marginBottom: 38,
      x: { domain: [-0.5, wide - 0.5] },
      y: { domain: [-0.5, high - 0.5] },
      marks: [
        rect(cells, { ...box, fill: "var(--blue)", fillOpacity: (d: Cell) => 0.06 + 0.5 * Math.max((d.policy.saved ?? 0) / most, 0), inset: 0.75 } as any),
        names ? text(inside, { x: "x", y: "y", text: figure, fill: "var(--ink)", fontWeight: 600 }) : null,
        names ? text(outside, { x: "x", y: "y", text: figure, fill: "var(--muted)" }) : null,
        link(outside, { x1: (d: Cell) => d.x - 0.26, x2: (d: Cell) => d.x + 0.26, y1: "y", y2: "y", stroke: "var(--muted)", strokeWidth: 1.1 } as any),
        link(contour(cells), { x1: "x1", x2: "x2", y1: "y1", y2: "y2", stroke: "var(--over)", strokeWidth: 2.5, strokeLinecap: "round" }),
        rect(chosen, { ...box, stroke: "var(--blue)", strokeWidth: 3, fill: "none", inset: 1 } as any),
        axisX(columns.values.map((_, index) => index), { tickFormat: (d: number) => shortValue(columns.values[d] ?? "", size), tickSize: 0, label: `${visible(columns.name)} →`, fill: "var(--muted)" }),
        rows ? axisY(rows.values.map((_, index) => index), { tickFormat: (d: number) => visible(rows.values[d] ?? "").slice(0, 12), tickSize: 0, label: `↑ ${visible(rows.name)}`, labelArrow: "none", fill: "var(--muted)" }) : null,
      ],
    });
    chart.replaceChildren(plot);
    const at = panel.cells.findIndex((cell) => cell.index === state.policy);
    const policy = state.page.policies[panel.cells[Math.max(at, 0)]!.index]!;
    holder.setAttribute("aria-valuenow", String(Math.max(at, 0)));
    holder.setAttribute("aria-valuetext", `${visible(policy.name)}: saves ${percent(policy.saved)}, ${loss.short(policy.loss)}${at < 0 ? ", not selected" : ""}`);
  });
  draws.push(redraw);
  const pick = (x: number, y: number) => {
    const cell = panel.cells.find((one) => one.x === x && one.y === y);
    if (cell) state.selectPolicy(cell.index);
  };
  holder.addEventListener("click", (event) => {
    if (!plot) return;
    const area = chart.getBoundingClientRect();
    pick(Math.round(plot.scale("x").invert(event.clientX - area.left)), Math.round(plot.scale("y").invert(event.clientY - area.top)));
  });
  holder.addEventListener("keydown", (event) => {
    const move = ({ ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] } as Record<string, [number, number]>)[event.key];
    if (!move) return;
    event.preventDefault();
    const at = panel.cells.find((cell) => cell.index === state.policy);
    if (!at) return pick(panel.cells[0]!.x, panel.cells[0]!.y);
    pick(at.x + move[0], at.y + move[1]);
  });
  return h("div", { class: "card map-card" }, panel.title ? h("h3", null, visible(panel.title)) : null, holder);
}

function shortValue(value: string, size: number): string {
  const text = visible(value);
  return text.length * 7 > size ? text.slice(0, Math.max(2, Math.floor(size / 7))) : text;
}
