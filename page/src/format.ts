/** Numbers and names as text; numbers read as in the other outputs of replay. */

/** A share as a short percentage: 0%, <0.1%, 4.2%, 31%; ? where it is unknown. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || Number.isNaN(share)) return "?";
  const value = 100 * share;
  if (value === 0) return "0%";
  if (Math.abs(value) < 0.05) return "<0.1%";
  return `${fixed(value, Math.abs(value) < 9.95 ? 1 : 0)}%`;
}

/** The ends of an interval of a share in percent: 33-58; empty where there is none. */
export function span(low: number | null | undefined, high: number | null | undefined): string {
  if (low === null || low === undefined || high === null || high === undefined || low === high) return "";
  const digits = 100 * high >= 9.95 ? 0 : 1;
  return `${fixed(100 * low, digits)}–${fixed(100 * high, digits)}%`;
}

/** A decimal with halves rounded to even, as Python does it where the half is exact. */
function fixed(value: number, digits: number): string {
  // a double that lies exactly between two decimals has all its digits within 60 places
  const tail = Math.abs(value).toFixed(60).split(".")[1]!.slice(digits);
  if (/^50*$/.test(tail)) {
    const floor = Math.floor(value * 10 ** digits);
    return ((floor % 2 === 0 ? floor : floor + 1) / 10 ** digits).toFixed(digits);
  }
  return value.toFixed(digits);
}

/** A number with a few significant digits. */
export function number(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const text = value.toPrecision(digits);
  return text.includes("e") ? text : String(Number(text));
}

// control characters, what steers the direction of text, what cannot be seen, and halves of pairs
const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** A name with what cannot be seen shown as an escape. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A long name with its middle left out. */
export function shorten(text: string, most: number): string {
  if (text.length <= most) return text;
  const head = Math.ceil((most - 1) / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (most - 1 - head))}`;
}

/** What all names begin with, up to a separator; empty for fewer than two names. */
export function sharedPrefix(names: string[]): string {
  const first = names[0];
  if (first === undefined || names.length < 2) return "";
  let length = first.length;
  for (const name of names) while (!name.startsWith(first.slice(0, length))) length -= 1;
  return first.slice(0, Math.max(...["/", "-", "_", "."].map((mark) => first.slice(0, length).lastIndexOf(mark))) + 1);
}

/** A word as a shell takes it. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'"'"'`)}'`;
}

/** "1 run", "2 runs". */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? noun : plural}`;
}

/** Marks of single runs that fit into a tile. */
const MOST_MARKS = 400;

/** How many runs one mark stands for, so that the marks fit into their tile. */
export function runsPerMark(runs: number): number {
  return Math.max(1, Math.ceil(runs / MOST_MARKS));
}

/** Marks of the runs that are inside the tolerance, and then of those that are not. */
export function marksOf(inside: boolean[], perMark: number): boolean[] {
  const kept = inside.filter(Boolean).length;
  const count = (runs: number) => Math.ceil(runs / perMark);
  return [...Array<boolean>(count(kept)).fill(true), ...Array<boolean>(count(inside.length - kept)).fill(false)];
}
