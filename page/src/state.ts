/** What is selected on the page. */
import type { Page, Policy, Run } from "./data.ts";

export type Change = "policy" | "tolerance" | "run";

export class State {
  policy: number;
  tolerance: number;
  run = 0;
  /** Whether the reader has moved the tolerance. */
  moved = false;
  readonly recommended: number;
  private listeners: ((change: Change) => void)[] = [];

  constructor(readonly page: Page) {
    const wanted = page.answer.policy ?? page.answer.guess ?? "patience=3";
    const index = page.policies.findIndex((policy) => policy.spec === wanted);
    this.recommended = Math.max(index, 0);
    this.policy = this.recommended;
    this.tolerance = page.tolerance.value;
    this.run = worstRun(page, this.selected);
  }

  get selected(): Policy {
    return this.page.policies[this.policy]!;
  }

  get openRun(): Run {
    return this.page.runs[this.run]!;
  }

  listen(listener: (change: Change) => void): void {
    this.listeners.push(listener);
  }

  selectPolicy(index: number): void {
    if (index === this.policy || !this.page.policies[index]) return;
    this.policy = index;
    this.tell("policy");
  }

  setTolerance(value: number, moved = true): void {
    this.tolerance = value;
    this.moved = moved;
    this.tell("tolerance");
  }

  selectRun(index: number): void {
    this.run = index;
    this.tell("run");
  }

  private tell(change: Change): void {
    for (const listener of this.listeners) listener(change);
  }
}

/** The run that loses most under a policy: a page that shows its worst case is believed. */
export function worstRun(page: Page, policy: Policy): number {
  let worst = 0;
  let most = -Infinity;
  policy.outcomes?.loss.forEach((loss, index) => {
    if (loss !== null && page.runs[index]!.judged && loss > most) [worst, most] = [index, loss];
  });
  return worst;
}
