// Products of attention on the tile unit. Scores are keys times queries, what is added up is values
// times shares (the exponentials), so that keys and values are first operands and queries and
// shares second ones; all in three bfloat16 parts each, as tiles.h says.
#pragma once

#include "attention.h"
#include "tiles.h"

namespace spinfer::cpu::SPINFER_CPU_SET {

struct Tiled {
  static constexpr int kVectors = kPanelColumns / kWidth;
  static constexpr int kQueries = kPanelColumns;
  static constexpr int kParts = kInputParts;
  static constexpr int64_t kStepBytes = kParts * kPairBytes;
  // A run's scores, shares, keys and values about fill the first cache.
  static constexpr int64_t kRun = 64;
  static constexpr int64_t kSteps = kRun / kDepth;
  // Runs are packed for so many groups that it takes little of the time.
  static constexpr int64_t kGroups = 32;
  static constexpr int64_t kProducts = 6;  // of parts
  using Queries = Group<kVectors>;
  using State = TileUnit;

  static int64_t panels(int64_t size) { return divideUp(size, kPanelRows); }

  // Groups stay in the second cache.
  static int64_t groupsOfTask(int64_t size) {
    const Sizes sizes = sizesFor(size);
    const int64_t most = kTaskBytes / ((sizes.query + sizes.out) * sizeof(float));
    return least(kGroups, most < 1 ? 1 : most);
  }

  // Queries are a panel, keys a panel for each kDepth; values, for each panel of a head's columns,
  // a step for each kDepth keys. other: a block of a product, and shares. Of shares
  // and scores there are two buffers.
  static Sizes sizesFor(int64_t size) {
    constexpr int64_t kBlock = kPanelRows * kQueries;
    const int64_t query = panels(size) * kStepBytes / sizeof(float);
    const int64_t shares = kSteps * kStepBytes / sizeof(float);
    return {query,          panels(size) * kBlock, kSteps * query,
            kSteps * query, 2 * kRun * kQueries,   kBlock + 2 * shares};
  }

  // placeOf(problem, strip, row) of each query, without divisions.
  struct Places {
    int64_t of[kQueries];

    Places(const Problem& problem, const Strip& strip, const Queries& group) {
      const auto& spec = problem.spec;
      const int64_t next = spec.head_size, nextToken = (spec.heads - problem.sharing() + 1) * next;
      int64_t place = placeOf(problem, strip, group.first);
      int64_t head = group.first % problem.sharing();
      for (int64_t lane = 0; lane < kQueries; lane++) {
        of[lane] = place;
        if (lane + 1 >= group.count) continue;
        const bool isLast = ++head == problem.sharing();
        place += isLast ? nextToken : next;
        if (isLast) head = 0;
      }
    }
  };

  static void packQueries(const Problem& problem, const Strip& strip, const Queries& group) {
    const int64_t size = problem.spec.head_size;
    const Vec factor = splat(problem.factor());
    const Places places(problem, strip, group);
    float* const rows = group.out;  // free until sums begin
    for (int64_t lane = 0; lane < kQueries; lane++) {
      const float* const from = problem.query + places.of[lane];
      for (int64_t i = 0; i < size; i += kWidth) {
        const __mmask16 lanes = firstLanes(size - i);
        const Vec value = (Vec)_mm512_maskz_loadu_ps(lanes, from + i) * factor;
        _mm512_mask_storeu_ps(rows + lane * size + i, lanes, (__m512)value);
      }
    }
    packOutIn(rows, kQueries, size, kParts, reinterpret_cast<char*>(group.query));
  }

  // A tile for each part: values of 16 columns, of kDepth keys.
  static void packValues(Place<const float> from, int64_t keys, int64_t columns, char* to) {
    const __mmask16 lanes = firstLanes(columns);
    Values rows[kTile] = {};
    for (int64_t row = 0; row < kTile && 2 * row < keys; row++) {
      const float* const at = from.at + 2 * row * from.stride;
      rows[row].low = _mm512_maskz_loadu_ps(lanes, at);
      if (2 * row + 1 < keys) rows[row].high = _mm512_maskz_loadu_ps(lanes, at + from.stride);
    }
    for (int part = 0; part < kParts; part++) {
      __m512i taken[kTile];
      for (int row = 0; row < kTile; row++) taken[row] = interleave(takePart(rows[row]));
      storeTurned(taken, to + part * kPairBytes);
    }
  }

  // Rows of the next run may lie pages apart, where the processor does not look ahead.
  static void fetchRun(const Problem& problem, const Strip& strip, const Run& run) {
    const int64_t size = problem.spec.head_size;
    const int64_t from = placeOfRun(problem, strip, run);
    const int64_t end = least(run.begin + kRun, problem.spec.length) - run.begin;
    for (int64_t key = 0; key < end; key++) {
      const int64_t at = from + key * problem.spec.key_heads * size;
      for (int64_t column = 0; column < size; column += kWidth) {
        _mm_prefetch(problem.key + at + column, _MM_HINT_T1);
        _mm_prefetch(problem.value + at + column, _MM_HINT_T1);
      }
    }
  }

  static void packRun(const Problem& problem, const Strip& strip, const Run& run) {
    const int64_t size = problem.spec.head_size;
    const int64_t stride = problem.spec.key_heads * size;
    const int64_t from = placeOfRun(problem, strip, run);
    char* const keys = reinterpret_cast<char*>(run.keys);
    char* const values = reinterpret_cast<char*>(run.values);
    for (int64_t key = 0; key < run.count; key += kDepth) {
      const int64_t at = from + key * stride, count = run.count - key, step = key / kDepth;
      packRows({problem.key + at, stride}, count, size, keys + step * inputPanelBytes(size));
      for (int64_t tile = 0; tile < 2 * panels(size); tile++) {
        const int64_t column = tile * kTile;
        packValues({problem.value + at + column, stride}, count, size - column,
                   values + (tile / 2 * kSteps + step) * kStepBytes + tile % 2 * kTileBytes);
      }
    }
    fetchRun(problem, strip, {run.begin + kRun, 0, nullptr, nullptr, nullptr, nullptr});
  }

  // Shares of two keys in parts that are cut off, not rounded: the rest of a positive float32 after
  // two has 8 bits.
  static void storeShares(Vec even, Vec odd, char* to) {
    for (int part = 0; part < kParts; part++) {
      const __m512i low = _mm512_srli_epi32((__m512i)even, 16);
      _mm512_store_si512(to + part * kPairBytes,
                         _mm512_mask_blend_epi16(0xaaaaaaaa, low, (__m512i)odd));
      even -= (Vec)((IntVec)even & static_cast<int32_t>(0xffff0000));
      odd -= (Vec)((IntVec)odd & static_cast<int32_t>(0xffff0000));
    }
  }

  // Of a group's scores: first the largest is found, then shares are made, two keys at a time.
  struct Softmax {
    static constexpr int64_t kCompared = 4;  // keys of a step
    Run run;
    Lanes<kVectors> largest, sum;
    char* shares;
    int64_t compared, key;  // from which on scores are left

    void compare() {
      for (int i = 0; i < kVectors; i++) {
        const Vec score = load(run.scores + compared * kQueries + i * kWidth);
        largest.of[i] = larger(score, largest.of[i]);
      }
      compared++;
    }

    void takePair() {
      char* const to = shares + key / kDepth * kStepBytes + key % kDepth / 2 * 64;
      for (int i = 0; i < kVectors; i++) {
        const float* const at = run.scores + key * kQueries + i * kWidth;
        const Vec even = exp2OfNegative(load(at) - largest.of[i]);
        const Vec odd = exp2OfNegative(load(at + kQueries) - largest.of[i]);
        sum.of[i] += even + odd;
        storeShares(even, odd, to + i * kTileBytes);
      }
      key += 2;
    }

    // In steps that take no longer than a few multiplications.
    int64_t stepsLeft() const { return (run.count - compared) / kCompared + (run.count - key) / 2; }

    void step() {
      if (compared == run.count) return takePair();
      for (int64_t i = 0; i < kCompared; i++) compare();
    }

    void takeRest() {
      while (key < run.count) step();
    }
  };

  // Spreads `items` calls evenly over `calls` of its own.
  template <typename Work>
  struct Spread {
    int64_t items, calls;
    Work work;
    int64_t due = 0;

    void operator()() {
      for (due += items; due >= calls; due -= calls) work();
    }
  };
  template <typename Work>
  Spread(int64_t, int64_t, Work) -> Spread<Work>;

  static int64_t multiplications(const Run& run, int64_t size) {
    return run.count / kDepth * panels(size) * kProducts;
  }

  // Scores of a group, while shares are made of those before.
  static void multiplyScores(const Problem& problem, const Run& run, const Queries& group,
                             Softmax& before) {
    const auto& spec = problem.spec;
    const char* const keys = reinterpret_cast<const char*>(run.keys);
    Spread between{before.stepsLeft(), multiplications(run, spec.head_size),
                   [&] { before.step(); }};
    for (int64_t key = 0; key < run.count; key += kPanelRows)
      multiplyPanels(keys + key / kPanelRows * inputPanelBytes(spec.head_size), group.query, 0,
                     spec.head_size, kParts, {nullptr, 0}, {run.scores + key * kQueries, kQueries},
                     between);
    if (spec.softcap != 0) capScores(spec.softcap, run.count * kVectors, run.scores);
    hideScores(group.positions, problem.window(), run);
  }

  // Values by the shares of a group, while half of those of the next are made.
  static void addValues(const Softmax& softmax, int64_t size, Queries& group, Softmax& next) {
    const Run& run = softmax.run;
    const Lanes<kVectors> rescale = takeSums(softmax.largest, softmax.sum, group);
    const char* const values = reinterpret_cast<const char*>(run.values);
    const int64_t steps = next.stepsLeft() - next.run.count / 2 / 2;
    Spread between{steps, multiplications(run, size), [&] { next.step(); }};
    for (int64_t panel = 0; panel < panels(size); panel++) {
      multiplyPanels(values + panel * kSteps * kStepBytes, softmax.shares, 0, run.count, kParts,
                     {nullptr, 0}, {run.other, kQueries}, between);
      rescaleAndAdd(rescale, run.other, group.out + panel * kPanelRows * kQueries);
    }
  }

  static void rescaleAndAdd(const Lanes<kVectors>& rescale, const float* sums, float* out) {
    for (int64_t i = 0; i < kPanelRows * kQueries; i += kQueries) {
      for (int part = 0; part < kVectors; part++) {
        const int64_t at = i + part * kWidth;
        store(out + at, load(out + at) * rescale.of[part] + load(sums + at));
      }
    }
  }

  // What is to be done with the part of a run that a group sees; keys that fill it up are hidden.
  static Softmax softmaxOf(const Run& run, const Queries& group, int64_t buffer) {
    Softmax softmax = {partOf(run, group), group.largest, {}, nullptr, 0, 0};
    softmax.run.count = divideUp(softmax.run.count, kDepth) * kDepth;
    softmax.run.scores += buffer * kRun * kQueries;
    softmax.shares = reinterpret_cast<char*>(run.other + kPanelRows * kQueries);
    softmax.shares += buffer * kSteps * kStepBytes;
    return softmax;
  }

  // While the tile unit multiplies for one group, the vector units have scores of another, as in
  // FlashAttention-3 (Shah et al., 2024).
  static void attendToRun(const Problem& problem, const Run& run, Queries* groups, int64_t count) {
    Softmax before = {};
    for (int64_t i = 0; i <= count; i++) {
      Softmax softmax = {};
      if (i < count) {
        softmax = softmaxOf(run, groups[i], i % 2);
        multiplyScores(problem, softmax.run, groups[i], before);
      }
      before.takeRest();
      if (i > 0) addValues(before, problem.spec.head_size, groups[i - 1], softmax);
      before = softmax;
    }
  }

  // The sums of 16 queries in 16 columns, a vector for each query.
  static void turnSums(const float* out, Vec sum, __m512i to[kTile]) {
    for (int column = 0; column < kTile; column++)
      to[column] = (__m512i)(load(out + column * kQueries) / sum);
    turn(to);
  }

  static void write(const Problem& problem, const Strip& strip, const Queries& group) {
    const int64_t size = problem.spec.head_size;
    const Places places(problem, strip, group);
    for (int64_t first = 0; first < group.count; first += kWidth) {
      const int64_t count = least(kWidth, group.count - first);
      for (int64_t column = 0; column < size; column += kTile) {
        __m512i rows[kTile];
        turnSums(group.out + column * kQueries + first, group.sum.of[first / kWidth], rows);
        const __mmask16 lanes = firstLanes(size - column);
        for (int64_t i = 0; i < count; i++)
          _mm512_mask_storeu_ps(problem.out + places.of[first + i] + column, lanes,
                                (__m512)rows[i]);
      }
    }
  }
};

// Most of a panel would be padding where heads are small, or there are few queries.
inline bool isForTiles(const Problem& problem) {
  return problem.spec.head_size > kPanelColumns / 2 && problem.rows() > 3 * kPanelColumns / 2;
}

}  // namespace spinfer::cpu::SPINFER_CPU_SET
