/** Strip kernels on wasm/tileBitmap.wasm. Memory: one strip and its chunks. */
import { createArena } from "../../src/core/wasmMemory.ts";
import type { StripKernels } from "./chunks.ts";
import { CHUNK_COLS, CHUNK_ROWS, MAX_CHUNK_BYTES } from "./layout.ts";

/** The C code may touch this many bytes past a buffer. */
const SLACK = 16;
/** Values counted in one call. */
const COUNT_BATCH = 1 << 20;

export function createWasmKernels(module: Uint8Array): StripKernels {
  const arena = createArena(module);
  arena.call("init");
  return {
    name: "wasm",
    countNonzeros(values) {
      const at = arena.reserve(COUNT_BATCH * 2);
      let count = 0;
      for (let begin = 0; begin < values.length; begin += COUNT_BATCH) {
        const part = values.subarray(begin, begin + COUNT_BATCH);
        const padded = Math.ceil(part.length / 8) * 8;
        const view = arena.halves(at, padded);
        view.set(part);
        view.fill(0, part.length);
        count += arena.call("count_nonzeros", at, padded);
      }
      return count;
    },

    encodeStrip(strip, chunks, out, begin, sizes) {
      const stride = chunks * CHUNK_COLS;
      const stripBytes = CHUNK_ROWS * stride * 2;
      const outBytes = chunks * MAX_CHUNK_BYTES + SLACK;
      const sizesBytes = Math.ceil(chunks / 4) * 16;
      const at = arena.reserve(stripBytes + sizesBytes + outBytes);
      const sizesAt = at + stripBytes;
      const outAt = sizesAt + sizesBytes;
      arena.halves(at, CHUNK_ROWS * stride).set(strip);
      const written = arena.call("encode_strip", at, chunks, stride, outAt, sizesAt);
      out.set(arena.bytes(outAt, written), begin);
      sizes.set(arena.words(sizesAt, chunks));
      return written;
    },

    decodeStrip(encoded, chunks, strip) {
      const stride = chunks * CHUNK_COLS;
      const stripBytes = CHUNK_ROWS * stride * 2;
      const at = arena.reserve(stripBytes + encoded.length + SLACK);
      const inAt = at + stripBytes;
      arena.bytes(inAt, encoded.length).set(encoded);
      arena.call("decode_strip", inAt, chunks, stride, at);
      strip.set(arena.halves(at, CHUNK_ROWS * stride));
    },
  };
}
