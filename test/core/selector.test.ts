import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compilePattern, compileSelector, moduleName } from "../../src/core/selector.ts";
import { processorMs } from "../helpers/processorTime.ts";

const UP = "model.layers.0.mlp.up_proj.weight";

describe("compileSelector", () => {
  it.each([
    ["the name of the tensor", UP],
    ["the name of the module", "model.layers.0.mlp.up_proj"],
    ["the last word of the module's name", "up_proj"],
    ["a glob over the whole name", "model.layers.*.up_proj"],
    ["a glob over the tensor's name", "*.weight"],
    ["a question mark for one character", "model.layers.?.mlp.up_proj"],
    ["a regular expression that begins at the start", "re:model\\.layers\\.0"],
    ["a regular expression that begins with anything", "re:.*up_proj$"],
    ["quoted text that never ends", "re:\\Qmodel.layers.0."],
    ["quoted text that ends", "re:\\Qmodel.\\E.*up_proj$"],
    ["alternatives, all anchored at the start", "re:nothing|model"],
    ["the class of linear layers", "Linear"],
  ])("takes a tensor by %s", (_, pattern) => {
    expect(compileSelector([pattern])(UP)).toBe(true);
  });

  it.each([
    ["a part of the name", "mlp.up_proj"],
    ["a word that is not the last", "mlp"],
    ["a part of a word", "up"],
    ["a glob over a part of the name", "layers.*"],
    ["a question mark where there is no character", "model.layers.0?.mlp.up_proj"],
    ["a regular expression from the middle", "re:layers"],
    ["quoted text from the middle", "re:\\Qlayers.0."],
    ["alternatives that begin in the middle", "re:nothing|layers"],
    ["another case", "UP_PROJ"],
    ["a dot as any character", "model.layers.0.mlp.up.proj"],
    ["a glob's dot as any character", "model?layers.0.mlp.up.*"],
  ])("does not take it by %s", (_, pattern) => {
    expect(compileSelector([pattern])(UP)).toBe(false);
  });

  it("takes what any of several patterns takes, and nothing for none", () => {
    const selector = compileSelector(["lm_head", "re:.*\\.5\\."]);
    expect(selector("lm_head.weight")).toBe(true);
    expect(selector("model.layers.5.mlp.up_proj.weight")).toBe(true);
    expect(selector(UP)).toBe(false);
    expect(compileSelector([])(UP)).toBe(false);
  });

  it("takes tensors that have no .weight by their last word", () => {
    expect(compileSelector(["gate_up_proj"])("layers.0.mlp.experts.gate_up_proj")).toBe(true);
    expect(compileSelector(["q_proj"])("layers.0.self_attn.q_proj.bias")).toBe(false);
  });

  it("treats everything but * and ? in a glob as itself", () => {
    const strange = "a[0-9]{2}(b|c)+$^\\d.e";
    expect(compileSelector([`${strange}*`])(`${strange}x`)).toBe(true);
    expect(compileSelector([`${strange}*`])("a5{2}be")).toBe(false);
  });

  it("agrees with a naive matcher on globs", () => {
    const letters = fc.constantFrom("a", "b", ".", "*", "?", "\n", "é", "𝛼");
    const glob = fc.string({ unit: letters, minLength: 1, maxLength: 8 });
    const name = fc.string({ unit: fc.constantFrom("a", "b", ".", "\n", "é", "𝛼"), maxLength: 10 });
    fc.assert(
      fc.property(glob, name, (pattern, text) => {
        fc.pre(/[*?]/.test(pattern) && pattern.trim() !== "");
        const expected = naiveGlob([...pattern], [...text]);
        expect(compileSelector([pattern])(text)).toBe(expected);
        expect(compileSelector([pattern])(`${text}.weight`)).toBe(
          expected || naiveGlob([...pattern], [...`${text}.weight`]),
        );
      }),
      { numRuns: 3000 },
    );
  });

  it("agrees with RegExp, anchored at the start, on small regular expressions", () => {
    const atom = fc.constantFrom("a", "b", ".", "[ab]", "(?:ab|b)", "\\.", "\\d");
    const piece = fc
      .tuple(atom, fc.constantFrom("", "*", "+", "?", "{1,2}"))
      .map((p) => p.join(""));
    const regex = fc
      .array(
        fc.array(piece, { minLength: 1, maxLength: 4 }).map((p) => p.join("")),
        {
          minLength: 1,
          maxLength: 3,
        },
      )
      .map((alternatives) => alternatives.join("|"));
    const name = fc.string({ unit: fc.constantFrom("a", "b", ".", "7"), maxLength: 8 });
    fc.assert(
      fc.property(regex, name, (source, text) => {
        expect(compileSelector([`re:${source}`])(text)).toBe(
          new RegExp(`^(?:${source})`).test(text),
        );
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ["that is empty", "", "0 characters"],
    ["of spaces", "  ", "2 characters"],
    ["that is too long", "x".repeat(1001), "1001 characters"],
    ["with nothing behind re:", "re:", "is empty"],
    ["with an open bracket", "re:[", "missing closing ]"],
    ["that repeats nothing", "re:*", "missing argument to repetition"],
    ["with look-ahead", "re:(?=x)", "(?="],
    ["with a back-reference", "re:(a)\\1", "invalid escape sequence"],
    ["with a count over RE2's own limit", "re:a{1001}", "invalid repeat count"],
    ["with counts that unroll too far", `re:${"\\w{999}".repeat(4)}`, "unrolls to about 4"],
    ["with counts of counts", "re:((a{9}){10}){20}", "unrolls to about 5"],
    ["that closes a group of ours", "re:a)(?:b", "unexpected )"],
  ])("refuses a pattern %s", (_, pattern, reason) => {
    expect(() => compileSelector([pattern])).toThrow(
      expect.objectContaining({
        code: "E_PATTERN",
        message: expect.stringContaining(reason),
      }),
    );
  });

  it("shows control characters of a refused pattern escaped", () => {
    expect(() => compilePattern("re:\x1b[31m(")).toThrow("\\u{1b}[31m(");
  });

  it("YA-07 needs no longer for expressions that make backtracking engines hang", () => {
    const evil = ["re:(a+)+$", "re:(a|aa)+$", "re:(.*)*x", "re:(a?){50}a*$", "*a*a*a*a*a*a*a*b"];
    const name = `${"a".repeat(2000)}!`;
    for (const pattern of [...evil, `re:\\pL{900}${"\\pL".repeat(300)}`]) {
      const selector = compileSelector([pattern]);
      selector(name); // the engine builds its tables on first use
      expect(
        processorMs(() => selector(name)),
        pattern,
      ).toBeLessThan(50);
    }
  });

  it("PA-07 runs 200,000 names through 20 patterns in seconds", () => {
    const patterns = Array.from(
      { length: 17 },
      (_, i) => `re:.*layers\\.${i + 90}\\..*(up|down)_proj$`,
    );
    const selector = compileSelector([...patterns, "lm_head", "model.layers.7?.*", "*.nothing"]);
    let taken = 0;
    const ms = processorMs(() => {
      taken = 0;
      for (let i = 0; i < 200_000; i++) {
        if (selector(`model.layers.${i % 100}.mlp.experts.${i}.down_proj.weight`)) taken++;
      }
    });
    expect(taken).toBe(40_000);
    expect(ms).toBeLessThan(3000);
  });
});

describe("moduleName", () => {
  it("is the name without .weight", () => {
    expect(moduleName("a.b.weight")).toBe("a.b");
    expect(moduleName("a.weight.b")).toBe("a.weight.b");
    expect(moduleName("weight")).toBe("weight");
  });
});

function naiveGlob(pattern: readonly string[], text: readonly string[]): boolean {
  const [head, ...rest] = pattern;
  if (head === undefined) return text.length === 0;
  if (head === "*") {
    return text.some((_, index) => naiveGlob(rest, text.slice(index))) || naiveGlob(rest, []);
  }
  return text.length > 0 && (head === "?" || head === text[0]) && naiveGlob(rest, text.slice(1));
}
