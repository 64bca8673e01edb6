// Products of attention by fused multiply and add: keys and values are read as they are, a number
// for all queries of a vector.
#include "attention.h"

#include <cstring>

#ifdef SPINFER_CPU_TILES
#include "attentionTiles.h"
#endif

namespace spinfer::cpu::SPINFER_CPU_SET {
namespace {

// Where a left operand has the numbers of a row: side by side, or one below the other.
enum class Rows { kAcross, kDown };

template <int size>
struct Size {
  static constexpr int value = size;
};

struct Fused {
  static constexpr int kVectors = 3;
  // Rows (keys, columns of a head) of a tile of a product: its sums fill most of the registers.
  static constexpr int kRows = kWidth == 16 ? 8 : 4;
  static constexpr int kQueries = kVectors * kWidth;
  // Few enough that a run and a group stay in the nearest cache.
  static constexpr int64_t kRun = 64;
  // Copies of keys and values, whose rows may lie pages apart where they come from, are shared.
  static constexpr int64_t kGroups = 4;
  using Queries = Group<kVectors>;
  struct State {};

  static int64_t groupsOfTask(int64_t) { return kGroups; }

  // Queries and out are [head size][kQueries], keys and values [kRun][head size].
  static Sizes sizesFor(int64_t size) {
    return {size * kQueries, size * kQueries, size * kRun, size * kRun, kRun * kQueries, 0};
  }

  static void packQueries(const Problem& problem, const Strip& strip, const Queries& group) {
    const int64_t size = problem.spec.head_size;
    const float factor = problem.factor();
    for (int64_t lane = 0; lane < kQueries; lane++) {
      const float* const from = problem.query + placeOf(problem, strip, rowOf(group, lane));
      for (int64_t i = 0; i < size; i++) group.query[i * kQueries + lane] = from[i] * factor;
    }
  }

  static void packRun(const Problem& problem, const Strip& strip, const Run& run) {
    const int64_t size = problem.spec.head_size;
    const int64_t from = placeOfRun(problem, strip, run);
    const int64_t stride = problem.spec.key_heads * size;
    for (int64_t i = 0; i < run.count; i++) {
      std::memcpy(run.keys + i * size, problem.key + from + i * stride, size * sizeof(float));
      std::memcpy(run.values + i * size, problem.value + from + i * stride, size * sizeof(float));
    }
  }

  // Calls finish(row, sums) with sums of left[row][step] * right[step] for `count` rows.
  template <int count, Rows rows, typename Finish>
  static void multiplyTile(const float* left, int64_t stride, int64_t first, const float* right,
                           int64_t steps, Finish& finish) {
    const int64_t rowStride = rows == Rows::kAcross ? stride : 1;
    const int64_t stepStride = rows == Rows::kAcross ? 1 : stride;
    const float* at = left + first * rowStride;
    Lanes<kVectors> sums[count] = {};
    for (int64_t step = 0; step < steps; step++) {
      const Lanes<kVectors> other = loadLanes<kVectors>(right);
      for (int row = 0; row < count; row++) {
        const float factor = at[row * rowStride];
        for (int i = 0; i < kVectors; i++) sums[row].of[i] += other.of[i] * factor;
      }
      at += stepStride;
      right += kQueries;
    }
    for (int row = 0; row < count; row++) finish(first + row, sums[row]);
  }

  template <Rows rows, typename Finish>
  static void multiply(const float* left, int64_t stride, int64_t count, const float* right,
                       int64_t steps, Finish finish) {
    int64_t row = 0;
    const auto tile = [&](auto size) {
      multiplyTile<decltype(size)::value, rows>(left, stride, row, right, steps, finish);
      row += decltype(size)::value;
    };
    while (row + kRows <= count) tile(Size<kRows>{});
    if (kRows > 4 && row + 4 <= count) tile(Size<4>{});
    if (row + 2 <= count) tile(Size<2>{});
    if (row < count) tile(Size<1>{});
  }

  // Replaces scores by their exponentials and gives what earlier sums are to be multiplied by.
  static Lanes<kVectors> takeScores(const Run& run, Queries& group) {
    const Lanes<kVectors> largest = largestOf(run, group);
    Lanes<kVectors> sum = {};
    for (int64_t key = 0; key < run.count; key++) {
      Lanes<kVectors> share = loadLanes<kVectors>(run.scores + key * kQueries);
      for (int i = 0; i < kVectors; i++) {
        share.of[i] = exp2OfNegative(share.of[i] - largest.of[i]);
        sum.of[i] += share.of[i];
      }
      storeLanes(run.scores + key * kQueries, share);
    }
    return takeSums(largest, sum, group);
  }

  static void attendToPart(const Problem& problem, const Run& run, Queries& group) {
    const auto& spec = problem.spec;
    multiply<Rows::kAcross>(run.keys, spec.head_size, run.count, group.query, spec.head_size,
                            [&](int64_t key, const Lanes<kVectors>& sums) {
                              storeLanes(run.scores + key * kQueries, sums);
                            });
    if (spec.softcap != 0) capScores(spec.softcap, run.count * kVectors, run.scores);
    hideScores(group.positions, problem.window(), run);
    const Lanes<kVectors> rescale = takeScores(run, group);
    multiply<Rows::kDown>(run.values, spec.head_size, spec.head_size, run.scores, run.count,
                          [&](int64_t column, Lanes<kVectors> sums) {
                            float* const at = group.out + column * kQueries;
                            for (int i = 0; i < kVectors; i++)
                              sums.of[i] += load(at + i * kWidth) * rescale.of[i];
                            storeLanes(at, sums);
                          });
  }

  static void attendToRun(const Problem& problem, const Run& run, Queries* groups, int64_t count) {
    for (int64_t i = 0; i < count; i++) attendToPart(problem, partOf(run, groups[i]), groups[i]);
  }

  static void write(const Problem& problem, const Strip& strip, const Queries& group) {
    for (int64_t i = 0; i < problem.spec.head_size; i++) {
      Lanes<kVectors> row = loadLanes<kVectors>(group.out + i * kQueries);
      for (int part = 0; part < kVectors; part++) row.of[part] /= group.sum.of[part];
      storeLanes(group.out + i * kQueries, row);
    }
    for (int64_t lane = 0; lane < group.count; lane++) {
      float* const to = problem.out + placeOf(problem, strip, group.first + lane);
      for (int64_t i = 0; i < problem.spec.head_size; i++) to[i] = group.out[i * kQueries + lane];
    }
  }
};

void attention(Pool& pool, const float* query, const float* key, const float* value,
               const spinfer_cpu_attention_spec& spec, float* out) {
  const Problem problem = {query, key, value, spec, out};
#ifdef SPINFER_CPU_TILES
  if (isForTiles(problem)) return attendAll<Tiled>(pool, problem);
#endif
  attendAll<Fused>(pool, problem);
}

}  // namespace

const AttentionKernels kAttention = {attention};

}  // namespace spinfer::cpu::SPINFER_CPU_SET
