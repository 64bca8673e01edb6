/** Weight matrices for tests of pruners. */
import { expect } from "vitest";
import type { WeightMatrix } from "../../pruners/definePruner.ts";
import type { WeightBits } from "../../pruners/select.ts";
import type { WeightDtype } from "../../src/core/dtype.ts";
import type { Random } from "../helpers/random.ts";

/** Bits of infinity, by dtype: everything above them is NaN. */
export const INFINITY_BITS: Readonly<Record<WeightDtype, number>> = {
  F16: 0x7c00,
  BF16: 0x7f80,
  F32: 0x7f80_0000,
};

export function emptyBits(dtype: WeightDtype, count: number): WeightBits {
  return dtype === "F32" ? new Uint32Array(count) : new Uint16Array(count);
}

/**
 * Finite weights with bits drawn evenly, so over all exponents; `distinct` bounds the number of
 * different magnitudes, for ties.
 */
export function randomWeights(
  random: Random,
  rows: number,
  cols: number,
  dtype: WeightDtype,
  distinct = Number.POSITIVE_INFINITY,
): WeightMatrix {
  const bits = emptyBits(dtype, rows * cols);
  const infinity = INFINITY_BITS[dtype];
  const sign = dtype === "F32" ? 2 ** 31 : 2 ** 15;
  for (let i = 0; i < bits.length; i++) {
    // multiples of a large step: with few distinct values their order still needs all the bits
    const magnitude =
      distinct < infinity
        ? 1 + Math.floor(infinity / (distinct + 1)) * random.int(distinct)
        : 1 + random.int(infinity - 1);
    bits[i] = magnitude + (random.chance(0.5) ? sign : 0);
  }
  return { name: "model.layers.0.mlp.up_proj.weight", rows, cols, dtype, bits };
}

/** A matrix of its own with the same weights. */
export function cloneWeights(weight: WeightMatrix): WeightMatrix {
  return { ...weight, bits: weight.bits.slice() };
}

/** Fails, with the place, when two matrices differ; far faster than comparing as lists. */
export function expectSameBits(found: WeightBits, expected: WeightBits, what: string): void {
  const bytes = (bits: WeightBits): Buffer =>
    Buffer.from(bits.buffer, bits.byteOffset, bits.byteLength);
  if (bytes(found).equals(bytes(expected))) return;
  const at = found.findIndex((value, i) => value !== expected[i]);
  expect.fail(`${what}: weight ${at} is ${found[at]}, not ${expected[at]}`);
}

export function countKept(bits: WeightBits): number {
  let kept = 0;
  for (const value of bits) kept += value === 0 ? 0 : 1;
  return kept;
}

/** Magnitude of a weight without its sign, as a number that orders magnitudes. */
export function keyOf(bits: number, dtype: WeightDtype): number {
  return dtype === "F32" ? bits % 2 ** 31 : bits % 2 ** 15;
}

/**
 * The oracle of all selection: sorts indices by key, stably, and zeroes the first `drop` of each
 * group. `groups` lists the indices of each group.
 */
export function sortAndDrop(
  { bits, dtype }: WeightMatrix,
  groups: Iterable<readonly number[]>,
  dropOf: (size: number) => number,
): void {
  for (const group of groups) {
    const order = [...group].sort(
      (a, b) => keyOf(bits[a]!, dtype) - keyOf(bits[b]!, dtype) || a - b,
    );
    for (const index of order.slice(0, dropOf(group.length))) bits[index] = 0;
  }
}

/** Indices begin..end. */
export function span(begin: number, end: number): number[] {
  return Array.from({ length: end - begin }, (_, i) => begin + i);
}

export function* rowsOf({ rows, cols }: WeightMatrix): Generator<number[]> {
  for (let row = 0; row < rows; row++) yield span(row * cols, (row + 1) * cols);
}

/** Groups of `m` neighbours in a row; the last of a row may be shorter. */
export function* groupsOf(weight: WeightMatrix, m: number): Generator<number[]> {
  for (const row of rowsOf(weight)) {
    for (let at = 0; at < row.length; at += m) yield row.slice(at, at + m);
  }
}
