// Causal attention, softmax on the go (Milakov and Gimelshein, 2018; FlashAttention, Dao et al.,
// 2022): scores of a run of keys are used before those of the next are computed, and what was added
// up so far is rescaled when a larger score comes.
//
// A task is a few queries that see about the same keys: of all heads that share a key head, one
// position after the other. Queries lie along the vectors: scores are [key][query], and what is
// added up is [column of the head][query]. So largest scores and sums need nothing across lanes, and
// keys and values are read where they are, a number for all queries of a vector.
#include <new>

#include "kernels.h"
#include "vectorMath.h"

namespace spinfer::cpu::SPINFER_CPU_SET {
namespace {

// Vectors of a task's queries, and rows (keys, columns of a head) of a tile of a product: its sums
// fill most of the registers.
constexpr int kVectors = 3;
constexpr int kTile = kWidth == 16 ? 8 : 4;
constexpr int kQueries = kVectors * kWidth;
// Keys of a run: few enough that all of a task stays in the nearest cache.
constexpr int64_t kRun = 64;

constexpr float kLog2E = 1.44269502f;
// Score of a key that may not be seen. It is finite so that a run of none but such keys gives
// numbers: they are multiplied by 0 when a greater score comes.
constexpr float kHidden = -3.40282347e38f;

// A value for each query of a task.
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

  int64_t group() const { return spec.heads / spec.key_heads; }
  int64_t keyColumns() const { return spec.key_heads * spec.head_size; }
  // Positions that one sees.
  int64_t window() const {
    return spec.window == 0 || spec.window > spec.length ? spec.length : spec.window;
  }
  int64_t rows() const { return spec.length * group(); }  // queries of a window that share a head
};

// Queries first..first + count of those of a window that share a key head.
struct Task {
  int64_t window, keyHead, first, count;
};

// [rows][kQueries] each.
struct Scratch {
  float *query, *out, *scores;
};

// What softmax has of each query.
struct Softmax {
  Lanes largest, sum;
};

struct Positions {
  IntVec of[kVectors];
  int64_t first, last;
};

int64_t placeOf(const Problem& problem, const Task& task, int64_t lane) {
  const auto& spec = problem.spec;
  const int64_t row = task.first + lane;
  const int64_t token = task.window * spec.length + row / problem.group();
  const int64_t head = task.keyHead * problem.group() + row % problem.group();
  return (token * spec.heads + head) * spec.head_size;
}

// Lanes past the last query are like it.
Positions positionsOf(const Problem& problem, const Task& task) {
  Positions positions;
  positions.first = task.first / problem.group();
  positions.last = (task.first + task.count - 1) / problem.group();
  for (int64_t lane = 0; lane < kQueries; lane++) {
    const int64_t row = task.first + (lane < task.count ? lane : task.count - 1);
    positions.of[lane / kWidth][lane % kWidth] = static_cast<int32_t>(row / problem.group());
  }
  return positions;
}

// Queries in units of which exp2 is the exponential of the score, or its cap the tanh.
void packQueries(const Problem& problem, const Task& task, float* packed) {
  const auto& spec = problem.spec;
  const float factor = spec.softcap == 0 ? spec.scale * kLog2E : spec.scale / spec.softcap;
  for (int64_t lane = 0; lane < kQueries; lane++) {
    const int64_t from = placeOf(problem, task, lane < task.count ? lane : task.count - 1);
    for (int64_t i = 0; i < spec.head_size; i++)
      packed[i * kQueries + lane] = problem.query[from + i] * factor;
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

// Of keys from `begin` on.
void hideScores(const Positions& positions, int64_t window, int64_t begin, int64_t count,
                float* scores) {
  for (int64_t i = 0; i < count; i++) {
    const auto key = static_cast<int32_t>(begin + i);
    if (key <= positions.first && key > positions.last - window) continue;
    for (int part = 0; part < kVectors; part++) {
      const IntVec back = positions.of[part] - key;
      float* const at = scores + i * kQueries + part * kWidth;
      const IntVec isSeen = (back >= 0) & (back < static_cast<int32_t>(window));
      store(at, isSeen ? load(at) : Vec{} + kHidden);
    }
  }
}

// Replaces scores by their exponentials and gives what earlier sums are to be multiplied by.
Lanes takeScores(int64_t count, float* scores, Softmax& softmax) {
  Lanes largest = softmax.largest;
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
    rescale.of[i] = exp2OfNegative(softmax.largest.of[i] - largest.of[i]);
    softmax.sum.of[i] = softmax.sum.of[i] * rescale.of[i] + sum.of[i];
  }
  softmax.largest = largest;
  return rescale;
}

void attendToRun(const Problem& problem, const Task& task, const Positions& positions,
                 int64_t begin, int64_t count, const Scratch& scratch, Softmax& softmax) {
  const auto& spec = problem.spec;
  const int64_t stride = problem.keyColumns();
  const int64_t from =
      (task.window * spec.length + begin) * stride + task.keyHead * spec.head_size;
  multiply<Rows::kAcross>(
      problem.key + from, stride, count, scratch.query, spec.head_size,
      [&](int64_t key, const Lanes& sums) { storeLanes(scratch.scores + key * kQueries, sums); });
  if (spec.softcap != 0) capScores(spec.softcap, count, scratch.scores);
  hideScores(positions, problem.window(), begin, count, scratch.scores);
  const Lanes rescale = takeScores(count, scratch.scores, softmax);
  multiply<Rows::kDown>(problem.value + from, stride, spec.head_size, scratch.scores, count,
                        [&](int64_t column, Lanes sums) {
                          float* const at = scratch.out + column * kQueries;
                          for (int i = 0; i < kVectors; i++)
                            sums.of[i] += load(at + i * kWidth) * rescale.of[i];
                          storeLanes(at, sums);
                        });
}

void writeOut(const Problem& problem, const Task& task, const Lanes& sum, float* rows) {
  for (int64_t i = 0; i < problem.spec.head_size; i++) {
    Lanes row = loadLanes(rows + i * kQueries);
    for (int part = 0; part < kVectors; part++) row.of[part] /= sum.of[part];
    storeLanes(rows + i * kQueries, row);
  }
  for (int64_t lane = 0; lane < task.count; lane++) {
    float* const to = problem.out + placeOf(problem, task, lane);
    for (int64_t i = 0; i < problem.spec.head_size; i++) to[i] = rows[i * kQueries + lane];
  }
}

void attend(const Problem& problem, const Task& task, const Scratch& scratch) {
  const auto& spec = problem.spec;
  const Positions positions = positionsOf(problem, task);
  packQueries(problem, task, scratch.query);
  for (int64_t i = 0; i < spec.head_size * kQueries; i++) scratch.out[i] = 0;
  Softmax softmax = {};
  for (Vec& largest : softmax.largest.of) largest = Vec{} + kHidden;
  const int64_t begin = positions.first + 1 - problem.window();
  for (int64_t key = begin < 0 ? 0 : begin; key <= positions.last; key += kRun) {
    const int64_t left = positions.last + 1 - key;
    attendToRun(problem, task, positions, key, left < kRun ? left : kRun, scratch, softmax);
  }
  writeOut(problem, task, softmax.sum, scratch.out);
}

void attention(Pool& pool, const float* query, const float* key, const float* value,
               const spinfer_cpu_attention_spec& spec, float* out) {
  const Problem problem = {query, key, value, spec, out};
  const int64_t ofHead = spec.head_size * kQueries;
  const int64_t ofThread = 2 * ofHead + kRun * kQueries;
  const Buffer buffer(pool.threads() * ofThread);
  const int64_t tasks = (problem.rows() + kQueries - 1) / kQueries;
  const int64_t windows = spec.tokens / spec.length;
  pool.each(windows * spec.key_heads * tasks, [&](int64_t index, int thread) {
    float* const at = buffer.get() + thread * ofThread;
    // The longest of a head first: short ones even out what threads have to do.
    const int64_t first = (tasks - 1 - index % tasks) * kQueries;
    const int64_t rest = problem.rows() - first;
    const int64_t head = index / tasks;
    const Task task = {head / spec.key_heads, head % spec.key_heads, first,
                       rest < kQueries ? rest : kQueries};
    attend(problem, task, {at, at + ofHead, at + 2 * ofHead});
  });
}

}  // namespace

const AttentionKernels kAttention = {attention};

}  // namespace spinfer::cpu::SPINFER_CPU_SET
