/** What was read, what the figures mean, and how to make the page again. */
import type { Block, Page } from "./data.ts";
import { copyButton, download, h, prose } from "./dom.ts";
import { quoted, visible } from "./format.ts";

export function readSection(page: Page, raw: string): HTMLElement {
  const command = page.command.map(quoted).join(" ");
  const versions = Object.entries(page.versions).map(([name, version]) => `${name} ${version}`).join(", ");
  return h(
    "section",
    { id: "read", "aria-labelledby": "read-title" },
    h("h2", { id: "read-title" }, "What was read, and how"),
    h("p", { class: "intro" }, prose(page.source)),
    folded("Notes on these figures", page.notes.length ? h("ul", null, ...page.notes.map((note) => h("li", null, prose(note)))) : h("p", null, "None."), page.notes.length > 0),
    folded(
      "The logs: metrics, directions, and what was dropped",
      h("div", null, ...page.setting_text.map((text) => h("p", null, prose(text))), ...page.sampling.map((text) => h("p", null, prose(text))), ...page.read.map(block)),
    ),
    folded("Methods", h("dl", { class: "methods" }, ...page.methods.flatMap(({ term, text }) => [h("dt", null, term), h("dd", null, prose(text))]))),
    folded(
      "Make this page again",
      h(
        "div",
        null,
        h("div", { class: "code" }, h("div", { class: "code-bar" }, h("span", { class: "quiet" }, versions), copyButton(() => command, "the command")), h("pre", { tabindex: 0, class: "wrap" }, visible(command))),
      ),
      true,
    ),
    h(
      "p",
      { class: "actions" },
      h("button", { type: "button", id: "download", click: () => download(raw, "replay-report.json", "application/json") }, "Download the data (JSON)"),
      h("button", { type: "button", click: () => download(csv(page), "replay-policies.csv", "text/csv") }, "Download the policies (CSV)"),
      h("button", { type: "button", click: () => window.print() }, "Print"),
    ),
  );
}

function folded(title: string, body: HTMLElement, open = false): HTMLElement {
  return h("details", { open }, h("summary", null, title), h("div", { class: "folded" }, body));
}

function block(part: Block): HTMLElement {
  switch (part.kind) {
    case "paragraph":
      return h("div", null, ...part.lines.map((line) => h("p", null, prose(line))));
    case "list":
      return h("ul", null, ...part.items.map((item) => h("li", null, prose(item))));
    case "code":
      return h("pre", { tabindex: 0 }, visible(part.text));
    case "table":
      return h(
        "div",
        { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "The runs that were read" },
        h(
          "table",
          null,
          h("thead", null, h("tr", null, ...part.head.map((name, at) => h("th", { scope: "col", class: part.left.includes(at) ? "left" : null }, name)))),
          h("tbody", null, ...part.rows.map((row) => h("tr", null, ...row.map((text, at) => h("td", { class: part.left.includes(at) ? "left" : null }, h("bdi", null, visible(text.trim()))))))),
        ),
        part.more ? h("p", { class: "quiet" }, `${part.more.toLocaleString("en")} more rows are not on the page.`) : null,
      );
  }
}

/** The table of policies for spreadsheets, in which no name can be a formula. */
export function csv(page: Page): string {
  const columns = ["spec", "role", "front", "runs", "stopped", "censored", "saved", "saved_low", "saved_high", "total", "lost", "lost_low", "lost_high", "worst", "equal", "verdict"] as const;
  const text = (value: unknown) => {
    const cell = value === null || value === undefined ? "" : String(value);
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
    return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };
  return [columns.join(","), ...page.policies.map((policy) => columns.map((name) => text(policy[name])).join(","))].join("\r\n") + "\r\n";
}
