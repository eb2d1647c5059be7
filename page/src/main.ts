/** The page of `replay report`. */
import { answerSection } from "./answer.ts";
import type { Page } from "./data.ts";
import { h, prose } from "./dom.ts";
import { frameworksSection } from "./frameworks.ts";
import { gridSection } from "./grid.ts";
import { readSection } from "./read.ts";
import { runSection } from "./run.ts";
import { runsSection } from "./runs.ts";
import { scatterSection } from "./scatter.ts";
import { State } from "./state.ts";
import { tableSection } from "./table.ts";

const SECTIONS: [string, string][] = [
  ["answer", "Answer"],
  ["compare", "Saved against lost"],
  ["policies", "Policies"],
  ["runs", "Runs"],
  ["run", "One run"],
  ["grid", "Grid"],
  ["frameworks", "Frameworks"],
  ["read", "What was read"],
];
const THEMES = ["auto", "light", "dark"] as const;

function themeButton(): HTMLElement {
  let at = 0;
  const button = h("button", { type: "button", class: "theme" });
  const show = () => {
    const theme = THEMES[at]!;
    if (theme === "auto") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", theme);
    button.textContent = `${theme.charAt(0).toUpperCase()}${theme.slice(1)}`;
    button.setAttribute("aria-label", `${button.textContent}: colours of the page`);
  };
  button.addEventListener("click", () => {
    at = (at + 1) % THEMES.length;
    show();
  });
  show();
  return button;
}

function start(): void {
  const raw = document.getElementById("data")!.textContent ?? "";
  const page = JSON.parse(raw) as Page;
  const state = new State(page);
  const sections = [
    answerSection(state),
    scatterSection(state),
    tableSection(state),
    runsSection(state),
    runSection(state),
    gridSection(state),
    frameworksSection(state),
    readSection(page, raw),
  ].filter((section): section is HTMLElement => section !== null);
  const links = SECTIONS.filter(([id]) => sections.some((section) => section.id === id));
  document.getElementById("page")!.replaceChildren(
    h("a", { class: "skip", href: "#answer" }, "Skip to the answer"),
    h(
      "header",
      { class: "top" },
      h(
        "div",
        { class: "wide" },
        h("span", { class: "brand" }, "replay"),
        h("span", { class: "where" }, prose(page.source)),
        h("nav", { "aria-label": "Sections" }, ...links.map(([id, label]) => h("a", { href: `#${id}` }, label))),
        themeButton(),
      ),
    ),
    h("main", { class: "wide" }, ...sections),
    h(
      "footer",
      { class: "wide" },
      h("p", null, `Made by replay ${page.versions["stop-replay"] ?? ""}. This page makes no request; it holds all its data. Charts: Observable Plot and D3, ISC licence.`),
    ),
  );
  document.documentElement.setAttribute("data-ready", "true");
}

start();
