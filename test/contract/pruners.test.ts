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
};

it("names variants of every pruner in the list, and of no other", () => {
  expect(Object.keys(VARIANTS).sort()).toEqual([...pruners.names].sort());
});

for (const [name, variants] of Object.entries(VARIANTS)) {
  prunerContract(pruners.get(name), variants);
}
