#include "timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "nvml.h"

namespace spinfer {
namespace {

constexpr double kReplayUs = 600;
constexpr int kMostCalls = 200, kWarmUps = 2;

class Event {
 public:
  Event() { must(cudaEventCreate(&at_), "cudaEventCreate"); }
  Event(const Event&) = delete;
  ~Event() { cudaEventDestroy(at_); }
  void record(cudaStream_t stream) const { must(cudaEventRecord(at_, stream), "cudaEventRecord"); }
  double microseconds_since(const Event& begin) const {
    must(cudaEventSynchronize(at_), "replay");
    float milliseconds = 0;
    must(cudaEventElapsedTime(&milliseconds, begin.at_, at_), "cudaEventElapsedTime");
    return milliseconds * 1000.0;
  }

 private:
  cudaEvent_t at_ = nullptr;
};

double seconds_now() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

}  // namespace

int copies_for(size_t bytes) {
  return std::max<int>(2, static_cast<int>(kColdBytes / std::max<size_t>(bytes, 1 << 16)) + 1);
}

Replay::Replay(const Candidate& candidate, cudaStream_t stream)
    : stream_(stream),
      calls_(std::max(candidate.copies,
                      std::min(kMostCalls,
                               static_cast<int>(kReplayUs / candidate.expected_us) + 1))) {
  cudaGraph_t recorded = nullptr;
  must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  bool taken = true;
  try {
    for (int i = 0; i < calls_ && taken; ++i) taken = candidate.call(i % candidate.copies);
  } catch (...) {
    cudaStreamEndCapture(stream, &recorded);
    if (recorded != nullptr) cudaGraphDestroy(recorded);
    throw;
  }
  must(cudaStreamEndCapture(stream, &recorded), "cudaStreamEndCapture");
  const cudaError_t error = taken ? cudaGraphInstantiate(&graph_, recorded, 0) : cudaSuccess;
  cudaGraphDestroy(recorded);
  if (!taken) throw Failure{SPINFER_CUDA, "a call that ran alone was refused in a graph"};
  must(error, "cudaGraphInstantiate");
}

Replay::~Replay() {
  if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
}

void Replay::time(spinfer_measurement* out) const {
  const Event begin, end;
  for (int i = 0; i < kWarmUps; ++i) must(cudaGraphLaunch(graph_, stream_), "warm-up");
  double sum = 0;
  for (double& sample : out->samples_us) {
    begin.record(stream_);
    must(cudaGraphLaunch(graph_, stream_), "replay");
    end.record(stream_);
    sample = end.microseconds_since(begin) / calls_;
    sum += sample;
  }
  std::sort(out->samples_us, out->samples_us + SPINFER_SAMPLES);
  out->median_us = out->samples_us[SPINFER_SAMPLES / 2];
  out->mean_us = sum / SPINFER_SAMPLES;
  double squares = 0;
  for (const double sample : out->samples_us) {
    squares += (sample - out->mean_us) * (sample - out->mean_us);
  }
  out->deviation_us = std::sqrt(squares / (SPINFER_SAMPLES - 1));
  out->calls = calls_;
}

void Replay::measure_energy(double seconds, spinfer_measurement* out) const {
  const NvmlDevice device;
  const double replay_seconds = std::max(out->median_us * calls_ / 1e6, 1e-6);
  // enqueued ahead, some 50 ms at a time, so that the GPU never waits for the host
  const int ahead = std::max(1, static_cast<int>(0.05 / replay_seconds));
  for (int i = 0; i < 2 * ahead; ++i) must(cudaGraphLaunch(graph_, stream_), "energy loop");
  must(cudaStreamSynchronize(stream_), "energy loop");
  const double millijoules = device.millijoules(), begun = seconds_now();
  long long replays = 0;
  while (seconds_now() - begun < seconds) {
    for (int i = 0; i < ahead; ++i) must(cudaGraphLaunch(graph_, stream_), "energy loop");
    if (replays == 0) out->sm_clock_mhz = device.sm_clock_mhz();
    replays += ahead;
    must(cudaStreamSynchronize(stream_), "energy loop");
  }
  const double elapsed = seconds_now() - begun;
  const double calls = static_cast<double>(replays) * calls_;
  out->joules = (device.millijoules() - millijoules) / 1e3 / calls;
  out->energy_us = elapsed * 1e6 / calls;
}

}  // namespace spinfer
