// Causal attention, softmax on the go (Milakov and Gimelshein, 2018; FlashAttention, Dao et al.,
// 2022): scores of a run of keys are used before those of the next are computed, and what was added
// up so far is rescaled when a larger score comes.
//
// A group is a few queries that see about the same keys: of all heads that share a key head, one
// position after the other. They lie along the vectors: scores are [key][query], and what is added
// up is [column of the head][query]. So largest scores and sums need nothing across lanes.
//
// Here is what does not depend on how products are made. A way of making them has:
//   kVectors            vectors of a group's queries
//   kRun                keys of a run
//   kGroups             most groups of a task, which share packed runs
//   State               what a task holds while it runs
//   groupsOfTask(headSize), sizesFor(headSize)
//   packQueries(problem, strip, group), packRun(problem, strip, run)
//   attendToRun(problem, run, groups, count)  which all see some of it
//   write(problem, strip, group)  queries' sums, divided, to the output
#pragma once

#include "kernels.h"
#include "memory.h"
#include "vectorMath.h"

namespace spinfer::cpu::SPINFER_CPU_SET {

// Tasks that a thread has at least, where there are as many groups: they differ in length.
constexpr int64_t kAttentionTasks = 8;

constexpr float kLog2E = 1.44269502f;
// Score of a key that may not be seen. It is finite so that a run of none but such keys gives
// numbers: they are multiplied by 0 when a greater score comes.
constexpr float kHidden = -3.40282347e38f;

// A value for each query of a group.
template <int vectors>
struct Lanes {
  Vec of[vectors];
};

template <int vectors>
inline Lanes<vectors> loadLanes(const float* at) {
  Lanes<vectors> lanes;
  for (int i = 0; i < vectors; i++) lanes.of[i] = load(at + i * kWidth);
  return lanes;
}

template <int vectors>
inline void storeLanes(float* at, const Lanes<vectors>& lanes) {
  for (int i = 0; i < vectors; i++) store(at + i * kWidth, lanes.of[i]);
}

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
  // Makes queries such that exp2 is the exponential of the score, or its cap the tanh.
  float factor() const {
    return spec.softcap == 0 ? spec.scale * kLog2E : spec.scale / spec.softcap;
  }
};

// A window and a key head.
struct Strip {
  int64_t window, keyHead;
};

template <int vectors>
struct Positions {
  IntVec of[vectors];
  int64_t first, last;
};

// Queries first..first + count of those of a strip, and what they have come to. Buffers are the
// way's own.
template <int vectors>
struct Group {
  int64_t first, count;
  Positions<vectors> positions;
  float *query, *out;
  Lanes<vectors> largest, sum;
};

struct Run {
  int64_t begin, count;
  float *keys, *values;
  float* scores;  // [kRun][query]
  float* other;   // what a way needs besides
};

// Floats of a group's buffers, and of a run's.
struct Sizes {
  int64_t query, out;
  int64_t keys, values, scores, other;

  int64_t ofTask(int64_t groups) const {
    return groups * (query + out) + keys + values + scores + other;
  }
};

inline int64_t placeOf(const Problem& problem, const Strip& strip, int64_t row) {
  const auto& spec = problem.spec;
  const int64_t token = strip.window * spec.length + row / problem.sharing();
  const int64_t head = strip.keyHead * problem.sharing() + row % problem.sharing();
  return (token * spec.heads + head) * spec.head_size;
}

// Where a run's keys and values begin.
inline int64_t placeOfRun(const Problem& problem, const Strip& strip, const Run& run) {
  const auto& spec = problem.spec;
  const int64_t token = strip.window * spec.length + run.begin;
  return (token * spec.key_heads + strip.keyHead) * spec.head_size;
}

// Lanes past the last query are like it.
template <int vectors>
inline int64_t rowOf(const Group<vectors>& group, int64_t lane) {
  return group.first + (lane < group.count ? lane : group.count - 1);
}

template <int vectors>
Positions<vectors> positionsOf(const Problem& problem, const Group<vectors>& group) {
  Positions<vectors> positions;
  positions.first = group.first / problem.sharing();
  positions.last = (group.first + group.count - 1) / problem.sharing();
  for (int64_t lane = 0; lane < vectors * kWidth; lane++) {
    const int64_t position = rowOf(group, lane) / problem.sharing();
    positions.of[lane / kWidth][lane % kWidth] = static_cast<int32_t>(position);
  }
  return positions;
}

template <typename Way>
void start(const Problem& problem, const Strip& strip, Group<Way::kVectors>& group) {
  group.positions = positionsOf(problem, group);
  Way::packQueries(problem, strip, group);
  const int64_t count = Way::sizesFor(problem.spec.head_size).out;
  for (int64_t i = 0; i < count; i++) group.out[i] = 0;
  for (int i = 0; i < Way::kVectors; i++) {
    group.largest.of[i] = Vec{} + kHidden;
    group.sum.of[i] = Vec{};
  }
}

// Of `count` vectors.
inline void capScores(float cap, int64_t count, float* scores) {
  for (int64_t i = 0; i < count * kWidth; i += kWidth)
    store(scores + i, cap * kLog2E * tanh(load(scores + i)));
}

template <int vectors>
void hideScores(const Positions<vectors>& positions, int64_t window, const Run& run) {
  if (run.begin + run.count - 1 <= positions.first && run.begin > positions.last - window) return;
  for (int64_t i = 0; i < run.count; i++) {
    const auto key = static_cast<int32_t>(run.begin + i);
    if (key <= positions.first && key > positions.last - window) continue;
    for (int part = 0; part < vectors; part++) {
      float* const at = run.scores + (i * vectors + part) * kWidth;
      const IntVec back = positions.of[part] - key;
      const IntVec isSeen = (back >= 0) & (back < static_cast<int32_t>(window));
      store(at, isSeen ? load(at) : Vec{} + kHidden);
    }
  }
}

template <int vectors>
inline Lanes<vectors> largestOf(const Run& run, const Group<vectors>& group) {
  Lanes<vectors> largest = group.largest;
  for (int64_t key = 0; key < run.count; key++) {
    const Lanes<vectors> score = loadLanes<vectors>(run.scores + key * vectors * kWidth);
    for (int i = 0; i < vectors; i++) largest.of[i] = larger(score.of[i], largest.of[i]);
  }
  return largest;
}

// Gives what earlier sums are to be multiplied by. sum: of the run's exponentials.
template <int vectors>
inline Lanes<vectors> takeSums(const Lanes<vectors>& largest, const Lanes<vectors>& sum,
                               Group<vectors>& group) {
  Lanes<vectors> rescale;
  for (int i = 0; i < vectors; i++) {
    rescale.of[i] = exp2OfNegative(group.largest.of[i] - largest.of[i]);
    group.sum.of[i] = group.sum.of[i] * rescale.of[i] + sum.of[i];
  }
  group.largest = largest;
  return rescale;
}

// Runs begin at multiples of kRun, so that sums do not depend on how many groups share them.
template <typename Way>
int64_t beginOf(const Problem& problem, const Group<Way::kVectors>& group) {
  const int64_t first = group.positions.first + 1 - problem.window();
  return first < 0 ? 0 : first / Way::kRun * Way::kRun;
}

// The run as far as a group may see it.
template <int vectors>
inline Run partOf(const Run& run, const Group<vectors>& group) {
  Run part = run;
  part.count = least(run.count, group.positions.last + 1 - run.begin);
  return part;
}

template <typename Way>
void attend(const Problem& problem, const Strip& strip, Group<Way::kVectors>* groups, int64_t count,
            Run run) {
  for (int64_t i = 0; i < count; i++) start<Way>(problem, strip, groups[i]);
  const int64_t end = groups[count - 1].positions.last + 1;
  int64_t first = 0, last = 0;  // groups that see the run
  for (run.begin = beginOf<Way>(problem, groups[0]); run.begin < end; run.begin += Way::kRun) {
    run.count = least(Way::kRun, end - run.begin);
    Way::packRun(problem, strip, run);
    while (groups[first].positions.last < run.begin) first++;
    while (last < count && beginOf<Way>(problem, groups[last]) <= run.begin) last++;
    Way::attendToRun(problem, run, groups + first, last - first);
  }
  for (int64_t i = 0; i < count; i++) Way::write(problem, strip, groups[i]);
}

// Groups `first` to `last` of a strip, in a thread's memory.
template <typename Way>
void attendInTask(const Problem& problem, const Strip& strip, int64_t first, int64_t last,
                  float* memory) {
  [[maybe_unused]] const typename Way::State state;
  constexpr int64_t kQueries = Way::kVectors * kWidth;
  const Sizes sizes = Way::sizesFor(problem.spec.head_size);
  const auto take = [&](int64_t count) {
    float* const taken = memory;
    memory += count;
    return taken;
  };
  Group<Way::kVectors> groups[Way::kGroups];
  for (int64_t i = first; i < last; i++) {
    auto& group = groups[i - first];
    group.first = i * kQueries;
    group.count = least(kQueries, problem.rows() - group.first);
    group.query = take(sizes.query);
    group.out = take(sizes.out);
  }
  float* const keys = take(sizes.keys);
  float* const values = take(sizes.values);
  float* const scores = take(sizes.scores);
  attend<Way>(problem, strip, groups, last - first,
              {0, 0, keys, values, scores, take(sizes.other)});
}

template <typename Way>
void attendAll(Pool& pool, const Problem& problem) {
  const auto& spec = problem.spec;
  const int64_t strips = spec.tokens / spec.length * spec.key_heads;
  const int64_t groups = divideUp(problem.rows(), Way::kVectors * kWidth);
  const int64_t share = divideUp(strips * groups, pool.threads() * kAttentionTasks);
  const int64_t taken = least(share, least(Way::groupsOfTask(spec.head_size), groups));
  const int64_t tasks = divideUp(groups, taken);
  const int64_t ofThread = Way::sizesFor(spec.head_size).ofTask(taken);
  Buffer buffer;
  buffer.reserve(pool.threads() * ofThread * sizeof(float));
  pool.each(strips * tasks, [&](int64_t index, int thread) {
    // The longest of a strip first: short ones even out what threads have to do.
    const int64_t first = (tasks - 1 - index % tasks) * taken;
    const int64_t strip = index / tasks;
    attendInTask<Way>(problem, {strip / spec.key_heads, strip % spec.key_heads}, first,
                      least(first + taken, groups),
                      static_cast<float*>(buffer.data()) + thread * ofThread);
  });
}

}  // namespace spinfer::cpu::SPINFER_CPU_SET
