/** What all charts share. */
import { plot, type PlotOptions } from "@observablehq/plot";
import type { Page, Policy } from "./data.ts";
import { number, percent, span } from "./format.ts";

/** A chart as an SVG that screen readers pass over; its holder has the label. */
export function draw(options: PlotOptions): SVGSVGElement & { scale: (name: string) => any } {
  const chart = plot({ style: { background: "none", color: "var(--ink)", overflow: "visible" }, ...options }) as any;
  // the content security policy allows one style sheet, which has these rules
  for (const style of chart.querySelectorAll("style")) style.remove();
  chart.setAttribute("aria-hidden", "true");
  chart.setAttribute("focusable", "false");
  chart.classList.add("plot");
  return chart;
}

/** Draws into a holder in the next frame and whenever its width changes; gives a function that draws anew. */
export function onWidth(holder: HTMLElement, drawer: (width: number) => void): () => void {
  let width = 0;
  const redraw = () => {
    const now = Math.floor(holder.clientWidth);
    if (now > 0) drawer((width = now));
  };
  new ResizeObserver(() => {
    if (Math.abs(Math.floor(holder.clientWidth) - width) > 1) redraw();
  }).observe(holder);
  requestAnimationFrame(redraw);
  return redraw;
}

/** Calls a function when an element comes near the window, once; all at once before printing. `clear` forgets all. */
export function whenSeen(): { add: (element: Element, call: () => void) => void; clear: () => void } {
  const calls = new Map<Element, () => void>();
  const run = (element: Element) => {
    const call = calls.get(element);
    calls.delete(element);
    observer.unobserve(element);
    call?.();
  };
  const observer = new IntersectionObserver(
    (entries) => entries.forEach((entry) => entry.isIntersecting && run(entry.target)),
    { rootMargin: "400px" },
  );
  window.addEventListener("beforeprint", () => [...calls.keys()].forEach(run));
  return {
    add: (element, call) => {
      calls.set(element, call);
      observer.observe(element);
    },
    clear: () => {
      calls.clear();
      observer.disconnect();
    },
  };
}

/** The loss that the tolerance bounds: as text, on an axis, and in words. */
export class Loss {
  readonly factor: number;

  constructor(private page: Page) {
    this.factor = page.tolerance.kind === "regret" ? 1 : 100;
  }

  text(value: number | null | undefined): string {
    return this.page.tolerance.kind === "regret" ? number(value) : percent(value);
  }

  /** The interval of a policy's loss; nothing where the tolerance is no share of the improvement. */
  span(policy: Policy): string {
    return this.page.tolerance.kind === "lost" ? span(policy.lost_low, policy.lost_high) : "";
  }

  /** A tolerance as it is typed: 5%. */
  limit(value: number): string {
    return this.page.tolerance.kind === "regret" ? number(value, 6) : `${Number((100 * value).toPrecision(6))}%`;
  }

  tick = (value: number): string => (this.page.tolerance.kind === "regret" ? number(value) : `${number(value)}%`);

  get noun(): string {
    const objective = this.page.setting.objective.metric;
    return { lost: "improvement lost", regret: `regret in ${objective}`, relative_regret: "regret, share of the best value" }[
      this.page.tolerance.kind
    ];
  }

  /** "lost 4.2%", "0.012 worse". */
  short(value: number | null): string {
    if (value === null) return "loss unknown";
    if (value === 0) return this.page.tolerance.kind === "lost" ? "lost 0%" : "best kept";
    return this.page.tolerance.kind === "lost" ? `lost ${this.text(value)}` : `${this.text(value)} worse`;
  }
}

/** Round values from 0 to a maximum, denser below, for an axis on a square-root scale. */
export function rootTicks(most: number): number[] {
  const unit = 10 ** Math.floor(Math.log10(most || 1));
  const steps = [0, 0.02, 0.1, 0.2, 0.5, 1, 2, 3, 5, 7.5, 10].map((step) => step * unit);
  const inside = steps.filter((step) => step <= most * 1.0001);
  const kept: number[] = [];
  for (const step of inside) {
    const last = kept[kept.length - 1];
    if (last === undefined || Math.sqrt(step / most) - Math.sqrt(last / most) > 0.07) kept.push(step);
  }
  return kept.map((step) => Number(step.toPrecision(6)));
}
