// Causal attention, softmax on the go (Milakov and Gimelshein, 2018; FlashAttention, Dao et al.,
// 2022): scores of a run of keys are used before those of the next are computed, and what was added
// up so far is rescaled when a larger score comes.
//
// A group is a few queries that see about the same keys: of all heads that share a key head, one
// position after the other. They lie along the vectors: scores are [key][query], and what is added
// up is [column of the head][query]. So largest scores and sums need nothing across lanes, and keys
// and values are read as they are, a number for all queries of a vector.
#include <cstring>
#include <new>

#include "kernels.h"
#include "vectorMath.h"

namespace spinfer::cpu::SPINFER_CPU_SET {
namespace {

// Vectors of a group's queries, and rows (keys, columns of a head) of a tile of a product: its sums
// fill most of the registers.
constexpr int kVectors = 3;
constexpr int kTile = kWidth == 16 ? 8 : 4;
constexpr int kQueries = kVectors * kWidth;
// Keys of a run: few enough that it and a group stay in the nearest cache.
constexpr int64_t kRun = 64;
// Most groups of a task. They share copies of the keys and values of a run, whose rows may lie
// pages apart where they come from.
constexpr int64_t kGroups = 4;
// Tasks that a thread has at least, where there are as many groups: they differ in length.
constexpr int64_t kTasks = 8;

constexpr float kLog2E = 1.44269502f;
// Score of a key that may not be seen. It is finite so that a run of none but such keys gives
// numbers: they are multiplied by 0 when a greater score comes.
constexpr float kHidden = -3.40282347e38f;

int64_t lesser(int64_t left, int64_t right) { return left < right ? left : right; }
int64_t quotientUp(int64_t count, int64_t by) { return (count + by - 1) / by; }

// A value for each query of a group.
struct Lanes {
  Vec of[kVectors];
};

Lanes loadLanes(const float* at) {
  Lanes lanes;
  for (int i = 0; i < kVectors; i++) lanes.of[i] = load(at + i * kWidth);
  return lanes;
}

void storeLanes(float* at, const Lanes& lanes) {
  for (int i = 0; i < kVectors; i++) store(at + i * kWidth, lanes.of[i]);
}

class Buffer {
 public:
  explicit Buffer(int64_t count)
      : at_(static_cast<float*>(::operator new(count * sizeof(float), kAlignment))) {}
  ~Buffer() { ::operator delete(at_, kAlignment); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  float* get() const { return at_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  float* const at_;
};

struct Problem {
  const float *query, *key, *value;
  spinfer_cpu_attention_spec spec;
  float* out;

  int64_t sharing() const { return spec.heads / spec.key_heads; }  // heads of a key head
  // Positions that one sees.
  int64_t window() const {
    return spec.window == 0 || spec.window > spec.length ? spec.length : spec.window;
  }
  int64_t rows() const { return spec.length * sharing(); }  // queries of a window for a key head
};

// A window and a key head.
struct Strip {
  int64_t window, keyHead;
};

struct Positions {
  IntVec of[kVectors];
  int64_t first, last;
};

// Queries first..first + count of those of a strip, and what they have come to. Buffers are
// [head size][kQueries].
struct Group {
  int64_t first, count;
  Positions positions;
  float *query, *out;
  Lanes largest, sum;
};

// Keys and values [kRun][head size]; scores [kRun][kQueries].
struct Run {
  int64_t begin, count;
  float *keys, *values, *scores;
};

int64_t placeOf(const Problem& problem, const Strip& strip, int64_t row) {
  const auto& spec = problem.spec;
  const int64_t token = strip.window * spec.length + row / problem.sharing();
  const int64_t head = strip.keyHead * problem.sharing() + row % problem.sharing();
  return (token * spec.heads + head) * spec.head_size;
}

// Lanes past the last query are like it.
int64_t rowOf(const Group& group, int64_t lane) {
  return group.first + (lane < group.count ? lane : group.count - 1);
}

Positions positionsOf(const Problem& problem, const Group& group) {
  Positions positions;
  positions.first = group.first / problem.sharing();
  positions.last = (group.first + group.count - 1) / problem.sharing();
  for (int64_t lane = 0; lane < kQueries; lane++) {
    const int64_t position = rowOf(group, lane) / problem.sharing();
    positions.of[lane / kWidth][lane % kWidth] = static_cast<int32_t>(position);
  }
  return positions;
}

// Queries in units of which exp2 is the exponential of the score, or its cap the tanh.
void packQueries(const Problem& problem, const Strip& strip, const Group& group) {
  const auto& spec = problem.spec;
  const float factor = spec.softcap == 0 ? spec.scale * kLog2E : spec.scale / spec.softcap;
  for (int64_t lane = 0; lane < kQueries; lane++) {
    const float* const from = problem.query + placeOf(problem, strip, rowOf(group, lane));
    for (int64_t i = 0; i < spec.head_size; i++)
      group.query[i * kQueries + lane] = from[i] * factor;
  }
}

void start(const Problem& problem, const Strip& strip, Group& group) {
  group.positions = positionsOf(problem, group);
  packQueries(problem, strip, group);
  for (int64_t i = 0; i < problem.spec.head_size * kQueries; i++) group.out[i] = 0;
  for (int i = 0; i < kVectors; i++) {
    group.largest.of[i] = Vec{} + kHidden;
    group.sum.of[i] = Vec{};
  }
}

// Where a left operand has the numbers of a row: side by side, or one below the other.
enum class Rows { kAcross, kDown };

// Calls finish(row, sums) with sums of left[row][step] * right[step] for `count` rows.
template <int count, Rows rows, typename Finish>
void multiplyTile(const float* left, int64_t stride, int64_t first, const float* right,
                  int64_t steps, Finish& finish) {
  const int64_t rowStride = rows == Rows::kAcross ? stride : 1;
  const int64_t stepStride = rows == Rows::kAcross ? 1 : stride;
  const float* at = left + first * rowStride;
  Lanes sums[count] = {};
  for (int64_t step = 0; step < steps; step++) {
    const Lanes other = loadLanes(right);
    for (int row = 0; row < count; row++) {
      const float factor = at[row * rowStride];
      for (int i = 0; i < kVectors; i++) sums[row].of[i] += other.of[i] * factor;
    }
    at += stepStride;
    right += kQueries;
  }
  for (int row = 0; row < count; row++) finish(first + row, sums[row]);
}

template <int size>
struct Size {
  static constexpr int value = size;
};

template <Rows rows, typename Finish>
void multiply(const float* left, int64_t stride, int64_t count, const float* right, int64_t steps,
              Finish finish) {
  int64_t row = 0;
  const auto tile = [&](auto size) {
    multiplyTile<decltype(size)::value, rows>(left, stride, row, right, steps, finish);
    row += decltype(size)::value;
  };
  while (row + kTile <= count) tile(Size<kTile>{});
  if (kTile > 4 && row + 4 <= count) tile(Size<4>{});
  if (row + 2 <= count) tile(Size<2>{});
  if (row < count) tile(Size<1>{});
}

void capScores(float cap, int64_t count, float* scores) {
  for (int64_t i = 0; i < count * kQueries; i += kWidth)
    store(scores + i, cap * kLog2E * tanh(load(scores + i)));
}

void hideScores(const Positions& positions, int64_t window, const Run& run) {
  for (int64_t i = 0; i < run.count; i++) {
    const auto key = static_cast<int32_t>(run.begin + i);
    if (key <= positions.first && key > positions.last - window) continue;
    for (int part = 0; part < kVectors; part++) {
      float* const at = run.scores + i * kQueries + part * kWidth;
      const IntVec back = positions.of[part] - key;
      const IntVec isSeen = (back >= 0) & (back < static_cast<int32_t>(window));
      store(at, isSeen ? load(at) : Vec{} + kHidden);
    }
  }
}

// Replaces scores by their exponentials and gives what earlier sums are to be multiplied by.
Lanes takeScores(int64_t count, float* scores, Group& group) {
  Lanes largest = group.largest;
  for (int64_t key = 0; key < count; key++) {
    const Lanes score = loadLanes(scores + key * kQueries);
    for (int i = 0; i < kVectors; i++) largest.of[i] = larger(score.of[i], largest.of[i]);
  }
  Lanes sum = {};
  for (int64_t key = 0; key < count; key++) {
    Lanes share = loadLanes(scores + key * kQueries);
    for (int i = 0; i < kVectors; i++) {
      share.of[i] = exp2OfNegative(share.of[i] - largest.of[i]);
      sum.of[i] += share.of[i];
    }
    storeLanes(scores + key * kQueries, share);
  }
  Lanes rescale;
  for (int i = 0; i < kVectors; i++) {
    rescale.of[i] = exp2OfNegative(group.largest.of[i] - largest.of[i]);
    group.sum.of[i] = group.sum.of[i] * rescale.of[i] + sum.of[i];
  }
  group.largest = largest;
  return rescale;
}

void attendToRun(const Problem& problem, const Run& run, Group& group) {
  const auto& spec = problem.spec;
  multiply<Rows::kAcross>(
      run.keys, spec.head_size, run.count, group.query, spec.head_size,
      [&](int64_t key, const Lanes& sums) { storeLanes(run.scores + key * kQueries, sums); });
  if (spec.softcap != 0) capScores(spec.softcap, run.count, run.scores);
  hideScores(group.positions, problem.window(), run);
  const Lanes rescale = takeScores(run.count, run.scores, group);
  multiply<Rows::kDown>(run.values, spec.head_size, spec.head_size, run.scores, run.count,
                        [&](int64_t column, Lanes sums) {
                          float* const at = group.out + column * kQueries;
                          for (int i = 0; i < kVectors; i++)
                            sums.of[i] += load(at + i * kWidth) * rescale.of[i];
                          storeLanes(at, sums);
                        });
}

void finish(const Problem& problem, const Strip& strip, const Group& group) {
  for (int64_t i = 0; i < problem.spec.head_size; i++) {
    Lanes row = loadLanes(group.out + i * kQueries);
    for (int part = 0; part < kVectors; part++) row.of[part] /= group.sum.of[part];
    storeLanes(group.out + i * kQueries, row);
  }
  for (int64_t lane = 0; lane < group.count; lane++) {
    float* const to = problem.out + placeOf(problem, strip, group.first + lane);
    for (int64_t i = 0; i < problem.spec.head_size; i++) to[i] = group.out[i * kQueries + lane];
  }
}

void copyRun(const Problem& problem, const Strip& strip, const Run& run) {
  const auto& spec = problem.spec;
  const int64_t size = spec.head_size;
  const int64_t token = strip.window * spec.length + run.begin;
  for (int64_t i = 0; i < run.count; i++) {
    const int64_t from = ((token + i) * spec.key_heads + strip.keyHead) * size;
    std::memcpy(run.keys + i * size, problem.key + from, size * sizeof(float));
    std::memcpy(run.values + i * size, problem.value + from, size * sizeof(float));
  }
}

// Runs begin at multiples of kRun, so that sums do not depend on how many groups share them.
int64_t beginOf(const Problem& problem, const Group& group) {
  const int64_t first = group.positions.first + 1 - problem.window();
  return first < 0 ? 0 : first / kRun * kRun;
}

void attend(const Problem& problem, const Strip& strip, Group* groups, int64_t count, Run run) {
  for (int64_t i = 0; i < count; i++) start(problem, strip, groups[i]);
  const int64_t end = groups[count - 1].positions.last + 1;
  for (run.begin = beginOf(problem, groups[0]); run.begin < end; run.begin += kRun) {
    run.count = lesser(kRun, end - run.begin);
    copyRun(problem, strip, run);
    for (int64_t i = 0; i < count; i++) {
      Group& group = groups[i];
      Run part = run;
      part.count = lesser(run.count, group.positions.last + 1 - run.begin);
      if (part.count > 0 && run.begin >= beginOf(problem, group)) attendToRun(problem, part, group);
    }
  }
  for (int64_t i = 0; i < count; i++) finish(problem, strip, groups[i]);
}

// Groups `first` to `last` of a strip, in a thread's memory.
void attendInTask(const Problem& problem, const Strip& strip, int64_t first, int64_t last,
                  float* memory) {
  const int64_t size = problem.spec.head_size;
  const auto take = [&](int64_t count) {
    float* const taken = memory;
    memory += count;
    return taken;
  };
  Group groups[kGroups];
  for (int64_t i = first; i < last; i++) {
    Group& group = groups[i - first];
    group.first = i * kQueries;
    group.count = lesser(kQueries, problem.rows() - group.first);
    group.query = take(size * kQueries);
    group.out = take(size * kQueries);
  }
  float* const keys = take(size * kRun);
  float* const values = take(size * kRun);
  attend(problem, strip, groups, last - first, {0, 0, keys, values, take(kRun * kQueries)});
}

void attention(Pool& pool, const float* query, const float* key, const float* value,
               const spinfer_cpu_attention_spec& spec, float* out) {
  const Problem problem = {query, key, value, spec, out};
  const int64_t strips = spec.tokens / spec.length * spec.key_heads;
  const int64_t groups = quotientUp(problem.rows(), kQueries);
  const int64_t taken = lesser(quotientUp(strips * groups, pool.threads() * kTasks), kGroups);
  const int64_t tasks = quotientUp(groups, taken);
  const int64_t ofThread = 2 * spec.head_size * (taken * kQueries + kRun) + kRun * kQueries;
  const Buffer buffer(pool.threads() * ofThread);
  pool.each(strips * tasks, [&](int64_t index, int thread) {
    // The longest of a strip first: short ones even out what threads have to do.
    const int64_t first = (tasks - 1 - index % tasks) * taken;
    const int64_t strip = index / tasks;
    attendInTask(problem, {strip / spec.key_heads, strip % spec.key_heads}, first,
                 lesser(first + taken, groups), buffer.get() + thread * ofThread);
  });
}

}  // namespace

const AttentionKernels kAttention = {attention};

}  // namespace spinfer::cpu::SPINFER_CPU_SET
