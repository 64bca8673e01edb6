/** From values to pixels, and the values that an axis names. */

export interface Scale {
  at(value: number): number;
  readonly ticks: readonly number[];
}

/** Over how much of its own size a range must reach to be drawn by its logarithm. */
const WIDE = 6;

/** `begin` and `end` in pixels; `first` < `last`. */
export function linearScale(
  first: number,
  last: number,
  begin: number,
  end: number,
  count = 5,
): Scale {
  return {
    at: (value) => begin + ((value - first) / (last - first)) * (end - begin),
    ticks: evenTicks(first, last, count),
  };
}

/** Ratios look alike wherever they are. Both ends above 0. */
export function logScale(first: number, last: number, begin: number, end: number): Scale {
  const { at } = linearScale(Math.log(first), Math.log(last), begin, end);
  const ticks = last / first < WIDE ? evenTicks(first, last, 5) : decadeTicks(first, last);
  return { at: (value) => at(Math.log(value)), ticks };
}

/** Multiples of 1, 2 or 5 times a power of ten, about `count` of them. */
function evenTicks(first: number, last: number, count: number): readonly number[] {
  const raw = (last - first) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((size) => size >= raw * 0.999)!;
  const ticks: number[] = [];
  for (let i = Math.ceil(first / step - 1e-9); i * step <= last * (1 + 1e-12); i++) {
    ticks.push(Number((i * step).toPrecision(12)));
  }
  return ticks;
}

/** 1, 2, 5, 10, 20, …; powers of ten alone where those are many. */
function decadeTicks(first: number, last: number): readonly number[] {
  const decades = Math.log10(last / first);
  const digits = decades > 3 ? [1] : decades > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(first)); power <= Math.log10(last); power++) {
    for (const digit of digits) {
      const value = Number((digit * 10 ** power).toPrecision(12));
      if (value >= first * 0.999 && value <= last * 1.001) ticks.push(value);
    }
  }
  return ticks;
}

/** Moves labels apart that would overlap, keeping their order and staying within bounds. */
export function spread(
  wanted: readonly number[],
  gap: number,
  first: number,
  last: number,
): readonly number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a]! - wanted[b]!);
  const placed = order.map((i) => wanted[i]!);
  for (let i = 0; i < placed.length; i++) {
    const least = i === 0 ? first : placed[i - 1]! + gap;
    placed[i] = Math.max(placed[i]!, least);
  }
  for (let i = placed.length - 1; i >= 0; i--) {
    const most = i === placed.length - 1 ? last : placed[i + 1]! - gap;
    placed[i] = Math.min(placed[i]!, most);
  }
  const result = [...wanted];
  for (const [rank, i] of order.entries()) result[i] = placed[rank]!;
  return result;
}
