/** Every pruner of the list passes the shared suite, in each of the forms named here. */
import { expect, it } from "vitest";
import { pruners } from "../../pruners/index.ts";
import { type PrunerVariant, prunerContract } from "./prunerContract.ts";

const VARIANTS: Readonly<Record<string, readonly PrunerVariant[]>> = {
  magnitude: [
    { label: "of each matrix", options: { scope: "matrix" }, rowLocal: false },
    { label: "of each row", options: { scope: "row" }, rowLocal: true },
    { label: "of the model", options: { scope: "model" }, rowLocal: false },
    { label: "2:4", options: {}, pattern: [2, 4], rowLocal: true },
    { label: "4:8", options: {}, pattern: [4, 8], rowLocal: true },
    { label: "3:7", options: {}, pattern: [3, 7], rowLocal: true },
    { label: "31:32", options: {}, pattern: [31, 32], rowLocal: true },
  ],
  random: [
    { label: "of each matrix", options: {}, rowLocal: false },
    { label: "of each row, seeded", options: { scope: "row", seed: 7 }, rowLocal: false },
    { label: "2:4", options: {}, pattern: [2, 4], rowLocal: false },
    { label: "5:9", options: { seed: 2 ** 32 - 1 }, pattern: [5, 9], rowLocal: false },
  ],
  wanda: [
    { label: "of each row", options: {}, rowLocal: true },
    { label: "of each matrix", options: { scope: "matrix" }, rowLocal: false },
    { label: "with OWL", options: { allocation: "owl" }, rowLocal: false },
    { label: "2:4", options: {}, pattern: [2, 4], rowLocal: true },
    { label: "31:32", options: {}, pattern: [31, 32], rowLocal: true },
  ],
  ria: [
    { label: "of each matrix", options: {}, rowLocal: false },
    { label: "of each row", options: { scope: "row", exponent: 1 }, rowLocal: false },
    { label: "with OWL", options: { allocation: "owl" }, rowLocal: false },
    { label: "2:4", options: {}, pattern: [2, 4], rowLocal: false },
  ],
  sparsegpt: [
    { label: "in blocks of 128", options: {}, rowLocal: false },
    { label: "in small blocks", options: { block_size: 20, damping: 0.1 }, rowLocal: false },
    { label: "with OWL", options: { allocation: "owl" }, rowLocal: false },
    { label: "2:4", options: {}, pattern: [2, 4], rowLocal: true },
    { label: "5:9 with OWL", options: { allocation: "owl" }, pattern: [5, 9], rowLocal: true },
  ],
  dsnot: [
    { label: "of each row", options: {}, rowLocal: true },
    { label: "with OWL", options: { allocation: "owl", cycles: 3 }, rowLocal: false },
    { label: "2:4", options: {}, pattern: [2, 4], rowLocal: true },
    { label: "3:7", options: {}, pattern: [3, 7], rowLocal: true },
  ],
  "tile-balanced": [
    { label: "by Wanda's score", options: {}, rowLocal: false },
    { label: "by magnitude", options: { score: "magnitude" }, rowLocal: false },
    { label: "with OWL", options: { allocation: "owl" }, rowLocal: false },
    { label: "4:8", options: {}, pattern: [4, 8], rowLocal: true },
  ],
};

it("names variants of every pruner in the list, and of no other", () => {
  expect(Object.keys(VARIANTS).sort()).toEqual([...pruners.names].sort());
});

for (const [name, variants] of Object.entries(VARIANTS)) {
  prunerContract(pruners.get(name), variants);
}
