/* Tile-bitmap strips, encoded and decoded with WebAssembly SIMD. The layout is that of ../SPEC.md;
 * ../chunks.ts is the plain twin that tests compare with, byte for byte.
 *
 * A strip here is always whole: 32 rows of `chunks` x 64 values, `stride` values apart; the caller
 * has put zeros where the matrix ends. Buffers belong to the caller. encode_strip may write up to
 * 16 bytes past the last chunk, decode_strip may read as far past its input. */
#include <wasm_simd128.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EXPORT(name) __attribute__((export_name(name), visibility("default")))
enum { BLOCK_ROWS = 16, BLOCKS = 2, LANES = 32, BITMAP_BYTES = 256, CHUNK_COLS = 64, ALIGN = 16 };

/* For each mask over eight values: the byte shuffle that moves the kept ones to the front, and the
 * one that moves them back (0xff: a zero byte). */
static u8 squeeze[256][16] __attribute__((aligned(16)));
static u8 spread[256][16] __attribute__((aligned(16)));

EXPORT("init") void init(void) {
  for (int mask = 0; mask < 256; ++mask) {
    int kept = 0;
    for (int i = 0; i < 16; ++i) squeeze[mask][i] = spread[mask][i] = 0xff;
    for (int value = 0; value < 8; ++value) {
      if (!(mask >> value & 1)) continue;
      squeeze[mask][2 * kept] = (u8)(2 * value);
      squeeze[mask][2 * kept + 1] = (u8)(2 * value + 1);
      spread[mask][2 * value] = (u8)(2 * kept);
      spread[mask][2 * value + 1] = (u8)(2 * kept + 1);
      ++kept;
    }
  }
}

/* Values whose bits are not all zero. `count` is a multiple of 8. */
EXPORT("count_nonzeros") u32 count_nonzeros(const u16* values, u32 count) {
  u32 found = 0;
  for (u32 i = 0; i < count; i += 8) {
    const v128_t zero = wasm_i16x8_eq(wasm_v128_load(values + i), wasm_i16x8_const_splat(0));
    found += 8 - (u32)__builtin_popcount(wasm_i16x8_bitmask(zero));
  }
  return found;
}

/* A block is worked on as 128 octets: octet (m, t, q) holds the eight values of plane m that lanes
 * (2q, t) and (2q + 1, t) own, in value order. Its four 32-bit parts are pairs of neighbouring
 * columns of rows 2q, 2q + 8, 2q + 1 and 2q + 9. */
enum { PLANES = 8, QUADS = 4, OCTETS = PLANES * 4 * QUADS };

static int octet(int m, int t, int q) { return (m * 4 + t) * QUADS + q; }

/* The rows of a quad in the order of an octet's parts. */
static const u16* quad_row(const u16* block, u32 stride, int q, int part) {
  return block + (u32)(2 * q + (part >> 1) + 8 * (part & 1)) * stride;
}

/* 4 x 4 matrix of 32-bit parts, transposed in place. */
static void transpose(v128_t part[4]) {
  const v128_t low01 = wasm_i32x4_shuffle(part[0], part[1], 0, 4, 1, 5);
  const v128_t high01 = wasm_i32x4_shuffle(part[0], part[1], 2, 6, 3, 7);
  const v128_t low23 = wasm_i32x4_shuffle(part[2], part[3], 0, 4, 1, 5);
  const v128_t high23 = wasm_i32x4_shuffle(part[2], part[3], 2, 6, 3, 7);
  part[0] = wasm_i64x2_shuffle(low01, low23, 0, 2);
  part[1] = wasm_i64x2_shuffle(low01, low23, 1, 3);
  part[2] = wasm_i64x2_shuffle(high01, high23, 0, 2);
  part[3] = wasm_i64x2_shuffle(high01, high23, 1, 3);
}

/* The low nibbles of eight bytes, byte m to nibble m. */
static u32 gather_nibbles(u64 bytes) {
  bytes &= 0x0f0f0f0f0f0f0f0full;
  bytes = (bytes | bytes >> 4) & 0x00ff00ff00ff00ffull;
  bytes = (bytes | bytes >> 8) & 0x0000ffff0000ffffull;
  return (u32)(bytes | bytes >> 16);
}

/* The inverse: nibble m to the low half of byte m. */
static u64 scatter_nibbles(u32 word) {
  u64 bytes = word;
  bytes = (bytes | bytes << 16) & 0x0000ffff0000ffffull;
  bytes = (bytes | bytes << 8) & 0x00ff00ff00ff00ffull;
  return (bytes | bytes << 4) & 0x0f0f0f0f0f0f0f0full;
}

static u8* encode_block(const u16* block, u32 stride, u32* bitmap, u8* out) {
  v128_t octets[OCTETS];
  u8 masks[OCTETS];
  for (int q = 0; q < QUADS; ++q) {
    for (int t = 0; t < 4; ++t) {
      u64 lane_masks = 0;
      for (int half = 0; half < 2; ++half) {
        v128_t part[4];
        for (int i = 0; i < 4; ++i) {
          part[i] = wasm_v128_load(quad_row(block, stride, q, i) + 16 * t + 8 * half);
        }
        transpose(part);
        for (int i = 0; i < 4; ++i) {
          const int m = 4 * half + i;
          const v128_t kept = wasm_i16x8_ne(part[i], wasm_i16x8_const_splat(0));
          const u32 mask = wasm_i16x8_bitmask(kept);
          octets[octet(m, t, q)] = part[i];
          masks[octet(m, t, q)] = (u8)mask;
          lane_masks |= (u64)mask << 8 * m;
        }
      }
      bitmap[4 * (2 * q) + t] = gather_nibbles(lane_masks);
      bitmap[4 * (2 * q + 1) + t] = gather_nibbles(lane_masks >> 4);
    }
  }
  for (int i = 0; i < OCTETS; ++i) {
    wasm_v128_store(out, wasm_i8x16_swizzle(octets[i], wasm_v128_load(squeeze[masks[i]])));
    out += 2 * __builtin_popcount(masks[i]);
  }
  return out;
}

/* Writes the chunks of a strip one after another and the bytes of each into `sizes`.
 * Returns the bytes written. */
EXPORT("encode_strip")
u32 encode_strip(const u16* strip, u32 chunks, u32 stride, u8* out, u32* sizes) {
  u8* const start = out;
  for (u32 chunk = 0; chunk < chunks; ++chunk) {
    u8* const begin = out;
    u32* const bitmaps = (u32*)begin;
    out += BITMAP_BYTES;
    for (int b = 0; b < BLOCKS; ++b) {
      const u16* block = strip + b * BLOCK_ROWS * stride + chunk * CHUNK_COLS;
      out = encode_block(block, stride, bitmaps + b * LANES, out);
    }
    wasm_v128_store(out, wasm_i8x16_const_splat(0));
    out = begin + ((u32)(out - begin) + ALIGN - 1) / ALIGN * ALIGN;
    sizes[chunk] = (u32)(out - begin);
  }
  return (u32)(out - start);
}

static const u8* decode_block(const u32* bitmap, const u8* in, u16* block, u32 stride) {
  v128_t octets[OCTETS];
  u8 masks[OCTETS];
  for (int q = 0; q < QUADS; ++q) {
    for (int t = 0; t < 4; ++t) {
      const u64 lane_masks = scatter_nibbles(bitmap[4 * (2 * q) + t]) |
                             scatter_nibbles(bitmap[4 * (2 * q + 1) + t]) << 4;
      for (int m = 0; m < PLANES; ++m) masks[octet(m, t, q)] = (u8)(lane_masks >> 8 * m);
    }
  }
  for (int i = 0; i < OCTETS; ++i) {
    octets[i] = wasm_i8x16_swizzle(wasm_v128_load(in), wasm_v128_load(spread[masks[i]]));
    in += 2 * __builtin_popcount(masks[i]);
  }
  for (int q = 0; q < QUADS; ++q) {
    for (int t = 0; t < 4; ++t) {
      for (int half = 0; half < 2; ++half) {
        v128_t part[4];
        for (int i = 0; i < 4; ++i) part[i] = octets[octet(4 * half + i, t, q)];
        transpose(part);
        for (int i = 0; i < 4; ++i) {
          wasm_v128_store((u16*)quad_row(block, stride, q, i) + 16 * t + 8 * half, part[i]);
        }
      }
    }
  }
  return in;
}

/* Reads the chunks of a strip, which the caller has validated, and writes all its values. */
EXPORT("decode_strip")
void decode_strip(const u8* in, u32 chunks, u32 stride, u16* strip) {
  for (u32 chunk = 0; chunk < chunks; ++chunk) {
    const u8* const begin = in;
    const u32* const bitmaps = (const u32*)begin;
    in += BITMAP_BYTES;
    for (int b = 0; b < BLOCKS; ++b) {
      u16* block = strip + b * BLOCK_ROWS * stride + chunk * CHUNK_COLS;
      in = decode_block(bitmaps + b * LANES, in, block, stride);
    }
    in = begin + ((u32)(in - begin) + ALIGN - 1) / ALIGN * ALIGN;
  }
}
