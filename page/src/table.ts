/** The table of policies, which is also the text form of the scatter plot. */
import { Loss } from "./chart.ts";
import { countWithin, within, type Policy } from "./data.ts";
import { h, prose, replace, specOf } from "./dom.ts";
import { percent, span, visible } from "./format.ts";
import type { State } from "./state.ts";

const FEW = 12;

interface Column {
  key: string;
  label: string;
  title: string;
  value: (policy: Policy) => number | string | null;
}

export function tableSection(state: State): HTMLElement {
  const { page } = state;
  const loss = new Loss(page);
  const columns: Column[] = [
    { key: "policy", label: "Policy", title: "The stop policy", value: (policy) => policy.name },
    { key: "saved", label: "Saved", title: "Mean share of compute saved, with its 95% interval", value: (policy) => policy.saved },
    { key: "loss", label: page.tolerance.kind === "lost" ? "Lost" : "Regret", title: `Mean ${loss.noun}, with its 95% interval`, value: (policy) => policy.loss },
    { key: "worst", label: "Worst run", title: "The largest share of a run's improvement lost", value: (policy) => policy.worst },
    { key: "equal", label: "Equal budget", title: "Lost if every run had been given the policy's average budget", value: (policy) => policy.equal },
    { key: "within", label: "Within", title: "Runs that lose no more than the tolerance", value: (policy) => (policy.outcomes ? countWithin(policy, page.runs, state.tolerance).kept : null) },
    { key: "verdict", label: "vs. equal budget", title: "Verdict against the equal budget", value: (policy) => policy.verdict },
  ];
  const rows = page.policies.map((policy, index) => ({ policy, index })).filter((row) => row.policy.role !== "tool");
  let sort: { key: string; down: boolean } | null = null;
  let all = rows.length <= FEW + 3;
  const body = h("tbody");
  const heads = columns.map((column) =>
    h(
      "th",
      { scope: "col", "aria-sort": "none", class: column.key === "verdict" ? "words" : null },
      h("button", { type: "button", title: column.title, click: () => order(column.key) }, column.label, h("span", { class: "arrow", "aria-hidden": "true" })),
    ),
  );
  const more = h("button", { type: "button", class: "quiet-button", click: () => ((all = !all), show()) });
  const widest = Math.max(...rows.map((row) => row.policy.saved_high ?? row.policy.saved ?? 0), 0.01);
  const highest = Math.max(...rows.map((row) => row.policy.loss ?? 0), 1e-9);

  const order = (key: string) => {
    sort = sort?.key === key ? { key, down: !sort.down } : { key, down: key === "saved" || key === "within" };
    show();
  };
  const sorted = () => {
    if (!sort) return rows.slice().sort(byDefault(state));
    const { key, down } = sort;
    const value = columns.find((column) => column.key === key)!.value;
    return rows.slice().sort((a, b) => {
      const [one, other] = [value(a.policy), value(b.policy)];
      if (one === null || other === null) return one === other ? 0 : one === null ? 1 : -1;
      const compared = typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other), "en", { numeric: true });
      return down ? -compared : compared;
    });
  };
  const show = () => {
    const ordered = sorted();
    const cut = all ? ordered : ordered.slice(0, FEW);
    const chosen = ordered.find((row) => row.index === state.policy);
    if (chosen && !cut.includes(chosen)) cut.push(chosen);
    replace(body, ...cut.map(({ policy, index }) => rowOf(policy, index)));
    heads.forEach((head, at) => {
      const now = sort?.key === columns[at]!.key ? (sort.down ? "descending" : "ascending") : "none";
      head.setAttribute("aria-sort", now);
    });
    more.hidden = rows.length <= FEW + 3;
    more.textContent = all ? "Show fewer" : `Show all ${rows.length.toLocaleString("en")} policies`;
  };
  const rowOf = (policy: Policy, index: number) => {
    const selected = index === state.policy;
    const over = policy.loss !== null && !within(policy.loss, state.tolerance);
    const { kept, known } = countWithin(policy, page.runs, state.tolerance);
    const tag = policy.role === "baseline" ? "baseline" : index === state.recommended && page.answer.policy ? "recommended" : policy.front ? "front" : "";
    return h(
      "tr",
      { class: `${selected ? "selected" : ""} ${over ? "over" : ""}`, click: () => state.selectPolicy(index) },
      h(
        "th",
        { scope: "row" },
        h("button", { type: "button", class: "row-button", "aria-pressed": String(selected), "data-index": index }, specOf(policy.name, "span")),
        tag ? h("span", { class: `tag ${tag}` }, tag) : null,
      ),
      cell(percent(policy.saved), interval(policy.saved, policy.saved_low, policy.saved_high, widest, false), span(policy.saved_low, policy.saved_high)),
      cell(`${policy.censored && policy.role !== "baseline" ? "≥ " : ""}${loss.text(policy.loss)}`, interval(policy.loss, policy.loss_low, policy.loss_high, highest, true), loss.span(policy)),
      h("td", null, prose(percent(policy.worst))),
      h("td", null, policy.equal === null ? "" : prose(percent(policy.equal))),
      h("td", { class: "narrow" }, known ? `${kept} of ${known}` : ""),
      h("td", { class: "words" }, short(policy)),
    );
  };
  state.listen((change) => {
    if (change === "run") return;
    const focused = document.activeElement?.closest("tbody") === body ? document.activeElement.getAttribute("data-index") : null;
    show();
    if (focused !== null) body.querySelector<HTMLElement>(`[data-index="${Number(focused)}"]`)?.focus();
  });
  show();
  return h(
    "section",
    { id: "policies", "aria-labelledby": "policies-title" },
    h("h2", { id: "policies-title" }, "Policies"),
    h("p", { class: "intro" }, prose(`Policies within the tolerance come first, those that save most at the top. The bars are 95% intervals. All figures are in-sample.`)),
    h(
      "div",
      { class: "card table-card" },
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of policies" }, h("table", { class: "policies" }, h("thead", null, h("tr", null, ...heads)), body)),
      more,
    ),
  );
}

/** Baselines and what is within the tolerance by what they save, then the others by what they lose. */
function byDefault(state: State) {
  const rank = (policy: Policy) => (within(policy.loss, state.tolerance) ? 0 : 1);
  return (a: { policy: Policy }, b: { policy: Policy }) =>
    rank(a.policy) - rank(b.policy) ||
    (rank(a.policy) === 0 ? (b.policy.saved ?? 0) - (a.policy.saved ?? 0) : (a.policy.loss ?? Infinity) - (b.policy.loss ?? Infinity));
}

function short(policy: Policy): string {
  if (policy.role === "baseline") return "";
  const names: Record<string, string> = { "no significant difference": "no clear difference", "better than training shorter": "better", "worse than training shorter": "worse", "too few runs to rank": "too few" };
  return visible(names[policy.verdict ?? ""] ?? policy.verdict ?? "");
}

function cell(figure: string, bar: HTMLElement | null, beside: string): HTMLElement {
  return h("td", null, h("span", { class: "with-bar", title: beside ? `95% interval ${beside}` : null }, bar, h("span", null, prose(figure)), beside ? h("span", { class: "sr" }, ` (${beside})`) : null));
}

function interval(mean: number | null, low: number | null, high: number | null, most: number, root: boolean): HTMLElement | null {
  if (mean === null) return null;
  const place = (value: number) => `${(100 * (root ? Math.sqrt(Math.min(Math.max(value, 0) / most, 1)) : Math.min(value / most, 1))).toFixed(1)}%`;
  const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("i"), h("b"));
  bar.style.setProperty("--low", place(low ?? mean));
  bar.style.setProperty("--high", place(high ?? mean));
  bar.style.setProperty("--mean", place(mean));
  return bar;
}
