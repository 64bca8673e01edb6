/** Generated inputs for the tile-bitmap parser: good matrices, damaged where it could hurt. */
import { crc32 } from "node:zlib";
import { plainKernels } from "../../formats/tile-bitmap/chunks.ts";
import { META, VALUE_ORDER } from "../../formats/tile-bitmap/layout.ts";
import { packMatrix } from "../../formats/tile-bitmap/matrix.ts";
import { randomMatrix } from "../formats/tile-bitmap/matrices.ts";
import { createRandom, type Random } from "../helpers/random.ts";
import { EDGE_INTEGERS, extend, flipBits, overwriteInteger, truncate } from "./mutate.ts";

/** One input holds both tensors: u32 bytes of weight_meta, u32 "check the CRCs", then the two. */
const PREFIX_BYTES = 8;

export interface Parts {
  readonly meta: Uint8Array;
  readonly payload: Uint8Array;
  readonly crc: boolean;
}

export function joinParts({ meta, payload, crc }: Parts): Uint8Array {
  const input = new Uint8Array(PREFIX_BYTES + meta.length + payload.length);
  const view = new DataView(input.buffer);
  view.setUint32(0, meta.length, true);
  view.setUint32(4, crc ? 1 : 0, true);
  input.set(meta, PREFIX_BYTES);
  input.set(payload, PREFIX_BYTES + meta.length);
  return input;
}

export function splitParts(input: Uint8Array): Parts {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const metaEnd = PREFIX_BYTES + view.getUint32(0, true);
  return {
    meta: input.subarray(PREFIX_BYTES, metaEnd),
    payload: input.subarray(metaEnd),
    crc: view.getUint32(4, true) === 1,
  };
}

interface Mutable {
  meta: Uint8Array;
  payload: Uint8Array;
}

const SHAPES: readonly (readonly [number, number])[] = [
  ...([
    [1, 1],
    [32, 64],
    [16, 64],
    [33, 64],
    [32, 65],
    [20, 40],
    [64, 128],
    [40, 70],
  ] as const),
  ...([
    [1, 300],
    [100, 1],
    [31, 63],
    [96, 64],
  ] as const),
];

const BASES: readonly Mutable[] = SHAPES.flatMap(([rows, cols], shape) =>
  [0, 0.5, 0.97, 1].map((sparsity, i) => {
    const matrix = randomMatrix(createRandom(10 * shape + i), rows, cols, sparsity);
    return packMatrix({ ...matrix, dtype: i % 2 === 0 ? "F16" : "BF16" }, i === 3, plainKernels);
  }),
);

const view = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Fields with their sizes in bytes. */
const FIELDS: readonly (readonly [number, number])[] = [
  ...([
    [META.versionMajor, 2],
    [META.versionMinor, 2],
    [META.valueDtype, 1],
  ] as const),
  ...([
    [META.valueOrder, 1],
    [META.scaleKind, 1],
    [META.flags, 1],
    [META.rows, 4],
  ] as const),
  ...([
    [META.cols, 4],
    [META.chunkRows, 2],
    [META.chunkCols, 2],
    [META.headerBytes, 4],
  ] as const),
  ...([
    [META.nonzeros, 8],
    [META.payloadBytes, 8],
    [META.chunks, 4],
    [META.reserved, 4],
  ] as const),
];

function setInteger(bytes: Uint8Array, at: number, size: number, value: bigint): void {
  for (let i = 0; i < size; i++) bytes[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
}

const chunkCount = ({ meta }: Mutable): number => view(meta).getUint32(META.chunks, true);

/** Where a random chunk begins in the payload. */
function someChunk(parts: Mutable, random: Random): number {
  const chunk = random.int(chunkCount(parts));
  return view(parts.meta).getUint32(META.bytes + 4 * chunk, true) * 16;
}

type Damage = (parts: Mutable, random: Random) => void;

/** Each takes a good matrix. */
const DAMAGES: readonly Damage[] = [
  () => {},
  function setField({ meta }, random) {
    const [at, size] = random.pick(FIELDS);
    setInteger(meta, at, size, random.pick(EDGE_INTEGERS));
  },
  function nudgeField({ meta }, random) {
    const [at] = random.pick(FIELDS);
    meta[at] = meta[at]! + random.pick([1, -1, 16, -16]);
  },
  function anotherShape({ meta }, random) {
    const [rows, cols] = random.pick(SHAPES);
    view(meta).setUint32(META.rows, rows, true);
    view(meta).setUint32(META.cols, cols, true);
  },
  function setOffset({ meta }, random) {
    const at = META.bytes + 4 * random.int((meta.length - META.bytes) / 4);
    setInteger(meta, at, 4, random.pick(EDGE_INTEGERS));
  },
  function nudgeOffset(parts, random) {
    const at = META.bytes + 4 * random.int(chunkCount(parts) + 1);
    const offset = view(parts.meta).getUint32(at, true);
    view(parts.meta).setUint32(at, offset + random.pick([1, -1, 16, -16, 272]), true);
  },
  function moveTheEnd(parts, random) {
    const at = META.bytes + 4 * chunkCount(parts);
    const units = Math.max(0, view(parts.meta).getUint32(at, true) + random.pick([-1, 1]));
    view(parts.meta).setUint32(at, units, true);
    setInteger(parts.meta, META.payloadBytes, 8, BigInt(units * 16));
  },
  function nudgeCount({ meta }, random) {
    const nonzeros = view(meta).getBigUint64(META.nonzeros, true);
    view(meta).setBigUint64(META.nonzeros, nonzeros + random.pick([1n, -1n, 8n, -8n]), true);
  },
  function flipBitmapBit(parts, random) {
    const at = someChunk(parts, random) + random.int(256);
    parts.payload[at]! ^= 1 << random.int(8);
  },
  /** The popcount stays; the bit may land beyond the matrix. */
  function moveBitmapBit(parts, random) {
    const begin = someChunk(parts, random);
    const { lane, bit } = random.pick(VALUE_ORDER);
    const word = begin + 128 * random.int(2) + 4 * lane;
    const bits = view(parts.payload).getUint32(word, true);
    const lowest = bits & -bits;
    view(parts.payload).setUint32(word, (bits & ~lowest) | (1 << bit), true);
  },
  function moveBitBetweenWords(parts, random) {
    const begin = someChunk(parts, random);
    const from = begin + 4 * random.int(64);
    const to = begin + 4 * random.int(64);
    const word = view(parts.payload).getUint32(from, true);
    view(parts.payload).setUint32(from, view(parts.payload).getUint32(to, true), true);
    view(parts.payload).setUint32(to, word, true);
  },
  function zeroValue(parts, random) {
    const begin = someChunk(parts, random) + 256;
    const left = (parts.payload.length - begin) / 2;
    if (left > 0) view(parts.payload).setUint16(begin + 2 * random.int(left), 0, true);
  },
  function dirtyPadding(parts, random) {
    const bytes = random.chance(0.5) ? parts.meta : parts.payload;
    bytes[bytes.length - 1 - random.int(Math.min(14, bytes.length))] = 1 + random.int(255);
  },
  function flipPayload(parts, random) {
    parts.payload = flipBits(parts.payload, 1 + random.int(3), random);
  },
  function flipMeta(parts, random) {
    parts.meta = flipBits(parts.meta, 1 + random.int(3), random);
  },
  function overwriteMeta(parts, random) {
    parts.meta = overwriteInteger(parts.meta, random);
  },
  function cutPayload(parts, random) {
    parts.payload = random.chance(0.5)
      ? truncate(parts.payload, random)
      : parts.payload.subarray(0, parts.payload.length - random.pick([1, 2, 8, 16]));
  },
  function extendPayload(parts, random) {
    parts.payload = random.chance(0.5)
      ? extend(parts.payload, random)
      : Buffer.concat([parts.payload, new Uint8Array(16)]);
  },
  function cutMeta(parts, random) {
    parts.meta = truncate(parts.meta, random);
  },
  function extendMeta(parts, random) {
    parts.meta = extend(parts.meta, random);
  },
  function noise(parts, random) {
    parts.meta = random.bytes(random.int(100));
    parts.payload = random.bytes(random.int(300));
  },
];

/** CRCs that fit the damage, so that structure has to find it. */
function forge({ meta, payload }: Mutable): void {
  if (meta.length < META.bytes) return;
  view(meta).setUint32(META.payloadCrc, crc32(payload), true);
  view(meta).setUint32(META.metaCrc, 0, true);
  view(meta).setUint32(META.metaCrc, crc32(meta), true);
}

/** A good matrix with no, one or two kinds of damage; its CRCs made right again more often than not. */
export function tileBitmapInput(random: Random): Uint8Array {
  const base = random.pick(BASES);
  const parts: Mutable = { meta: base.meta.slice(), payload: base.payload.slice() };
  random.pick(DAMAGES)(parts, random);
  if (random.chance(0.1) && isWhole(parts, base)) random.pick(DAMAGES)(parts, random);
  if (random.chance(0.6)) forge(parts);
  return joinParts({ ...parts, crc: random.chance(0.7) });
}

/** Whether the header can still be walked by, as the second damage does. */
function isWhole({ meta, payload }: Mutable, base: Mutable): boolean {
  const header = META.bytes;
  return (
    payload.length === base.payload.length &&
    meta.length === base.meta.length &&
    Buffer.compare(meta.subarray(header), base.meta.subarray(header)) === 0 &&
    view(meta).getUint32(META.chunks, true) === view(base.meta).getUint32(META.chunks, true)
  );
}
