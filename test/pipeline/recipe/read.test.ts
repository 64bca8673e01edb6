import { describe, expect, it } from "vitest";
import { readRecipe } from "../../../src/pipeline/recipe/index.ts";
import { processorMs } from "../../helpers/processorTime.ts";

/** A recipe with a prune section of these lines. */
const pruning = (...lines: string[]) =>
  ["version: 1", "prune:", ...lines.map((line) => `  ${line}`), ""].join("\n");

function errorOf(content: string | Uint8Array) {
  try {
    readRecipe(content, "recipe.yaml");
  } catch (thrown) {
    return thrown as { code: string; message: string; detail: { offset?: number; hint?: string } };
  }
  throw new Error("the recipe was accepted");
}

describe("readRecipe", () => {
  it("fills in every default", () => {
    expect(readRecipe(pruning("sparsity: 0.5"), "recipe.yaml")).toEqual({
      version: 1,
      prune: {
        method: "magnitude",
        sparsity: 0.5,
        pattern: "unstructured",
        options: {},
        targets: ["Linear"],
        ignore: [],
        allowEmpty: false,
        overrides: [],
      },
      convert: { to: "tile-bitmap", maxShardBytes: 5_000_000_000, strictFinite: false },
    });
  });

  it("reads every key", () => {
    const text = `version: 1
name: half
description: |
  two lines,
  [not yaml]
model: org/name
output: ./out
prune:
  method: random
  sparsity: 0.25
  pattern: unstructured
  scope: row
  seed: 7
  targets: [Linear, "re:.*_proj"]
  ignore: [lm_head]
  allow_empty: true
  overrides:
    - targets: ["*.down_proj"]
      sparsity: 0.4
      method: magnitude
      scope: model
    - targets: [k_proj]
      pattern: 2:4
    - targets: [o_proj]
      skip: true
convert:
  to: dense
  dtype: bf16
  max_shard_size: 2GiB
  strict_finite: true
`;
    expect(readRecipe(text, "recipe.yaml")).toEqual({
      version: 1,
      name: "half",
      description: "two lines,\n[not yaml]\n",
      model: "org/name",
      output: "./out",
      prune: {
        method: "random",
        sparsity: 0.25,
        pattern: "unstructured",
        options: { scope: "row", seed: 7 },
        targets: ["Linear", "re:.*_proj"],
        ignore: ["lm_head"],
        allowEmpty: true,
        overrides: [
          {
            targets: ["*.down_proj"],
            skip: false,
            sparsity: 0.4,
            method: "magnitude",
            options: { scope: "model" },
          },
          { targets: ["k_proj"], skip: false, pattern: "2:4", sparsity: 0.5, options: {} },
          { targets: ["o_proj"], skip: true, options: {} },
        ],
      },
      convert: { to: "dense", dtype: "BF16", maxShardBytes: 2 ** 31, strictFinite: true },
    });
  });

  it("needs no prune section: the weights are then only converted", () => {
    expect(readRecipe("version: 1\n", "recipe.yaml").prune).toBeUndefined();
  });

  it("takes the sparsity from an N:M pattern, and one that says the same", () => {
    expect(readRecipe(pruning("pattern: 1:4"), "r").prune?.sparsity).toBe(0.75);
    expect(readRecipe(pruning("pattern: '2:3'", "sparsity: 0.3333333"), "r").prune).toMatchObject({
      pattern: "2:3",
      sparsity: 1 / 3,
    });
  });

  it("accepts the ends of every range", () => {
    expect(readRecipe(pruning("sparsity: 0"), "r").prune?.sparsity).toBe(0);
    expect(readRecipe(pruning("sparsity: 0.9999"), "r").prune?.sparsity).toBe(0.9999);
    expect(readRecipe(pruning("pattern: 31:32"), "r").prune?.sparsity).toBe(1 / 32);
    expect(readRecipe(pruning("sparsity: 1e-1", "seed: 4294967295"), "r").prune?.sparsity).toBe(
      0.1,
    );
  });

  it("shows the place, the line and a caret", () => {
    const { code, message, detail } = errorOf(pruning("method: magnitude", "sparsty: 0.5"));
    expect(code).toBe("E_RECIPE_UNKNOWN_KEY");
    expect(message).toBe(
      [
        'recipe.yaml:4:3: unknown key "sparsty", did you mean "sparsity"?',
        "  4 |   sparsty: 0.5",
        "    |   ^",
      ].join("\n"),
    );
    expect(detail).toMatchObject({ path: "recipe.yaml", offset: 40, hint: "write sparsity" });
  });

  it("puts the caret right behind tabs, wide characters and escapes", () => {
    const place = (text: string) => errorOf(text).message.split("\n");
    expect(place('version: 1\nname: "é𝛼\u202e"\t\nmodel:\t5\n')).toEqual([
      "recipe.yaml:3:8: model is 5, expected a path or org/name",
      "  3 | model: 5",
      "    |        ^",
    ]);
    expect(place('version: 1\nconvert: {"𝛼\u202e": 1}\n')).toEqual([
      'recipe.yaml:2:11: unknown key "𝛼\\u{202e}"',
      '  2 | convert: {"𝛼\\u{202e}": 1}',
      "    |           ^",
    ]);
    const offset = Buffer.byteLength('version: 1\nname: "é"\n');
    expect(errorOf('version: 1\nname: "é"\nx: 1\n').detail.offset).toBe(offset);
  });

  it("shows a window of a long line", () => {
    const [, line = "", caret = ""] = errorOf(
      `version: 1\n"${"x".repeat(500)}": 5\nconvert: {}\n`,
    ).message.split("\n");
    expect(line.length).toBeLessThan(110);
    expect(caret).toBe("    | ^");
    const [, far = "", farCaret = ""] = errorOf(
      `version: 1\nprune: {sparsity: 0.5, targets: [${"abcdefg, ".repeat(40)}7]}\n`,
    ).message.split("\n");
    expect(far.length).toBeLessThan(110);
    expect(far[farCaret.indexOf("^")]).toBe("7");
  });

  it("shows all problems in the order of the text, at most eight of them", () => {
    const { code, message } = errorOf(pruning("sparsity: 2", "scop: row", "seed: -1"));
    expect(code).toBe("E_RECIPE_VALUE");
    expect(message.split("\n").filter((line) => line.startsWith("recipe.yaml"))).toEqual([
      "recipe.yaml:3:13: sparsity is 2, expected a fraction from 0 up to but not including 1",
      'recipe.yaml:4:3: unknown key "scop", did you mean "scope"?',
      "recipe.yaml:5:9: seed is -1, expected a whole number from 0 to 4294967295",
    ]);
    const many = errorOf(
      `version: 1\n${Array.from({ length: 30 }, (_, i) => `k${i}: 1\n`).join("")}`,
    );
    expect(many.message.split("\n").at(-1)).toBe("and 22 more");
  });
});

describe("hostile recipes", () => {
  it("YA-01 refuses an alias bomb without expanding it", () => {
    const levels = Array.from(
      { length: 9 },
      (_, i) =>
        `b${i}: &b${i} [${Array.from({ length: 9 }, () => (i === 0 ? "lol" : `*b${i - 1}`))}]`,
    );
    const text = ["version: 1", ...levels].join("\n");
    const { code, message } = errorOf(text);
    expect(processorMs(() => errorOf(text))).toBeLessThan(50);
    expect(code).toBe("E_RECIPE_ALIAS");
    expect(message).toContain("recipe.yaml:2:5: anchor &b0: anchors are not part of recipes");
  });

  it.each([
    ["an anchor", "model: &m x", "2:8: anchor &m"],
    ["an alias of nothing", "model: *m", "2:8: alias *m"],
    ["an anchor on a key", "&k model: x", "2:1: anchor &k"],
    ["an alias as a key", "*k : x", "2:1: alias *k"],
    ["an anchor on a mapping", "prune: &p {sparsity: 0.5}", "2:8: anchor &p"],
    ["a merge key", "prune: {<<: {sparsity: 0.5}}", "2:9: merge keys"],
    ["a core tag", "model: !!str 5", "2:8: tag !!str"],
    ["a tag on a mapping", "prune: !!map {sparsity: 0.5}", "2:8: tag !!map"],
    ["a bare tag", "model: ! x", "2:8: tag !"],
    ["a verbatim tag", "model: !<tag:yaml.org,2002:str> x", "2:8: tag !<tag:yaml.org,2002:str>"],
    ["a function", "model: !!js/function 'return 1'", "2:8: tag !!js/function"],
    ["an alias in damaged YAML", "model: *m\nprune: [", "2:8: alias *m"],
  ])("YA-01 refuses %s", (_, line, reason) => {
    const { code, message } = errorOf(`version: 1\n${line}\n`);
    expect(code).toBe("E_RECIPE_ALIAS");
    expect(message).toContain(`recipe.yaml:${reason}`);
  });

  it.each([
    ["brackets", "[".repeat(100_000)],
    ["braces", `version: 1\nprune: ${"{a: ".repeat(40)}`],
    ["list marks on a line", `version: 1\nprune:\n  targets:\n    ${"- ".repeat(40)}x`],
    ["question marks on a line", `${"? ".repeat(40)}x`],
    ["indented keys", Array.from({ length: 40 }, (_, i) => `${" ".repeat(i)}k:`).join("\n")],
    ["indented lists", Array.from({ length: 40 }, (_, i) => `${" ".repeat(i)}-`).join("\n")],
    [
      "all three",
      `${Array.from({ length: 11 }, (_, i) => `${" ".repeat(i)}k:`).join("\n")}\n${" ".repeat(12)}${"- ".repeat(11)}${"[".repeat(11)}`,
    ],
  ])("YA-02 refuses %s nested too deeply before parsing", (_, text) => {
    const { code, message } = errorOf(text);
    expect(processorMs(() => errorOf(text))).toBeLessThan(100);
    expect(code).toBe("E_RECIPE_LIMIT");
    expect(message).toContain("nested deeper than 32 levels");
  });

  it("YA-02 refuses more than 256 KiB, whatever is in them", () => {
    const lines = Array.from({ length: 100_000 }, (_, i) => `key${i}: 1\n`).join("");
    expect(errorOf(lines)).toMatchObject({
      code: "E_RECIPE_LIMIT",
      message: "recipe.yaml: the recipe has 1188890 bytes, more than 262144",
    });
    const full = `version: 1\n# ${"x".repeat(256 * 1024 - 13)}`;
    expect(readRecipe(full, "r").version).toBe(1);
    expect(errorOf(`${full}x`).code).toBe("E_RECIPE_LIMIT");
  });

  it("YA-02 refuses more than 50,000 words and marks, at the first that is too many", () => {
    const list = (items: number) =>
      `version: 1\nprune:\n  sparsity: 0.5\n  targets:\n${"    - a\n".repeat(items)}`;
    expect(readRecipe(list(5000), "r").prune?.targets).toHaveLength(5000);
    const { code, message } = errorOf(list(20_000));
    expect(code).toBe("E_RECIPE_LIMIT");
    expect(message).toMatch(
      /^recipe\.yaml:\d{4,5}:\d: more than 50000 words and marks\n {2}\d+ \| {5}- a/,
    );
  });

  it.each([
    ["keys", Array.from({ length: 24_000 }, (_, i) => `k${i}: 1\n`).join("")],
    ["keys that are there twice", "a: 1\n".repeat(50_000)],
    ["tags", `a: [${"!x y, ".repeat(40_000)}]`],
    ["anchors", `a: [${"&x y, ".repeat(40_000)}]`],
    ["wrong items", `version: 1\nprune:\n  sparsity: 0.5\n  targets: [${"1,".repeat(100_000)}]\n`],
    [
      "wrong overrides",
      `version: 1\nprune:\n  sparsity: 0.5\n  overrides: [${"1,".repeat(100_000)}]\n`,
    ],
    ["quotes", `a: ${'"'.repeat(200_000)}`],
    ["colons", ": ".repeat(20)],
    ["document marks", "---\n".repeat(60_000)],
    ["comments", "#\n".repeat(120_000)],
    ["continued lines", `a: b\n${" c\n".repeat(80_000)}`],
    ["expressions", pruning("sparsity: 0.5", `targets: [${'"re:\\\\pL{900}", '.repeat(3000)}]`)],
  ])("YA-02 takes under a second for as many %s as fit", (_, text) => {
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(256 * 1024);
    const read = () => {
      try {
        readRecipe(text, "recipe.yaml");
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: expect.stringMatching(/^E_RECIPE_/) });
      }
    };
    expect(processorMs(read)).toBeLessThan(1000);
  });

  it.each([
    ["__proto__: {polluted: 1}", '"__proto__"'],
    ["constructor: {prototype: {polluted: 1}}", '"constructor"'],
    ["prune: {sparsity: 0.5, __proto__: {polluted: 1}}", '"__proto__"'],
    ["toString: 1", '"toString"'],
  ])("YA-03 takes %s for an unknown key and leaves Object.prototype alone", (line, key) => {
    const { code, message } = errorOf(`version: 1\n${line}\n`);
    expect(code).toBe("E_RECIPE_UNKNOWN_KEY");
    expect(message).toContain(`unknown key ${key}`);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    expect(Object.keys(Object.prototype)).toEqual([]);
  });

  it("YA-03 refuses prototypes that come by a merge key", () => {
    expect(errorOf("version: 1\n<<: {__proto__: {polluted: 1}}\n").code).toBe("E_RECIPE_ALIAS");
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  it.each([
    ["sparcity: 0.5", 'unknown key "sparcity", did you mean "sparsity"?'],
    ["ignored: [a]", 'unknown key "ignored", did you mean "ignore"?'],
    ["dtype: f16", 'unknown key "dtype", it belongs under convert'],
    ["model: x", 'unknown key "model", it stands at the top level'],
    ["skip: true", 'unknown key "skip", it belongs under overrides'],
    ["quantization: 4", 'unknown key "quantization"'],
    ["5: 4", 'unknown key "5"'],
    ["? [a]\n  : 4", 'unknown key "[a]"'],
    ["? {a: b}\n  : 4", 'unknown key "{a: b}"'],
  ])("YA-04 names what %s may mean", (line, sentence) => {
    const { code, message, detail } = errorOf(pruning("sparsity: 0.5", line));
    expect(code).toBe("E_RECIPE_UNKNOWN_KEY");
    expect(message.split("\n")[0]).toMatch(/^recipe\.yaml:4:[35]: /);
    expect(message.split("\n")[0]?.endsWith(`: ${sentence}`), message).toBe(true);
    expect(detail.hint).toBeDefined();
  });

  it.each([
    [
      "sparsity: 50",
      "sparsity is 50, expected a fraction from 0 up to but not including 1, write 0.5",
    ],
    [
      "sparsity: 50%",
      'sparsity is the text "50%", expected a fraction from 0 up to but not including 1, write 0.5',
    ],
    ["sparsity: 62.5 %", ", write 0.625"],
    [
      'sparsity: "0.5"',
      'sparsity is the text "0.5", expected a fraction from 0 up to but not including 1, write 0.5',
    ],
    [
      "sparsity: .5x",
      'sparsity is the text ".5x", expected a fraction from 0 up to but not including 1',
    ],
    ["sparsity: 1.5", "sparsity is 1.5, expected a fraction from 0 up to but not including 1"],
    ["sparsity: 1", "sparsity is 1, expected"],
    [
      "sparsity: 100%",
      'sparsity is the text "100%", expected a fraction from 0 up to but not including 1',
    ],
    ["sparsity: -0.1", "sparsity is -0.1, expected"],
    ["sparsity: .nan", "sparsity is NaN, expected"],
    ["sparsity: NaN", 'sparsity is the text "NaN", expected'],
    ["sparsity: .inf", "sparsity is Infinity, expected"],
    ["sparsity:", "sparsity is empty, expected"],
    ["sparsity: [0.5]", "sparsity is a list, expected"],
    ["sparsity: {a: 1}", "sparsity is a mapping, expected"],
    ["sparsity: true", "sparsity is true, expected"],
    [
      "pattern: 4:2",
      'pattern is the text "4:2", expected unstructured, or N:M with 1 ≤ N < M ≤ 32, write "2:4"',
    ],
    ["pattern: 2/4", ', write "2:4"'],
    [
      "pattern: 2:2",
      'pattern is the text "2:2", expected unstructured, or N:M with 1 ≤ N < M ≤ 32',
    ],
    ["pattern: 2:33", 'pattern is the text "2:33", expected'],
    ["pattern: 0:4", 'pattern is the text "0:4", expected'],
    ["pattern: unstructurd", ", write unstructured"],
    ["scope: rows", 'scope is the text "rows", expected one of matrix, row, model, write row'],
    ["seed: 1.5", "seed is 1.5, expected a whole number"],
    ["seed: 4294967296", "seed is 4294967296, expected a whole number"],
    ["method: Magnitude!", 'method is the text "Magnitude!", expected the name of a pruner'],
    [
      "targets: Linear",
      'targets is the text "Linear", expected a list of names or patterns, write ["Linear"]',
    ],
    ["targets: []", "targets is a list, expected a list of names or patterns"],
    ["targets: [5]", "an item of targets is 5, expected a name or pattern"],
    ["ignore: ['']", "an item of ignore is empty text, expected a name or pattern"],
    ["allow_empty: yes", 'allow_empty is the text "yes", expected true or false, write true'],
    ["overrides: {a: 1}", "overrides is a mapping, expected a list of mappings with targets"],
    ["overrides: [5]", "an item of overrides is 5, expected a mapping with targets"],
    ["overrides: [{sparsity: 0.5}]", 'key "targets" is missing, write targets: …'],
    ["overrides: [{targets: [a]}]", "the override changes nothing, write skip: true or a sparsity"],
    ["overrides: [{targets: [a], skip: off}]", ", write false"],
  ])("YA-05 says what is wrong with %s and what to write", (line, sentence) => {
    const other = line.startsWith("sparsity") ? "seed: 1" : "sparsity: 0.5";
    const { code, message } = errorOf(pruning(other, line));
    expect(code).toBe("E_RECIPE_VALUE");
    expect(message.split("\n")[0]).toMatch(/^recipe\.yaml:4:\d+: /);
    expect(`${message.split("\n")[0]}$`).toContain(
      sentence.startsWith(",") || /not including 1$|≤ 32$/.test(sentence)
        ? `${sentence}$`
        : sentence,
    );
  });

  it.each([
    ["", "the recipe is empty, expected a mapping that begins with version: 1"],
    ["# nothing\n", "the recipe is empty"],
    ["- a\n", "the recipe is a list"],
    ["version", 'the recipe is the text "version"'],
    ["prune: {sparsity: 0.5}\n", 'key "version" is missing, write version: 1'],
    ["version: 2\n", "recipe version 2 is newer than this SpInfer"],
    ["version: '1'\n", 'version is the text "1", expected 1, write version: 1'],
    ["version: 1\nprune: 0.5\n", "prune is 0.5, expected a mapping"],
    ["version: 1\nprune:\n", "prune is empty, expected a mapping"],
    [
      "version: 1\nprune: {}\n",
      'key "sparsity" is missing, write sparsity: 0.5 (or pattern: "2:4")',
    ],
    [
      "version: 1\nconvert: {to: onnx}\n",
      'to is the text "onnx", expected one of tile-bitmap, dense',
    ],
    [
      "version: 1\nconvert: {dtype: fp16}\n",
      'dtype is the text "fp16", expected one of f16, bf16, f32, write f16',
    ],
    [
      "version: 1\nconvert: {max_shard_size: 5XB}\n",
      'max_shard_size is the text "5XB", expected a size such as 5GB',
    ],
    [
      "version: 1\nconvert: {max_shard_size: 0}\n",
      "max_shard_size is 0, expected a size such as 5GB",
    ],
    ["version: 1\nmodel: ''\n", "model is empty text, expected a path or org/name"],
    [`version: 1\nname: ${"x".repeat(201)}\n`, "expected text of 1 to 200 characters"],
  ])("YA-05 refuses %j", (text, sentence) => {
    const { code, message } = errorOf(text);
    expect(code).toBe("E_RECIPE_VALUE");
    expect(message.split("\n")[0]).toContain(sentence);
  });

  it.each([
    [
      ["pattern: 2:4", "sparsity: 0.6"],
      "sparsity 0.6 does not go with pattern 2:4, which makes it 0.5",
    ],
    [["pattern: 2:4", "scope: row"], "scope row does not go with pattern 2:4"],
    [
      ["pattern: 2:4", "overrides: [{targets: [a], sparsity: 0.4}]"],
      "sparsity 0.4 does not go with pattern 2:4",
    ],
    [
      ["sparsity: 0.5", "overrides: [{targets: [a], pattern: 1:4, sparsity: 0.5}]"],
      "which makes it 0.75",
    ],
  ])("YA-05 refuses values that contradict each other: %j", (lines, sentence) => {
    const { code, message } = errorOf(pruning(...lines));
    expect(code).toBe("E_RECIPE_VALUE");
    expect(message).toContain(sentence);
    expect(message).toMatch(/^recipe\.yaml:4:/);
  });

  it.each([
    [
      "a key that is there twice",
      "version: 1\nmodel: a\nmodel: b\n",
      '3:1: key "model" is there twice',
    ],
    [
      "a tab as indentation",
      "version: 1\nprune:\n\tsparsity: 0.5\n",
      "3:1: tabs are not allowed as indentation",
    ],
    ["a second document", "version: 1\n---\nversion: 1\n", "2:1: a second document starts here"],
    ["an open bracket", "version: 1\nprune: [\n", "flow sequence in block collection"],
    ["an open quote", "version: 1\nmodel: 'x\n", "missing closing 'quote"],
    ["a YAML version", "%YAML 1.1\n---\nversion: 1\n", "1:1: directives are not part of recipes"],
    [
      "a tag directive",
      "%TAG ! tag:x,2000:\n---\nversion: 1\n",
      "1:1: directives are not part of recipes",
    ],
    ["a control character", "version: 1\nmodel: a\x1b[31m\n", "2:9: control character 0x1b"],
    ["a zero byte", "version: 1\0\n", "1:11: control character 0x00"],
    [
      "bad indentation",
      "version: 1\nprune:\n  sparsity: 0.5\n scope: row\n",
      "4:1: all mapping items must start at the same column",
    ],
  ])("YA-06 refuses %s and says where", (_, text, reason) => {
    const { code, message } = errorOf(text);
    expect(code).toBe("E_RECIPE_SYNTAX");
    expect(message).toContain(reason);
  });

  it.each([
    ["UTF-16", Buffer.from("\ufeffversion: 1\n", "utf16le"), 0, "0xff"],
    ["Latin-1", Buffer.from("version: 1\nmodel: gr\xfc\xdfe\n", "latin1"), 20, "0xfc"],
    ["a surrogate", Uint8Array.of(0x61, 0xed, 0xa0, 0x80), 2, "0xa0"],
    ["an overlong slash", Uint8Array.of(0x61, 0xc0, 0xaf), 1, "0xc0"],
    ["a cut character", Buffer.from("version: 1 # é").subarray(0, -1), 13, "0xc3"],
  ])("YA-06 refuses %s and says which byte", (_, bytes, offset, shown) => {
    const { code, message, detail } = errorOf(bytes);
    expect(code).toBe("E_RECIPE_ENCODING");
    expect(message).toContain(`the recipe is not UTF-8: byte ${offset} is ${shown}`);
    expect(detail.offset).toBe(offset);
  });

  it("YA-06 accepts CRLF, a byte order mark, and no newline at the end", () => {
    const crlf = pruning("sparsity: 0.25", "targets:", "  - a").replaceAll("\n", "\r\n");
    expect(readRecipe(`\ufeff${crlf.trimEnd()}`, "r").prune).toMatchObject({
      sparsity: 0.25,
      targets: ["a"],
    });
    expect(errorOf(pruning("sparsity: 2").replaceAll("\n", "\r\n")).message).toContain(
      "  3 |   sparsity: 2\n    |             ^",
    );
  });

  it("YA-07 refuses what RE2 cannot do, at its place", () => {
    const { code, message, detail } = errorOf(pruning("sparsity: 0.5", "ignore: ['re:a(?!b)']"));
    expect(code).toBe("E_PATTERN");
    expect(message).toMatch(
      /^recipe\.yaml:4:12: pattern "re:a\(\?!b\)" is not a regular expression: /,
    );
    expect(detail.hint).toContain("RE2");
  });

  it("YA-07 bounds what all expressions of a recipe unroll to", () => {
    const { code, message } = errorOf(
      pruning("sparsity: 0.5", `targets: [${'"re:a{900}", '.repeat(400)}]`),
    );
    expect(code).toBe("E_RECIPE_LIMIT");
    expect(message).toContain("the patterns unroll to about 363600 steps, more than 300000");
  });

  it("YA-09 takes $ and braces and environment variables for what they are: text", () => {
    const recipe = readRecipe(`version: 1\nmodel: \${HOME}/model\noutput: $HOME\n`, "r");
    expect(recipe).toMatchObject({ model: `\${HOME}/model`, output: "$HOME" });
  });

  it("YA-09 includes nothing", () => {
    const { code, message } = errorOf("version: 1\nprune: !include other.yaml\n");
    expect(code).toBe("E_RECIPE_ALIAS");
    expect(message).toContain("2:8: tag !include: tags are not part of recipes");
  });
});
