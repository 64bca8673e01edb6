// How a call is timed: replays of a CUDA graph of many calls, over enough copies of the weights
// that none is in the L2 cache when its turn comes.
#pragma once

#include <algorithm>
#include <functional>

#include "../test/deviceMatrix.h"

namespace spinfer::bench {

using test::Buffer;
using test::must;

// Bytes that the copies of one matrix must reach together: four times the L2 cache of an H100.
constexpr size_t kColdBytes = 220u << 20;
inline int copies_for(size_t bytes) {
  return std::max<int>(2, static_cast<int>(kColdBytes / bytes) + 1);
}

struct Timing {
  double us = 0;      // median over the replays, a call
  double spread = 0;  // (slowest - fastest) / median
};

// Times `call(copy)`, which enqueues one call on `stream` with the weights of that copy.
inline Timing time_call(const std::function<void(int)>& call, int copies, double expected_us,
                        cudaStream_t stream) {
  constexpr double kReplayUs = 600;
  constexpr int kMostCalls = 200, kReplays = 7;
  const int calls =
      std::max(copies, std::min(kMostCalls, static_cast<int>(kReplayUs / expected_us) + 1));
  cudaGraph_t graph;
  cudaGraphExec_t replay;
  must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "begin capture");
  for (int i = 0; i < calls; ++i) call(i % copies);
  must(cudaStreamEndCapture(stream, &graph), "end capture");
  must(cudaGraphInstantiate(&replay, graph, 0), "instantiate");
  cudaEvent_t begin, end;
  must(cudaEventCreate(&begin), "event");
  must(cudaEventCreate(&end), "event");
  for (int i = 0; i < 2; ++i) must(cudaGraphLaunch(replay, stream), "warm-up");
  std::vector<double> us;
  for (int i = 0; i < kReplays; ++i) {
    must(cudaEventRecord(begin, stream), "record");
    must(cudaGraphLaunch(replay, stream), "replay");
    must(cudaEventRecord(end, stream), "record");
    must(cudaEventSynchronize(end), "replay");
    float ms = 0;
    must(cudaEventElapsedTime(&ms, begin, end), "elapsed");
    us.push_back(ms * 1000.0 / calls);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
  std::sort(us.begin(), us.end());
  const double median = us[us.size() / 2];
  return {median, (us.back() - us.front()) / median};
}

}  // namespace spinfer::bench
