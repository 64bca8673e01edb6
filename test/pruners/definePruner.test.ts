import { describe, expect, it } from "vitest";
import { z } from "zod";
import { definePruner } from "../../pruners/definePruner.ts";
import { pruners } from "../../pruners/index.ts";
import { UNSTRUCTURED } from "../../pruners/pattern.ts";

const amount = { sparsity: 0.5, pattern: UNSTRUCTURED };

describe("the list of pruners", () => {
  it("names the nearest when there is none of that name", () => {
    expect(() => pruners.get("magnitud")).toThrow(
      expect.objectContaining({
        code: "E_PRUNER_UNKNOWN",
        message: 'there is no pruning method "magnitud"',
        detail: expect.objectContaining({
          expected: "magnitude, random, wanda, ria, sparsegpt, dsnot, tile-balanced",
          hint: 'did you mean "magnitude"?',
        }),
      }),
    );
  });
});

describe("definePruner", () => {
  const plain = definePruner({
    name: "plain",
    summary: "does nothing",
    needs: ["inputNorms"],
    options: {},
    configure: () => ({ expectNonzeros: () => ({ most: 1, expected: 1 }), prune: () => {} }),
  });

  it("says so when a pruner has no options at all", () => {
    expect(() => plain.configure(amount, { scope: "row" })).toThrow(
      expect.objectContaining({
        code: "E_OPTION",
        message: 'method plain has no option "scope"',
        detail: expect.objectContaining({ expected: "no options" }),
      }),
    );
  });

  it("hands the options over parsed, with defaults", () => {
    const seen: unknown[] = [];
    const pruner = definePruner({
      name: "seen",
      summary: "keeps its options",
      needs: [],
      options: { steps: z.int().default(3), mode: z.enum(["a", "b"]).default("a") },
      configure(given, options) {
        seen.push(given, options);
        return { expectNonzeros: () => ({ most: 0, expected: 0 }), prune: () => {} };
      },
    });
    const configured = pruner.configure(amount, { mode: "b" });
    expect(seen).toEqual([amount, { steps: 3, mode: "b" }]);
    expect(configured).toMatchObject({ name: "seen", options: { steps: 3, mode: "b" }, needs: [] });
    expect(pruner.optionNames).toEqual(["steps", "mode"]);
  });

  it("names the option whose value is wrong", () => {
    const pruner = pruners.get("random");
    expect(() => pruner.configure(amount, { seed: "x" })).toThrow(
      expect.objectContaining({
        code: "E_OPTION",
        message: expect.stringMatching(/^method random, option seed: .*number/),
      }),
    );
  });
});
