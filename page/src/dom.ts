/** Elements, made without any markup: text is only ever text. */
import { visible } from "./format.ts";

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: Event) => void)>;

/** An element; an attribute that is a function listens to the event of its name. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes | null = null,
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return element;
}

/** A name that comes from a log: isolated from the text around it, with hidden characters shown. */
export function nameOf(text: string, shown = text): HTMLElement {
  return h("bdi", shown === text ? null : { title: visible(text) }, visible(shown));
}

/** A policy, which may break after its commas. */
export function specOf(text: string, tag: "code" | "span" = "code"): HTMLElement {
  const element = h(tag, { class: "spec" });
  visible(text).split(/(?<=[,|&:])/).forEach((part, index) => {
    if (index) element.append(document.createElement("wbr"));
    element.append(part);
  });
  return element;
}

/** Text with a space that does not break before each percent sign, for prose. */
export function prose(text: string): string {
  return visible(text).replace(/(\d)%/g, "$1\u202f%");
}

export function replace(parent: Element, ...children: Child[]): void {
  parent.replaceChildren(...children.filter((child): child is Node | string => Boolean(child)));
}

/** A button that copies text, and says so. */
export function copyButton(text: () => string, label: string): HTMLButtonElement {
  const status = h("span", { class: "sr", role: "status" });
  const caption = h("span", null, "Copy");
  const button = h(
    "button",
    {
      type: "button",
      class: "copy",
      "aria-label": `Copy ${label}`,
      click: async () => {
        const done = await copy(text());
        caption.textContent = done ? "Copied" : "Not copied";
        status.textContent = done ? `Copied ${label}` : "The browser refused to copy";
        setTimeout(() => (caption.textContent = "Copy"), 1600);
      },
    },
    caption,
    status,
  );
  return button;
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "sr", readonly: true, "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Offers text as a file. */
export function download(text: string, name: string, type: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
