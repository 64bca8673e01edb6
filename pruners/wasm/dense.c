/* What Cholesky factors, weight updates and masks are made of, in float64 with WebAssembly SIMD. Each sum
 * of a product has two parts, of even and of odd places, added at the end: ../denseKernels.ts has
 * the plain twins that sum in the same order and so give the same bits. */
#include <wasm_simd128.h>

typedef unsigned char u8;
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

/* row[k] -= x * upper[k] from `k` to `cols`. */
static inline void subtract_row(double* row, const double* upper, double x, u32 k, u32 cols) {
  const v128_t factor = wasm_f64x2_splat(x);
  for (; k + 8 <= cols; k += 8) {
    for (u32 i = k; i < k + 8; i += 2) {
      const v128_t part = wasm_f64x2_mul(factor, wasm_v128_load(upper + i));
      wasm_v128_store(row + i, wasm_f64x2_sub(wasm_v128_load(row + i), part));
    }
  }
  for (; k < cols; ++k) row[k] -= x * upper[k];
}

static inline void eliminate_one(double* row, const double* upper, u32 j, u32 cols) {
  const double* line = upper + j * cols;
  const double x = row[j] / line[j];
  row[j] = x;
  subtract_row(row, line, x, j + 1, cols);
}

/* Four rows at once: a line of `upper` is loaded once for them, and their divisions overlap. */
static void eliminate_four(double* rows, const double* upper, u32 cols) {
  double *const a = rows, *const b = a + cols, *const c = b + cols, *const d = c + cols;
  for (u32 j = 0; j < cols; ++j) {
    const double* line = upper + j * cols;
    a[j] /= line[j], b[j] /= line[j], c[j] /= line[j], d[j] /= line[j];
    const v128_t p = wasm_f64x2_splat(a[j]), q = wasm_f64x2_splat(b[j]);
    const v128_t r = wasm_f64x2_splat(c[j]), s = wasm_f64x2_splat(d[j]);
    u32 k = j + 1;
    for (; k + 2 <= cols; k += 2) {
      const v128_t part = wasm_v128_load(line + k);
      wasm_v128_store(a + k, wasm_f64x2_sub(wasm_v128_load(a + k), wasm_f64x2_mul(p, part)));
      wasm_v128_store(b + k, wasm_f64x2_sub(wasm_v128_load(b + k), wasm_f64x2_mul(q, part)));
      wasm_v128_store(c + k, wasm_f64x2_sub(wasm_v128_load(c + k), wasm_f64x2_mul(r, part)));
      wasm_v128_store(d + k, wasm_f64x2_sub(wasm_v128_load(d + k), wasm_f64x2_mul(s, part)));
    }
    for (; k < cols; ++k) {
      a[k] -= a[j] * line[k], b[k] -= b[j] * line[k];
      c[k] -= c[j] * line[k], d[k] -= d[j] * line[k];
    }
  }
}

/* In each row, where it is marked (without marks everywhere), column after column: x[j] becomes
 * x[j] / U[j][j], and x[k] -= x[j] * U[j][k] for k > j. `upper` is cols × cols. */
EXPORT("eliminate")
void eliminate(double* values, const double* upper, const u8* marks, u32 rows, u32 cols) {
  u32 i = 0;
  if (marks == 0)
    for (; rows - i >= 4; i += 4) eliminate_four(values + i * cols, upper, cols);
  for (; i < rows; ++i)
    for (u32 j = 0; j < cols; ++j)
      if (marks == 0 || marks[i * cols + j] != 0) eliminate_one(values + i * cols, upper, j, cols);
}

enum { MAX_GROUP = 32 };

/* Marks all but the `n` of greatest x * x / scale among `size` neighbours; what was marked counts as
 * infinite, and among equals the lowest index goes first. */
static void choose_group(const double* x, u8* marks, const double* scales, u32 size, u32 n) {
  double scores[MAX_GROUP];
  for (u32 i = 0; i < size; ++i)
    scores[i] = marks[i] != 0 ? __builtin_inf() : x[i] * x[i] / scales[i];
  for (u32 i = 0; i < size; ++i) {
    u32 rank = 0;
    for (u32 j = 0; j < i; ++j) rank += scores[j] <= scores[i];
    for (u32 j = i + 1; j < size; ++j) rank += scores[j] < scores[i];
    marks[i] = rank + n < size;
  }
}

/* Eliminates all but `n` of each `m` <= 32 neighbours in a row, chosen when they are come to. */
EXPORT("eliminate_groups")
void eliminate_groups(double* values, const double* upper, u8* marks, const double* scales, u32 rows,
                      u32 cols, u32 n, u32 m) {
  for (u32 i = 0; i < rows; ++i, values += cols, marks += cols) {
    for (u32 from = 0; from < cols; from += m) {
      const u32 size = cols - from < m ? cols - from : m;
      choose_group(values + from, marks + from, scales + from, size, n);
      for (u32 j = from; j < from + size; ++j)
        if (marks[j] != 0) eliminate_one(values, upper, j, cols);
    }
  }
}

typedef unsigned long long u64;

/* Scores are 0 or more, and infinity: their bits order them. First they are counted by the upper
 * half of their bits: the eight binary orders below the greatest, 128 steps in each. */
enum { BINS = 1024, SHIFT = 13, SMALL = 24, DIGITS = 256 };
static const u32 SPAN = BINS << SHIFT;

static inline u32 bin_of(u64 score, u32 least) {
  const u32 upper = (u32)(score >> 32);
  return upper <= least ? 0 : (upper - least) >> SHIFT;
}

/* The bin of the score of rank `*rank`, which becomes its rank within the bin. */
static u32 find_bin(const u32* counts, u32* rank) {
  u32 bin = 0;
  while (counts[bin] <= *rank) *rank -= counts[bin++];
  return bin;
}

static void sort_small(u64* scores, u32 count) {
  for (u32 i = 1; i < count; ++i) {
    const u64 score = scores[i];
    u32 at = i;
    for (; at > 0 && scores[at - 1] > score; --at) scores[at] = scores[at - 1];
    scores[at] = score;
  }
}

/* The score of rank `rank`, digit by digit; the scores that cannot be it are dropped. */
static u64 select_score(u64* scores, u32 count, u32 rank) {
  u32 counts[DIGITS];
  for (u32 shift = 64; count > SMALL && shift != 0;) {
    shift -= 8;
    for (u32 i = 0; i < DIGITS; ++i) counts[i] = 0;
    for (u32 i = 0; i < count; ++i) ++counts[scores[i] >> shift & (DIGITS - 1)];
    const u32 digit = find_bin(counts, &rank);
    u32 kept = 0;
    for (u32 i = 0; i < count; ++i) {
      const u64 score = scores[i];
      scores[kept] = score;
      kept += (score >> shift & (DIGITS - 1)) == digit;
    }
    count = kept;
  }
  if (count <= SMALL) sort_small(scores, count);
  return scores[count <= SMALL ? rank : 0]; /* more are all equal */
}

static void mark_row(u8* marks, const u64* scores, u64* scratch, u32 cols, u32 drop) {
  static u32 counts[BINS];
  u32 greatest = 0, found = 0, rank = drop - 1;
  for (u32 i = 0; i < cols; ++i) {
    const u32 upper = (u32)(scores[i] >> 32);
    if (upper > greatest) greatest = upper;
  }
  const u32 least = greatest < SPAN ? 0 : greatest - SPAN + 1;
  for (u32 i = 0; i < BINS; ++i) counts[i] = 0;
  for (u32 i = 0; i < cols; ++i) ++counts[bin_of(scores[i], least)];
  const u32 bin = find_bin(counts, &rank);
  for (u32 i = 0; i < cols; ++i) {
    scratch[found] = scores[i];
    found += bin_of(scores[i], least) == bin;
  }
  const u64 threshold = select_score(scratch, found, rank);
  u32 below = 0;
  for (u32 i = 0; i < cols; ++i) {
    marks[i] = scores[i] < threshold;
    below += marks[i];
  }
  for (u32 i = 0, ties = drop - below; ties != 0; ++i) {
    if (scores[i] != threshold) continue;
    marks[i] = 1;
    --ties;
  }
}

/* Marks the `drop` least scores of each row with 1 and the others with 0; among equals the lowest
 * index goes first. `scratch` is as large as a row. */
EXPORT("mark_lowest")
void mark_lowest(u8* marks, const u64* scores, u64* scratch, u32 rows, u32 cols, u32 drop) {
  for (u32 row = 0; row < rows; ++row, marks += cols, scores += cols) {
    if (drop != 0)
      mark_row(marks, scores, scratch, cols, drop);
    else
      for (u32 i = 0; i < cols; ++i) marks[i] = 0;
  }
}
