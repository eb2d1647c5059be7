/** Places for labels beside marks, where they cover neither a mark nor one another. */

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export interface Labelled {
  x: number;
  y: number;
  /** How far the mark reaches from its middle. */
  radius: number;
  text: string;
  size: number;
}

export interface Place {
  x: number;
  y: number;
}

const DISTANCES = [5, 11, 18, 27, 38, 50];
const DIRECTIONS: [number, number][] = [[1, 1], [1, -1], [-1, -1], [-1, 1], [0, -1], [0, 1], [1, 0], [-1, 0]];
/** The mean width of a letter, in its size. */
const LETTER = 0.58;

/**
 * The middle of each label. The first labels have the first choice; one that finds no free place takes the one that
 * covers least.
 */
export function placeLabels(labels: Labelled[], marks: { x: number; y: number; radius: number }[], taken: Box[], bounds: Box): Place[] {
  const boxes = [...taken];
  const points = marks.map(({ x, y, radius }) => ({ left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }));
  return labels.map((label) => {
    const [width, height] = [LETTER * label.size * label.text.length, 1.2 * label.size];
    let best: { place: Place; box: Box; cost: number } | null = null;
    for (const distance of DISTANCES) {
      for (const [across, down] of DIRECTIONS) {
        const away = label.radius + distance * (across && down ? 0.7 : 1);
        const x = within(label.x + across * (away + width / 2), bounds.left + width / 2, bounds.right - width / 2);
        const y = within(label.y + down * (away + height / 2), bounds.top + height / 2, bounds.bottom - height / 2);
        const box = { left: x - width / 2, top: y - height / 2, right: x + width / 2, bottom: y + height / 2 };
        const cost = 4 * boxes.filter((other) => overlap(box, other)).length + points.filter((other) => overlap(box, other)).length;
        if (!best || cost < best.cost) best = { place: { x, y }, box, cost };
        if (cost === 0) break;
      }
      if (best?.cost === 0) break;
    }
    boxes.push(best!.box);
    return best!.place;
  });
}

function within(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), Math.max(high, low));
}

export function overlap(one: Box, other: Box): boolean {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}
