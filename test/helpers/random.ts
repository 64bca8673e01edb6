/** Seeded random numbers for tests: the same seed gives the same stream everywhere (sfc32). */

export interface Random {
  /** A number in [0, 1) with 32 random bits. */
  next(): number;
  /** 32 random bits, as a number in [0, 2^32). */
  bits(): number;
  /** A whole number in [0, below); `below` ≤ 2^32. */
  int(below: number): number;
  pick<Item>(list: readonly Item[]): Item;
  /** True with this probability. */
  chance(probability: number): boolean;
  bytes(count: number): Uint8Array;
}

export function createRandom(seed: number): Random {
  let a = 0x9e37_79b9;
  let b = 0x243f_6a88;
  let c = seed | 0;
  let counter = (Math.floor(seed / 2 ** 32) * 2) | 1;

  const bits = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  };
  // the state starts nearly equal for neighbouring seeds; these rounds mix it
  for (let round = 0; round < 12; round++) bits();

  const next = (): number => bits() / 2 ** 32;
  const int = (below: number): number => Math.floor(next() * below);
  return {
    next,
    bits,
    int,
    pick: (list) => {
      if (list.length === 0) throw new Error("nothing to pick from");
      return list[int(list.length)]!;
    },
    chance: (probability) => next() < probability,
    bytes: (count) => {
      const bytes = new Uint8Array(count);
      for (let i = 0; i < count; i++) bytes[i] = bits() >>> 24;
      return bytes;
    },
  };
}
