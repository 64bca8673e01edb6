/**
 * Structure-aware GGUF files: a well-formed one is drafted, some of its fields are changed, then
 * it is written, and sometimes its bytes are damaged. Byte noise alone would die in the counts.
 */
import { TENSOR_TYPES, type TensorType, VALUE_TYPES } from "../../formats/gguf/types.ts";
import {
  type ArrayValue,
  ggufFile,
  type TestFile,
  type TestTensor,
  type TestValue,
} from "../formats/gguf/ggufFile.ts";
import type { Random } from "../helpers/random.ts";
import { EDGE_INTEGERS, extend, flipBits, overwriteInteger, truncate } from "./mutate.ts";

const KEYS: readonly string[] = [
  "general.architecture",
  "general.name",
  "general.alignment",
  "llama.block_count",
  "tokenizer.ggml.tokens",
  "tokenizer.ggml.scores",
  "split.count",
  "__proto__",
  "é▁😀",
  "x",
];
const NAMES: readonly string[] = [
  "token_embd.weight",
  "output.weight",
  "blk.0.attn_q.weight",
  "blk.1.ffn_down.weight",
  "rope_freqs.weight",
  "__proto__",
  "é😀",
  "a",
];
const TYPES = Object.keys(TENSOR_TYPES) as TensorType[];
const SCALARS = VALUE_TYPES.filter((type) => type !== "array");
/** What no string may be: not UTF-8, cut inside a character, a surrogate. */
const ODD_STRINGS: readonly Uint8Array[] = [
  Uint8Array.of(0xff),
  Uint8Array.of(0x61, 0xe2, 0x96),
  Uint8Array.of(0xed, 0xa0, 0x80),
  Uint8Array.of(0xc0, 0x80),
  new Uint8Array(0),
];
const ODD_TYPE_IDS: readonly number[] = [4, 5, 9, 10, 15, 29, 31, 41, 255, 2 ** 32 - 1];
const ODD_ALIGNMENTS: readonly TestValue[] = [
  { type: "u32", value: 0 },
  { type: "u32", value: 13 },
  { type: "u32", value: 2 ** 31 },
  { type: "u32", value: 2 ** 32 - 1 },
  { type: "u64", value: 32 },
  { type: "string", value: "32" },
  { type: "array", of: "u32", items: [32] },
];

interface Draft {
  magic?: string;
  version?: number;
  tensorCount?: number | bigint;
  keyCount?: number | bigint;
  keys: [string | Uint8Array, TestValue][];
  tensors: TestTensor[];
  alignment?: number;
  headerOnly?: boolean;
}

/** One file. */
export function ggufInput(random: Random): Uint8Array {
  const draft = drafted(random);
  if (random.chance(0.2)) return ggufFile(draft);
  if (random.chance(0.25)) return damaged(ggufFile(draft), random);
  random.pick(CHANGES)(draft, random);
  if (random.chance(0.15)) random.pick(CHANGES)(draft, random);
  const bytes = ggufFile(draft as TestFile);
  return random.chance(0.1) ? damaged(bytes, random) : bytes;
}

function damaged(bytes: Uint8Array, random: Random): Uint8Array {
  switch (random.int(4)) {
    case 0:
      return flipBits(bytes, 1 + random.int(4), random);
    case 1:
      return truncate(bytes, random);
    case 2:
      return extend(bytes, random);
    default:
      return overwriteInteger(bytes, random);
  }
}

function drafted(random: Random): Draft {
  const keys = new Map<string, TestValue>();
  for (let i = random.int(6); i > 0; i--) {
    const key = random.pick(KEYS);
    if (key !== "general.alignment") keys.set(key, anyValue(random));
  }
  const alignment = random.pick([32, 32, 8, 64]);
  if (alignment !== 32) keys.set("general.alignment", { type: "u32", value: alignment });
  const names = new Set(Array.from({ length: random.int(5) }, () => random.pick(NAMES)));
  const tensors = Array.from(names, (name) => anyTensor(name, random));
  return { version: random.pick([2, 3]), keys: [...keys], tensors, alignment };
}

function anyTensor(name: string, random: Random): TestTensor {
  const type = random.pick(TYPES);
  const { blockWeights } = TENSOR_TYPES[type];
  const rows = Array.from({ length: random.int(3) }, () => random.int(3));
  return { name, type, dims: [blockWeights * random.int(3), ...rows] };
}

function anyValue(random: Random): TestValue {
  if (random.chance(0.4)) return anyArray(random, 1);
  const type = random.pick(SCALARS);
  return { type, value: anyScalar(type, random) };
}

function anyScalar(type: string, random: Random): number | bigint | boolean | string {
  if (type === "string")
    return random.pick(["llama", "", "▁", "naïve", "a longer text than others"]);
  if (type === "bool") return random.chance(0.5);
  if (type === "f32" || type === "f64") return random.pick([0, -1.5, Number.NaN, 1e30]);
  return random.pick(EDGE_INTEGERS);
}

function anyArray(random: Random, depth: number): ArrayValue {
  const of = depth < 4 && random.chance(0.15) ? "array" : random.pick(SCALARS);
  const items = Array.from({ length: random.int(5) }, () =>
    of === "array" ? anyArray(random, depth + 1) : anyScalar(of, random),
  );
  return { type: "array", of, items };
}

type Change = (draft: Draft, random: Random) => void;

/** Changes a random tensor, if there is one. */
const changeTensor =
  (change: (tensor: TestTensor, random: Random) => Partial<TestTensor>): Change =>
  (draft, random) => {
    const at = random.int(draft.tensors.length);
    const tensor = draft.tensors[at];
    if (tensor !== undefined) draft.tensors[at] = { ...tensor, ...change(tensor, random) };
  };

const addKey = (draft: Draft, key: string | Uint8Array, value: TestValue) => {
  draft.keys.splice(0, 0, [key, value]);
};

const CHANGES: readonly Change[] = [
  (draft, random) => {
    draft.magic = random.pick(["GGML", "gguf", "vers", "<htm", "\0\0\0\0"]);
  },
  (draft, random) => {
    draft.version = random.pick([0, 1, 4, 0x0200_0000, 0x0300_0000, 2 ** 32 - 1]);
  },
  (draft, random) => {
    draft.tensorCount = random.pick(EDGE_INTEGERS);
  },
  (draft, random) => {
    draft.keyCount = random.pick(EDGE_INTEGERS);
  },
  (draft, random) => addKey(draft, random.pick(ODD_STRINGS), anyValue(random)),
  (draft, random) => addKey(draft, random.pick(KEYS), anyValue(random)),
  (draft, random) => addKey(draft, "general.alignment", random.pick(ODD_ALIGNMENTS)),
  (draft, random) => addKey(draft, "k", { type: random.pick(["?", "bool"]), value: 7 }),
  (draft, random) =>
    addKey(draft, "k", { ...anyArray(random, 1), count: random.pick(EDGE_INTEGERS) }),
  (draft, random) => addKey(draft, "k", nested(random.int(8))),
  (draft) => addKey(draft, "k", { type: "array", of: "u8", items: new Array(40).fill(1) }),
  (draft) => addKey(draft, "k", { type: "string", value: "x".repeat(200) }),
  (draft, random) => {
    for (let i = 0; i < 10; i++) addKey(draft, `k${i}`, anyValue(random));
  },
  (draft, random) => {
    for (let i = 0; i < 7; i++) draft.tensors.push(anyTensor(`t${i}`, random));
  },
  (draft, random) => {
    const twin = draft.tensors[0];
    if (twin !== undefined) draft.tensors.push(anyTensor(twin.name, random));
  },
  (draft) => {
    draft.headerOnly = true;
  },
  (draft) => {
    draft.alignment = 16;
  },
  changeTensor((_, random) => ({ offset: random.pick(EDGE_INTEGERS) })),
  changeTensor((_, random) => ({ type: random.pick(ODD_TYPE_IDS) })),
  changeTensor((_, random) => ({ type: random.pick(TYPES) })),
  changeTensor(({ dims }, random) => ({ dims: [random.pick(EDGE_INTEGERS), ...dims.slice(1)] })),
  changeTensor(({ dims }, random) => ({ dims: [...dims, random.pick(EDGE_INTEGERS)] })),
  changeTensor((_, random) => ({ dims: new Array(random.int(9)).fill(random.int(4)) })),
  changeTensor((_, random) => ({ name: random.pick(["", "n".repeat(100)]) })),
];

function nested(depth: number): ArrayValue {
  if (depth === 0) return { type: "array", of: "i8", items: [1] };
  return { type: "array", of: "array", items: [nested(depth - 1)] };
}
