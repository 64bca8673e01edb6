/**
 * Structure-aware safetensors files: a well-formed one is made first, then some of its fields are
 * changed, then it is written. Byte noise alone would die in the length or in the JSON.
 */

import type { Random } from "../helpers/random.ts";
import { rawSafetensors } from "../helpers/safetensorsFile.ts";
import { EDGE_INTEGERS, extend, flipBits, truncate } from "./mutate.ts";

/** All fields as JSON text, so that they can be made to say anything. */
interface Entry {
  key: string;
  dtype: string;
  shape: string[];
  begin: string;
  end: string;
  /** More members, each with a comma before it. */
  extra: string;
}

interface Draft {
  readonly random: Random;
  entries: Entry[];
  /** Text before and between the entries. */
  metadata: string | undefined;
  before: string;
  behind: string;
  dataBytes: number;
  headerLength: bigint | undefined;
  /** Takes the place of the whole JSON. */
  text: string | undefined;
}

const DTYPES: readonly (readonly [name: string, bits: number])[] = [
  ["U8", 8],
  ["BOOL", 8],
  ["F16", 16],
  ["BF16", 16],
  ["F32", 32],
  ["I64", 64],
  ["F4", 4],
  ["F6_E2M3", 6],
  ["F8_E8M0", 8],
  ["C64", 64],
];
const NAMES: readonly string[] = [
  "a",
  "model.layers.0.self_attn.q_proj.weight",
  "__proto__",
  "constructor",
  "é😀",
  "",
  "lm_head",
  "x",
];
const ODD_NUMBERS: readonly string[] = [
  "-1",
  "-0",
  "1.0",
  "1e2",
  "0.5",
  "01",
  "1.",
  "1e999",
  "9007199254740993",
  "18446744073709551616",
  '"1"',
  "null",
  "true",
  "[1]",
  "{}",
  "",
];
const ODD_KEYS: readonly string[] = [
  '"\\ud800"',
  '"\\udc00x"',
  '"\\ud83d\\ude00"',
  '"\\u0061"',
  '"\\/\\n"',
  '"\\x"',
  '"tab\t"',
  '"open',
  "a",
  "1",
  '"__metadata__"',
  `"${"n".repeat(100)}"`,
];
const EXTRAS: readonly string[] = [
  ',"stride":[1]',
  ',"note":"x"',
  ',"nested":{"a":[null,true,{"b":-1.5e3}]}',
  ',"big":1e999',
  ',"dtype":"U8"',
  ',"shape":[1]',
  ',"data_offsets":[0,1]',
  ',"stride":1,"stride":2',
  ',"open":[',
  ",",
];
const METADATA: readonly (string | undefined)[] = [
  undefined,
  "{}",
  '{"format":"pt"}',
  '{"format":"pt","k":"v"}',
  '{"k":1}',
  '{"k":"1","k":"2"}',
  "null",
  "[]",
];
const PADDING: readonly string[] = [" ", "        ", "\n", "\t\r\n", "\0\0", "x", "{}", "\ufeff"];
const WHOLE: readonly string[] = ["", "{}", "[]", "1", "null", '"{}"', "{", "}", " ", "{}{}"];
const OTHER_KINDS: readonly string[] = [
  "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
  "<!DOCTYPE html><html></html>",
  '{"error":"not found"}',
  "PK\x03\x04\x14\x00\x00\x00\x08\x00 archive/data.pkl",
  "\x80\x02}q\x00.",
  "GGUF\x03\x00\x00\x00",
];

/** Bytes that tell by their value where they come from. */
const DATA = Uint8Array.from({ length: 4096 }, (_, i) => (i * 167 + (i >> 8)) & 0xff);

/** A file with one or two fields changed, in three of ten cases with none. */
export function safetensorsInput(random: Random): Uint8Array {
  return random.chance(0.3)
    ? damaged(written(wellFormed(random)), random)
    : safetensorsMutant(random);
}

/** A file with one or two fields changed; some changes leave it well-formed. */
export function safetensorsMutant(random: Random): Uint8Array {
  if (random.chance(0.01)) return Buffer.from(random.pick(OTHER_KINDS), "latin1");
  const draft = wellFormed(random);
  const changes = random.chance(0.7) ? 1 : 2;
  for (let i = 0; i < changes; i++) random.pick(CHANGES)(draft);
  return damaged(written(draft), random);
}

/** Once in ten times, the bytes too are changed. */
function damaged(file: Uint8Array, random: Random): Uint8Array {
  return random.chance(0.1) ? random.pick(DAMAGES)(file, random) : file;
}

function wellFormed(random: Random): Draft {
  const count = random.int(5);
  const entries: Entry[] = [];
  let end = 0;
  for (let i = 0; i < count; i++) {
    const [dtype, bits] = random.pick(DTYPES);
    const shape = Array.from({ length: random.int(4) }, () => random.int(4));
    // the last dimension makes whole bytes of 4-bit and 6-bit elements
    if (bits % 8 !== 0) shape.push(4 * (1 + random.int(2)));
    const begin = end;
    end += shape.reduce((product, size) => product * size, bits) / 8;
    entries.push({
      key: JSON.stringify(random.pick(NAMES) + (random.chance(0.9) ? i : "")),
      dtype: `"${dtype}"`,
      shape: shape.map(String),
      begin: `${begin}`,
      end: `${end}`,
      extra: "",
    });
  }
  return {
    random,
    entries,
    metadata: random.chance(0.5) ? '{"format":"pt"}' : undefined,
    before: "",
    behind: random.chance(0.3) ? "    " : "",
    dataBytes: end,
    headerLength: undefined,
    text: undefined,
  };
}

function written(draft: Draft): Uint8Array {
  const members = draft.entries.map(
    ({ key, dtype, shape, begin, end, extra }) =>
      `${key}:{"dtype":${dtype},"shape":[${shape.join(",")}],"data_offsets":[${begin},${end}]${extra}}`,
  );
  if (draft.metadata !== undefined) members.unshift(`"__metadata__":${draft.metadata}`);
  const text = draft.text ?? `${draft.before}{${members.join(",")}}${draft.behind}`;
  return rawSafetensors(text, DATA.subarray(0, draft.dataBytes), draft.headerLength);
}

type Change = (draft: Draft) => void;

/** A change of one entry, where there is one. */
const entryChange =
  (change: (entry: Entry, draft: Draft) => void): Change =>
  (draft) => {
    if (draft.entries.length > 0) change(draft.random.pick(draft.entries), draft);
  };

const anyNumber = (random: Random): string =>
  random.chance(0.5) ? random.pick(ODD_NUMBERS) : `${random.pick(EDGE_INTEGERS)}`;

const near = (text: string, random: Random): string =>
  `${Number(text) + random.pick([-8, -1, 1, 8, 2 ** 32, 2 ** 53])}`;

const CHANGES: readonly Change[] = [
  // what is allowed
  (draft) => draft.entries.reverse(),
  (draft) => {
    draft.metadata = draft.random.pick(METADATA);
  },
  (draft) => {
    draft.before = " \n";
    draft.behind = "\t ";
  },
  (draft) =>
    draft.entries.push({
      key: '"empty"',
      dtype: '"F32"',
      shape: ["0"],
      begin: `${draft.dataBytes}`,
      end: `${draft.dataBytes}`,
      extra: "",
    }),
  entryChange((entry, { random }) => {
    entry.extra = random.pick(EXTRAS);
  }),
  entryChange((entry) => {
    entry.shape.unshift("1");
  }),
  // sizes
  entryChange((entry, { random }) => {
    entry.begin = near(entry.begin, random);
  }),
  entryChange((entry, { random }) => {
    entry.end = near(entry.end, random);
  }),
  entryChange((entry, { random }) => {
    if (random.chance(0.5)) entry.begin = anyNumber(random);
    else entry.end = anyNumber(random);
  }),
  entryChange((entry, { random }) => {
    entry.shape[random.int(entry.shape.length + 1)] = anyNumber(random);
  }),
  entryChange((entry, { random }) => {
    entry.shape = [...entry.shape, "0", ...Array<string>(random.int(12)).fill("4294967296")];
  }),
  entryChange((entry) => {
    const { begin, end } = entry;
    entry.begin = end;
    entry.end = begin;
  }),
  (draft) => {
    draft.dataBytes = Math.max(0, draft.dataBytes + draft.random.pick([-8, -1, 1, 8]));
  },
  (draft) => {
    draft.headerLength = draft.random.chance(0.5)
      ? draft.random.pick(EDGE_INTEGERS)
      : BigInt(draft.random.int(300));
  },
  // types and names
  entryChange((entry, { random }) => {
    entry.dtype = random.pick([
      '"F64"',
      '"F4"',
      '"F7"',
      '"f32"',
      "8",
      "null",
      '{"U8":null}',
      '"U8"',
    ]);
  }),
  entryChange((entry, { random }) => {
    entry.key = random.pick(ODD_KEYS);
  }),
  entryChange((entry, draft) => {
    draft.entries.push({ ...entry, shape: [...entry.shape] });
  }),
  entryChange((entry, draft) => {
    const field = draft.random.pick(["begin", "end", "dtype"] as const);
    draft.entries.push({
      ...entry,
      shape: [...entry.shape],
      key: '"again"',
      [field]: entry[field],
    });
  }),
  // text
  (draft) => {
    if (draft.random.chance(0.5)) draft.behind = draft.random.pick(PADDING);
    else draft.before = draft.random.pick(PADDING);
  },
  (draft) => {
    draft.text = draft.random.pick(WHOLE);
  },
];

const DAMAGES: readonly ((file: Uint8Array, random: Random) => Uint8Array)[] = [
  (file, random) => flipBits(file, 1 + random.int(3), random),
  truncate,
  extend,
  // one byte of the header: brackets, quotes, digits, a byte that is never UTF-8
  (file, random) => {
    const damaged = file.slice();
    const at = 8 + random.int(Math.max(1, file.length - 8));
    if (at < damaged.length)
      damaged[at] = random.pick([...'{}[]",:09 \\'].map((c) => c.charCodeAt(0)).concat(0xff, 0));
    return damaged;
  },
];
