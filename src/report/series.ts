/** How methods are told apart: a colour of the style sheet, and a shape for those who print in grey. */
import { html, type Markup } from "./markup.ts";

export const COLOURS = 8;
/** Pixels of a letter of labels, whatever font there is: wider than most, so that nothing is cut. */
export const LETTER = 8.4;
const SHAPES = ["circle", "square", "triangle", "diamond"] as const;

/** `s0` to `s7`, which the style sheet gives a colour. */
export function colourClass(index: number): string {
  return `s${index % COLOURS}`;
}

/** The mark of series `index` around a point. A title shows where a pointer rests. */
export function mark(index: number, x: number, y: number, title: string, size = 4.5): Markup {
  const shape = SHAPES[index % SHAPES.length];
  const named = html`<title>${title}</title>`;
  const class_ = `mark ${colourClass(index)}`;
  if (shape === "circle")
    return html`<circle class="${class_}" cx="${x}" cy="${y}" r="${size}">${named}</circle>`;
  return html`<path class="${class_}" d="${outline(shape!, x, y, size)}">${named}</path>`;
}

function outline(shape: (typeof SHAPES)[number], x: number, y: number, size: number): string {
  const points: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
    square: [
      [-0.9, -0.9],
      [0.9, -0.9],
      [0.9, 0.9],
      [-0.9, 0.9],
    ],
    triangle: [
      [0, -1.15],
      [1.1, 0.85],
      [-1.1, 0.85],
    ],
    diamond: [
      [0, -1.25],
      [1.25, 0],
      [0, 1.25],
      [-1.25, 0],
    ],
  };
  const at = ([dx, dy]: readonly [number, number]): string =>
    `${(x + dx * size).toFixed(2)} ${(y + dy * size).toFixed(2)}`;
  return `M${(points[shape] ?? []).map(at).join("L")}Z`;
}
