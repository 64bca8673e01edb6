/* fp16 and bf16 to binary32 with WebAssembly SIMD; exact, NaNs with their payload. ../half.ts
 * has the plain twin that gives the same bits. Counts are multiples of 8. */
#include <wasm_simd128.h>

typedef unsigned short u16;
typedef unsigned int u32;

#define EXPORT(name) __attribute__((export_name(name), visibility("default")))

/* Four fp16 values, each in the lower half of its lane. */
static inline v128_t widen_four(v128_t halves) {
  const v128_t sign = wasm_i32x4_shl(wasm_v128_and(halves, wasm_i32x4_const_splat(0x8000)), 16);
  const v128_t size = wasm_i32x4_shl(wasm_v128_and(halves, wasm_i32x4_const_splat(0x7fff)), 13);
  /* times 2^112 moves the exponent, also of what is subnormal in fp16 */
  const v128_t moved = wasm_f32x4_mul(size, wasm_i32x4_const_splat(0x77800000));
  const v128_t special = wasm_i32x4_gt(size, wasm_i32x4_const_splat(0x0f7fffff));
  const v128_t bits = wasm_v128_or(size, wasm_i32x4_const_splat(0x7f800000));
  return wasm_v128_or(wasm_v128_bitselect(bits, moved, special), sign);
}

EXPORT("widen_fp16")
void widen_fp16(float* target, const u16* source, u32 count) {
  for (u32 i = 0; i < count; i += 8) {
    const v128_t halves = wasm_v128_load(source + i);
    wasm_v128_store(target + i, widen_four(wasm_u32x4_extend_low_u16x8(halves)));
    wasm_v128_store(target + i + 4, widen_four(wasm_u32x4_extend_high_u16x8(halves)));
  }
}

EXPORT("widen_bf16")
void widen_bf16(u32* target, const u16* source, u32 count) {
  for (u32 i = 0; i < count; i += 8) {
    const v128_t halves = wasm_v128_load(source + i), zero = wasm_i32x4_const_splat(0);
    wasm_v128_store(target + i, wasm_i16x8_shuffle(zero, halves, 0, 8, 0, 9, 0, 10, 0, 11));
    wasm_v128_store(target + i + 4, wasm_i16x8_shuffle(zero, halves, 0, 12, 0, 13, 0, 14, 0, 15));
  }
}
