/* Magnitude selection on 16-bit floats with WebAssembly SIMD. For fp16 and bf16 alike the bits
 * without the sign order finite values by magnitude, infinity above them and NaN above that, so all
 * of this is integer work. ../select.ts is the plain twin that tests compare with. */
#include <wasm_simd128.h>

typedef unsigned short u16;
typedef unsigned int u32;

#define EXPORT(name) __attribute__((export_name(name), visibility("default")))
enum { KEY = 0x7fff, LANES = 8, BATCH = LANES * 32767, MAX_GROUP = 32 };

static u32 sum_lanes(v128_t counts) {
  const v128_t pairs = wasm_i32x4_extadd_pairwise_i16x8(counts);
  return (u32)(wasm_i32x4_extract_lane(pairs, 0) + wasm_i32x4_extract_lane(pairs, 1) +
               wasm_i32x4_extract_lane(pairs, 2) + wasm_i32x4_extract_lane(pairs, 3));
}

/* Keys below `bound` (1..0x7fff). */
static u32 count_below(const u16* values, u32 count, u32 bound) {
  const v128_t key = wasm_i16x8_const_splat(KEY), limit = wasm_i16x8_splat((short)bound);
  u32 found = 0, i = 0;
  while (count - i >= LANES) {
    const u32 rest = (count - i) / LANES * LANES, end = i + (rest < BATCH ? rest : BATCH);
    v128_t counts = wasm_i16x8_const_splat(0);
    for (; i < end; i += LANES) {
      const v128_t keys = wasm_v128_and(wasm_v128_load(values + i), key);
      counts = wasm_i16x8_sub(counts, wasm_i16x8_lt(keys, limit));
    }
    found += sum_lanes(counts);
  }
  for (; i < count; ++i) found += (values[i] & KEY) < bound;
  return found;
}

/* Zeroes all values with a key below `threshold` and the first `ties` with that very key.
 * Returns the ties left over. */
EXPORT("drop_below")
u32 drop_below(u16* values, u32 count, u32 threshold, u32 ties) {
  const v128_t key = wasm_i16x8_const_splat(KEY), limit = wasm_i16x8_splat((short)threshold);
  u32 i = 0;
  for (; count - i >= LANES; i += LANES) {
    const v128_t v = wasm_v128_load(values + i), keys = wasm_v128_and(v, key);
    v128_t drop = wasm_i16x8_lt(keys, limit);
    if (ties != 0) {
      const v128_t equal = wasm_i16x8_eq(keys, limit);
      const u32 mask = wasm_i16x8_bitmask(equal), found = (u32)__builtin_popcount(mask);
      if (found > ties) break; /* the last ties go one by one below */
      drop = wasm_v128_or(drop, equal);
      ties -= found;
    }
    wasm_v128_store(values + i, wasm_v128_andnot(v, drop));
  }
  for (; i < count; ++i) {
    const u32 k = values[i] & KEY;
    if (k < threshold) {
      values[i] = 0;
    } else if (k == threshold && ties != 0) {
      values[i] = 0;
      --ties;
    }
    if (ties == 0 && (i + 1) % LANES == 0 && count - i > LANES) {
      drop_below(values + i + 1, count - i - 1, threshold, 0);
      return 0;
    }
  }
  return ties;
}

/* In each row, zeroes the `drop` values of least key; among equals the lowest index goes first. */
EXPORT("drop_lowest_per_row")
void drop_lowest_per_row(u16* values, u32 rows, u32 cols, u32 drop) {
  if (drop == 0) return;
  for (u32 row = 0; row < rows; ++row, values += cols) {
    /* the largest threshold with no more than `drop` keys below it */
    u32 low = 0, below = 0;
    for (u32 step = 0x4000; step != 0; step >>= 1) {
      const u32 found = count_below(values, cols, low + step);
      if (found <= drop) {
        low += step;
        below = found;
      }
    }
    drop_below(values, cols, low, drop - below);
  }
}

/* Adds the number of values of each key to `bins` (32,768 of them). */
EXPORT("histogram")
void histogram(const u16* values, u32 count, u32* bins) {
  for (u32 i = 0; i < count; ++i) ++bins[values[i] & KEY];
}

/* Values whose key is `infinity` or above. */
EXPORT("count_nonfinite")
u32 count_nonfinite(const u16* values, u32 count, u32 infinity) {
  return count - count_below(values, count, infinity);
}

/* Keeps the `n` of greatest key among `size` neighbours; among equals the lowest index goes first. */
static void keep_greatest(u16* values, u32 size, u32 n) {
  u32 keys[MAX_GROUP];
  for (u32 i = 0; i < size; ++i) keys[i] = values[i] & KEY;
  for (u32 i = 0; i < size; ++i) {
    u32 rank = 0;
    for (u32 j = 0; j < i; ++j) rank += keys[j] <= keys[i];
    for (u32 j = i + 1; j < size; ++j) rank += keys[j] < keys[i];
    if (rank + n < size) values[i] = 0;
  }
}

/* One weight of each of eight groups of `m`, `i` being its index in the group. */
static inline v128_t load_column(const u16* values, u32 m, u32 i) {
  v128_t column = wasm_i16x8_const_splat(0);
  column = wasm_v128_load16_lane(values + i, column, 0);
  column = wasm_v128_load16_lane(values + i + m, column, 1);
  column = wasm_v128_load16_lane(values + i + 2 * m, column, 2);
  column = wasm_v128_load16_lane(values + i + 3 * m, column, 3);
  column = wasm_v128_load16_lane(values + i + 4 * m, column, 4);
  column = wasm_v128_load16_lane(values + i + 5 * m, column, 5);
  column = wasm_v128_load16_lane(values + i + 6 * m, column, 6);
  return wasm_v128_load16_lane(values + i + 7 * m, column, 7);
}

static inline void store_column(u16* values, u32 m, u32 i, v128_t column) {
  wasm_v128_store16_lane(values + i, column, 0);
  wasm_v128_store16_lane(values + i + m, column, 1);
  wasm_v128_store16_lane(values + i + 2 * m, column, 2);
  wasm_v128_store16_lane(values + i + 3 * m, column, 3);
  wasm_v128_store16_lane(values + i + 4 * m, column, 4);
  wasm_v128_store16_lane(values + i + 5 * m, column, 5);
  wasm_v128_store16_lane(values + i + 6 * m, column, 6);
  wasm_v128_store16_lane(values + i + 7 * m, column, 7);
}

/* The same on eight groups of `m` at once, a group in each lane. Inlined with a constant `m` the
 * loops unroll and the vectors stay in registers. */
static inline __attribute__((always_inline)) void keep_eight(u16* values, u32 n, u32 m) {
  v128_t weights[MAX_GROUP], keys[MAX_GROUP], ranks[MAX_GROUP];
  for (u32 i = 0; i < m; ++i) {
    weights[i] = load_column(values, m, i);
    keys[i] = wasm_v128_and(weights[i], wasm_i16x8_const_splat(KEY));
    ranks[i] = wasm_i16x8_splat((short)i); /* all before it count until one is seen to be greater */
  }
  for (u32 i = 0; i < m; ++i) {
    for (u32 j = i + 1; j < m; ++j) {
      const v128_t greater = wasm_i16x8_gt(keys[i], keys[j]); /* -1 or 0 */
      ranks[i] = wasm_i16x8_sub(ranks[i], greater);
      ranks[j] = wasm_i16x8_add(ranks[j], greater);
    }
  }
  const v128_t limit = wasm_i16x8_splat((short)(m - n));
  for (u32 i = 0; i < m; ++i) {
    store_column(values, m, i, wasm_v128_andnot(weights[i], wasm_i16x8_lt(ranks[i], limit)));
  }
}

static void keep_in_row(u16* values, u32 cols, u32 n, u32 m) {
  u32 at = 0;
  for (; cols - at >= LANES * m; at += LANES * m) {
    if (m == 4) {
      keep_eight(values + at, n, 4);
    } else if (m == 8) {
      keep_eight(values + at, n, 8);
    } else {
      keep_eight(values + at, n, m);
    }
  }
  for (; at < cols; at += m) keep_greatest(values + at, cols - at < m ? cols - at : m, n);
}

/* In each group of `m` neighbours of a row (the last may be shorter) keeps the `n` of greatest key;
 * among equals the lowest index is dropped first. n < m <= 32. */
EXPORT("keep_n_of_m")
void keep_n_of_m(u16* values, u32 rows, u32 cols, u32 n, u32 m) {
  if (cols % m == 0) { /* no group is cut short, so rows need not be told apart */
    keep_in_row(values, rows * cols, n, m);
    return;
  }
  for (u32 row = 0; row < rows; ++row, values += cols) keep_in_row(values, cols, n, m);
}
