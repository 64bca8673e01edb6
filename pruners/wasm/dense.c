/* The product that Cholesky factors and weight updates are made of, in float64 with WebAssembly
 * SIMD. Each sum has two parts, of even and of odd places, added at the end: ../denseProduct.ts is
 * the plain twin that sums in the same order and so gives the same bits. */
#include <wasm_simd128.h>

typedef unsigned int u32;

#define EXPORT(name) __attribute__((export_name(name), visibility("default")))

static inline double sum_lanes(v128_t sums) {
  return wasm_f64x2_extract_lane(sums, 0) + wasm_f64x2_extract_lane(sums, 1);
}

static inline double tail(double sum, const double* a, const double* b, u32 depth) {
  return depth % 2 == 0 ? sum : sum + a[depth - 1] * b[depth - 1];
}

static void one(double* c, const double* a, const double* b, u32 depth) {
  v128_t sums = wasm_f64x2_const_splat(0);
  for (u32 k = 0; k + 1 < depth; k += 2) {
    sums = wasm_f64x2_add(sums, wasm_f64x2_mul(wasm_v128_load(a + k), wasm_v128_load(b + k)));
  }
  *c -= tail(sum_lanes(sums), a, b, depth);
}

/* Four rows by two columns at once: fourteen vectors, which stay in registers. */
static void four_by_two(double* c, u32 width, const double* a, const double* b, u32 depth) {
  v128_t sums[4][2];
  for (u32 i = 0; i < 4; ++i) sums[i][0] = sums[i][1] = wasm_f64x2_const_splat(0);
  for (u32 k = 0; k + 1 < depth; k += 2) {
    const v128_t left = wasm_v128_load(b + k), right = wasm_v128_load(b + depth + k);
    for (u32 i = 0; i < 4; ++i) {
      const v128_t row = wasm_v128_load(a + i * depth + k);
      sums[i][0] = wasm_f64x2_add(sums[i][0], wasm_f64x2_mul(row, left));
      sums[i][1] = wasm_f64x2_add(sums[i][1], wasm_f64x2_mul(row, right));
    }
  }
  for (u32 i = 0; i < 4; ++i) {
    c[i * width] -= tail(sum_lanes(sums[i][0]), a + i * depth, b, depth);
    c[i * width + 1] -= tail(sum_lanes(sums[i][1]), a + i * depth, b + depth, depth);
  }
}

/* c -= a · bᵀ: c is rows × cols, a rows × depth, b cols × depth, each without gaps. */
EXPORT("subtract_product")
void subtract_product(double* c, const double* a, const double* b, u32 rows, u32 cols, u32 depth) {
  u32 i = 0;
  for (; rows - i >= 4; i += 4) {
    u32 j = 0;
    for (; cols - j >= 2; j += 2)
      four_by_two(c + i * cols + j, cols, a + i * depth, b + j * depth, depth);
    for (; j < cols; ++j)
      for (u32 r = i; r < i + 4; ++r) one(c + r * cols + j, a + r * depth, b + j * depth, depth);
  }
  for (; i < rows; ++i)
    for (u32 j = 0; j < cols; ++j) one(c + i * cols + j, a + i * depth, b + j * depth, depth);
}
