// How a call is timed: replays of a CUDA graph of many calls, over enough copies of the weights
// that none is in the L2 cache when its turn comes.
#pragma once

#include <functional>

#include "../include/spinfer_measure.h"
#include "buffer.h"

namespace spinfer {

// Bytes that the copies of one matrix must reach together: four times the L2 cache of an H100.
constexpr size_t kColdBytes = 220u << 20;
int copies_for(size_t bytes);

// Enqueues one call on the session's stream with the weights of that copy; false where the library
// behind it refuses.
using Call = std::function<bool(int copy)>;

struct Candidate {
  Call call;
  int copies;
  double expected_us;
};

// Replays of a candidate's calls, ready to be launched.
class Replay {
 public:
  Replay(const Candidate& candidate, cudaStream_t stream);
  Replay(const Replay&) = delete;
  ~Replay();
  int calls() const { return calls_; }
  // Median, mean, deviation, samples and calls.
  void time(spinfer_measurement* out) const;
  // Repeats for so many seconds and reads NVML's energy counter before and after.
  void measure_energy(double seconds, spinfer_measurement* out) const;

 private:
  cudaGraphExec_t graph_ = nullptr;
  cudaStream_t stream_;
  int calls_;
};

}  // namespace spinfer
