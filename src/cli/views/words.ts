/** Words and numbers that several views share. */
import { formatBytes, formatPercent } from "../../core/text.ts";
import type { Cell } from "../output/document.ts";

/** "1 tensor", "38 tensors" */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
}

/** 3150000 → "3.15 M" */
export function formatCount(count: number): string {
  if (count < 10_000) return count.toLocaleString("en-US");
  let [value, unit] = [count, ""];
  for (const next of ["k", "M", "B", "T"]) {
    if (value < 999.5) break;
    [value, unit] = [value / 1000, next];
  }
  return `${value.toPrecision(3)} ${unit}`;
}

/** A path as a word of a shell command. */
export function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

/** "37.9 % smaller", "the same size", "2.1 % larger" */
export function sizeChange(before: number, after: number): string {
  const percent = before === 0 ? 0 : Math.abs(after / before - 1);
  if (percent < 0.0005) return "the same size";
  return `${formatPercent(percent)} ${after < before ? "smaller" : "larger"}`;
}

/** Cells of tables. */
export const showBytes = (value: Cell): string =>
  value === null ? "" : formatBytes(Number(value));
export const showCount = (value: Cell): string =>
  value === null ? "" : formatCount(Number(value));
export const showPercent = (value: Cell): string =>
  value === null ? "" : formatPercent(Number(value));

/** model.layers.7.mlp.up_proj.weight → model.layers.*.mlp.up_proj.weight */
export function kindOf(name: string): string {
  return name.replace(/(^|\.)\d+(?=\.|$)/g, "$1*");
}
