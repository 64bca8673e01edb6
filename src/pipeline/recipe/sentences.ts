/** What is wrong with a value of a recipe or of a flag, as a sentence that ends with the fix. */
import { nearest, printable } from "../../core/text.ts";
import { BOS_MODES, PROTOCOLS } from "../../eval/windows.ts";
import {
  ALLOCATIONS,
  CALIBRATION_MODES,
  DTYPE_NAMES,
  parseGroups,
  SCOPES,
  TARGET_FORMATS,
  WINDOW_RULES,
} from "./schema.ts";

/** What the keys of a recipe accept. */
const EXPECTED = {
  version: "1",
  name: "text of 1 to 200 characters",
  description: "text of at most 10000 characters",
  model: "a path or org/name",
  output: "a path",
  prune: "a mapping with method, sparsity, …",
  calibration: "a mapping with data, nsamples, …",
  evaluation: "a mapping with data, protocol, …",
  convert: "a mapping with to, dtype, …",
  method: "the name of a pruner such as magnitude",
  sparsity: "a fraction from 0 up to but not including 1",
  pattern: "unstructured, or N:M with 1 ≤ N < M ≤ 32",
  scope: `one of ${SCOPES.join(", ")}`,
  seed: "a whole number from 0 to 4294967295",
  allocation: `one of ${ALLOCATIONS.join(", ")}`,
  outlier_ratio: "a number above 0",
  outlier_range: "a number from 0 to 1",
  score: "one of wanda, magnitude",
  exponent: "a number from 0 to 4",
  block_size: "a whole number from 1 to 4096",
  damping: "a number above 0, at most 1",
  cycles: "a whole number from 0 to 10000",
  update_threshold: "a number of 0 or more",
  variance_power: "a number from 0 to 4",
  data: "a path",
  field: "the name of a field",
  nsamples: "a whole number from 1 to 1000000",
  seqlen: "a whole number from 1 to 10000000",
  windows: `one of ${WINDOW_RULES.join(", ")}`,
  mode: `one of ${CALIBRATION_MODES.join(", ")}`,
  protocol: `one of ${PROTOCOLS.join(", ")}`,
  ctx: "a whole number from 1 to 1000000000",
  stride: "a whole number from 1 to 1000000000",
  max_windows: "a whole number from 1 to 1000000000",
  bos: `one of ${BOS_MODES.join(", ")}`,
  targets: "a list of names or patterns",
  ignore: "a list of names or patterns",
  allow_empty: "true or false",
  target:
    "a size such as 2GB, a share of the dense size such as 60%, or a perplexity limit such as ppl<=+5%",
  overrides: "a list of mappings with targets",
  skip: "true or false",
  to: `one of ${TARGET_FORMATS.join(", ")}`,
  dtype: `one of ${DTYPE_NAMES.join(", ")}`,
  max_shard_size: "a size such as 5GB",
  strict_finite: "true or false",
} as const;

const CHOICES: Readonly<Record<string, readonly string[]>> = {
  scope: SCOPES,
  allocation: ALLOCATIONS,
  score: ["wanda", "magnitude"],
  windows: WINDOW_RULES,
  mode: CALIBRATION_MODES,
  protocol: PROTOCOLS,
  bos: BOS_MODES,
  to: TARGET_FORMATS,
  dtype: DTYPE_NAMES,
};

/** "sparsity is 50, expected a fraction …, write 0.5". `key` is that of EXPECTED. */
export function wrongValue(key: string, value: unknown): string {
  const expected = Object.hasOwn(EXPECTED, key)
    ? EXPECTED[key as keyof typeof EXPECTED]
    : "something else";
  const fix = suggest(key, value);
  const sentence = `${key} is ${describe(value)}, expected ${expected}`;
  return fix === undefined ? sentence : `${sentence}, write ${fix}`;
}

/** An item of a list of patterns that is no text. */
export function wrongItem(key: string, value: unknown): string {
  return `an item of ${key} is ${describe(value)}, expected a name or pattern of 1 to 1000 characters`;
}

export function describe(value: unknown): string {
  if (value === null || value === undefined) return "empty";
  if (typeof value === "string") {
    return value === "" ? "empty text" : `the text "${printable(value, 60)}"`;
  }
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a mapping";
  return Object.is(value, -0) ? "-0" : String(value);
}

function suggest(key: string, value: unknown): string | undefined {
  if (key === "sparsity") return suggestSparsity(value);
  if (key === "pattern") return suggestPattern(value);
  if (key === "version") return "version: 1";
  if (key === "targets" || key === "ignore") {
    return typeof value === "string" && value !== "" ? `[${JSON.stringify(value)}]` : undefined;
  }
  if (EXPECTED[key as keyof typeof EXPECTED] === "true or false") return suggestBoolean(value);
  const choices = CHOICES[key];
  return choices === undefined || typeof value !== "string" ? undefined : nearest(value, choices);
}

function suggestSparsity(value: unknown): string | undefined {
  const text = typeof value === "number" ? String(value) : value;
  if (typeof text !== "string") return undefined;
  const match = /^\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*$/.exec(text);
  if (match === null) return undefined;
  const number = Number(match[1]);
  const fraction = match[2] === "%" || number > 1 ? number / 100 : number;
  // 1.5 is more likely a slip than 1.5 %
  if (!(fraction < 1) || (match[2] === "" && number > 1 && number < 5)) return undefined;
  return String(Number(fraction.toPrecision(12)));
}

function suggestPattern(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  const numbers = /^\s*(\d{1,2})\s*[:/x_-]\s*(\d{1,2})\s*$/.exec(value);
  if (numbers !== null) {
    const [low = 0, high = 0] = [Number(numbers[1]), Number(numbers[2])].sort((a, b) => a - b);
    return parseGroups(`${low}:${high}`) === undefined ? undefined : `"${low}:${high}"`;
  }
  return nearest(value, ["unstructured"]);
}

function suggestBoolean(value: unknown): string | undefined {
  if (typeof value !== "string" && typeof value !== "number") return undefined;
  const word = String(value).toLowerCase();
  if (["yes", "y", "on", "1", "true"].includes(word)) return "true";
  return ["no", "n", "off", "0", "false"].includes(word) ? "false" : undefined;
}
