/**
 * Recipes made and broken on every level: valid values, wrong values, lines moved and copied, YAML
 * that recipes refuse, damaged text and bytes.
 */
import { expect, it } from "vitest";
import { readRecipe } from "../../src/pipeline/recipe/index.ts";
import { createRandom, type Random } from "../helpers/random.ts";
import { fuzz, fuzzFactor } from "./harness.ts";

type Make = (random: Random) => string;

const pick =
  (...values: readonly string[]): Make =>
  (random) =>
    random.pick(values);

const NAMES = pick("Linear", "lm_head", "q_proj", "*.down_proj", "model.layers.0.mlp.up_proj");
const EXPRESSIONS = pick(
  '"re:.*_proj$"',
  "'re:model\\.layers\\.[0-9]+'",
  '"re:(a|b)+"',
  "re:x{1,3}",
);
const BROKEN_EXPRESSIONS = pick("'re:['", '"re:(?=x)"', "'re:(a'", "'re:a{2000}'", "'re:'");

/** Values that a key may have. */
const GOOD: Readonly<Record<string, Make>> = {
  method: pick("magnitude", "random"),
  sparsity: pick("0", "0.5", "0.25", "5e-1", "0.999", ".75"),
  scope: pick("matrix", "row", "model"),
  seed: (random) => String(random.bits()),
  targets: list,
  ignore: (random) => (random.chance(0.2) ? "[]" : list(random)),
  allow_empty: pick("true", "false"),
  skip: pick("true", "false"),
  to: pick("tile-bitmap", "dense"),
  dtype: pick("f16", "bf16", "f32"),
  max_shard_size: pick("5GB", "500MB", "1GiB", "123456"),
  strict_finite: pick("true", "false"),
  name: pick("half", '"a: b"', "größe"),
  description: pick("words", '"x\\ny"', "|\n  two\n  lines", ">-\n  folded"),
  model: pick("./model", "org/name", `\${HOME}/x`, '"C:\\\\models"'),
  output: pick("out", "/tmp/out"),
};

/** Values that no key has, or only some. */
const BAD = pick(
  "50%",
  "50",
  '"0.5"',
  ".nan",
  "-.inf",
  "1.5",
  "-1",
  "yes",
  "~",
  "",
  "[]",
  "{}",
  "[[[]]]",
  "{a: {b: c}}",
  "2:4",
  "4:2",
  "0x10",
  "1e999",
  "9007199254740993",
  '""',
  `"${"x".repeat(1500)}"`,
  "[5, null, {}]",
  "['']",
  "2020-01-01",
);

const REFUSED = pick("&a x", "*a", "!!str x", "!include y", "{<<: {a: 1}}", "! x", "&a [*a]");
const BROKEN = pick(
  "[",
  "{",
  "'x",
  '"x',
  "a: b",
  "x\n y: z",
  "@x",
  "`x",
  "%x",
  "]",
  "|x",
  "- a",
  "\x1b[2J",
  "\0",
);
const UNKNOWN = pick(
  "sparcity",
  "target",
  "__proto__",
  "constructor",
  "5",
  "[a]",
  "Sparsity",
  "quant",
  '""',
  "?",
);

function list(random: Random): string {
  const items = Array.from({ length: 1 + random.int(3) }, () =>
    random.chance(0.03) ? BROKEN_EXPRESSIONS(random) : random.pick([NAMES, EXPRESSIONS])(random),
  ).map((item) => (/^[\w.]+$/.test(item) ? item : /^['"]/.test(item) ? item : `"${item}"`));
  return `[${items.join(", ")}]`;
}

/** `key: value` lines; `wrong` is how likely each is to be something else. */
function line(random: Random, key: string, wrong: number): string {
  if (!random.chance(wrong)) return `${key}: ${GOOD[key]!(random)}`;
  const kind = random.int(10);
  if (kind < 5) return `${key}: ${BAD(random)}`;
  if (kind < 7) return `${UNKNOWN(random)}: ${GOOD[key]!(random)}`;
  if (kind < 8) return `${key}: ${REFUSED(random)}`;
  return kind < 9 ? `${key}: ${BROKEN(random)}` : `${key}: ${GOOD[key]!(random)}\n${key}: 1`;
}

function some(random: Random, keys: readonly string[], wrong: number): string[] {
  return keys.filter(() => random.chance(0.4)).map((key) => line(random, key, wrong));
}

function indent(lines: readonly string[], spaces: number): string[] {
  return lines.flatMap((text) => text.split("\n").map((part) => " ".repeat(spaces) + part));
}

function recipe(random: Random): string {
  const wrong = random.pick([0, 0, 0, 0.03, 0.1]);
  const amount = random.chance(0.2)
    ? [`pattern: ${random.pick(["2:4", '"1:4"', "8:16"])}`, ...some(random, ["seed"], wrong)]
    : [line(random, "sparsity", wrong), ...some(random, ["scope", "seed"], wrong)];
  const overrides = Array.from({ length: random.int(3) }, () => [
    line(random, "targets", wrong),
    ...some(random, ["skip", "sparsity", "method"], wrong),
  ]).flatMap(([first = "", ...rest]) => [
    ...indent([`- ${first}`], 0).slice(0, 1),
    ...indent(rest, 2),
  ]);
  const lines = [
    random.chance(wrong) ? "version: 2" : "version: 1",
    ...some(random, ["name", "description", "model", "output"], wrong),
    ...(random.chance(0.85)
      ? [
          "prune:",
          ...indent(
            [...amount, ...some(random, ["method", "targets", "ignore", "allow_empty"], wrong)],
            2,
          ),
          ...(overrides.length > 0 ? ["  overrides:", ...indent(overrides, 4)] : []),
        ]
      : []),
    ...(random.chance(0.5)
      ? [
          "convert:",
          ...indent(
            ["to: dense", ...some(random, ["dtype", "max_shard_size", "strict_finite"], wrong)],
            2,
          ),
        ]
      : []),
  ];
  return `${lines.join("\n")}\n`;
}

/** Damage to lines and characters. */
function damage(text: string, random: Random): string {
  const lines = text.split("\n");
  const at = random.int(lines.length);
  switch (random.int(8)) {
    case 0:
      lines.splice(at, 1);
      break;
    case 1:
      lines.splice(at, 0, lines[random.int(lines.length)]!);
      break;
    case 2:
      lines[at] = ` ${lines[at]}`;
      break;
    case 3:
      lines[at] = lines[at]!.slice(random.int(3));
      break;
    case 4:
      lines[at] = `${lines[at]} # ${random.pick(["comment", "'", '"', "[", "&a"])}`;
      break;
    case 5:
      lines.splice(at, 0, random.pick(["---", "...", "%YAML 1.1", "\t", "? x", "- ", "# x"]));
      break;
    case 6:
      return text.replaceAll("\n", "\r\n");
    default: {
      const position = random.int(text.length);
      const inserted = random.pick([..."[]{}:,&*!|>'\"%@`#-?\t\u2028é", "\ufeff", "\u0000"]);
      return text.slice(0, position) + inserted + text.slice(position + random.int(2));
    }
  }
  return lines.join("\n");
}

/** What is over a limit, or not UTF-8. */
function extreme(text: string, random: Random): Uint8Array {
  const bytes = Buffer.from(text);
  switch (random.int(6)) {
    case 0:
      return Buffer.concat([bytes, Buffer.from(`model: ${"[".repeat(33 + random.int(1000))}`)]);
    case 1:
      return Buffer.from(`${"- ".repeat(random.int(60))}x\n${text}`);
    case 2:
      return Buffer.concat([bytes, Buffer.alloc(262_145 - random.int(bytes.length * 2), "#")]);
    case 3:
      bytes[random.int(bytes.length)] = random.pick([0x80, 0xc0, 0xed, 0xfe, 0xff]);
      return bytes;
    case 4:
      return bytes.subarray(0, random.int(bytes.length));
    default:
      return Buffer.from(text, random.pick(["utf16le", "latin1"]));
  }
}

function generate(random: Random): Uint8Array {
  let text = recipe(random);
  const fate = random.int(100);
  if (fate < 45) return Buffer.from(text);
  if (fate >= 97) return extreme(text, random);
  for (let count = 1 + random.int(fate < 85 ? 1 : 4); count > 0; count--)
    text = damage(text, random);
  return Buffer.from(text);
}

it(
  "recipes end as a recipe or as one of their errors, whatever is in the file",
  () => {
    const report = fuzz({
      name: "recipe",
      count: 100_000,
      generate,
      parse: (bytes) => readRecipe(bytes, "fuzz.yaml"),
      codes: [
        "E_RECIPE_SYNTAX",
        "E_RECIPE_UNKNOWN_KEY",
        "E_RECIPE_VALUE",
        "E_RECIPE_ALIAS",
        "E_RECIPE_LIMIT",
        "E_RECIPE_ENCODING",
        "E_PATTERN",
      ],
      headerCodes: ["E_RECIPE_SYNTAX", "E_RECIPE_ALIAS", "E_RECIPE_LIMIT", "E_RECIPE_ENCODING"],
    });
    expect(report.accepted / report.count).toBeGreaterThan(0.3);
    expect(({} as Record<string, unknown>)["a"]).toBeUndefined();
  },
  300_000 * fuzzFactor(),
);

it("generates recipes that differ", () => {
  const texts = new Set(
    Array.from({ length: 1000 }, (_, seed) => Buffer.from(generate(createRandom(seed))).toString()),
  );
  expect(texts.size).toBeGreaterThan(900);
});
