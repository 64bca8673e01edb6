// The functions of spinfer_measure.h.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include "cublas.h"
#include "gemv.h"
#include "judge.h"
#include "masks.h"
#include "nvml.h"
#include "twoFour.h"
#include "weights.h"

namespace spinfer {
namespace {

constexpr uint32_t kMostTokens = 1 << 16;

// Inputs and outputs of n tokens, and what the product must be.
struct Problem {
  uint32_t n;
  Buffer x, y, workspace;
  Judge judge;
};

class Stream {
 public:
  Stream() { must(cudaStreamCreateWithFlags(&at_, cudaStreamNonBlocking), "cudaStreamCreate"); }
  Stream(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(at_); }
  operator cudaStream_t() const { return at_; }

 private:
  cudaStream_t at_ = nullptr;
};

}  // namespace
}  // namespace spinfer

struct spinfer_session {
  spinfer::Stream stream;
  std::unique_ptr<spinfer::Cublas> cublas;
  std::optional<spinfer::Weights> weights;
  std::optional<spinfer::Problem> problem;
};

namespace spinfer {
namespace {

// The functions throw; the ABI's return what was thrown.
template <class Work>
spinfer_status guarded(const Work& work) {
  try {
    work();
    return SPINFER_OK;
  } catch (const Failure& failure) {
    return fail(failure.status, "%s", failure.message.c_str());
  } catch (const std::exception& error) {
    return fail(SPINFER_MEMORY, "host: %s", error.what());
  }
}

const Weights& weights_of(const spinfer_session& session) {
  if (!session.weights) throw Failure{SPINFER_BAD_ARGUMENT, "the session has no weights yet"};
  return *session.weights;
}

void forget_weights(spinfer_session& session) {
  session.problem.reset();
  session.weights.reset();
}

// Other inputs at every call.
uint64_t fresh_seed() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

uint64_t workspace_bytes(const Weights& w, const void* x, uint32_t n) {
  uint64_t bytes = 0;
  must(spinfer_spmm_workspace(&w.sparse().first, x, n, &bytes));
  return bytes;
}

Problem make_problem(const Weights& w, const uint16_t* dense, uint32_t n, cudaStream_t stream) {
  const spinfer_weights facts = w.facts();
  const uint64_t inputs = static_cast<uint64_t>(n) * facts.cols;
  Buffer x(inputs * sizeof(uint16_t));
  draw_inputs(x.as<uint16_t>(), inputs, w.value_dtype(), fresh_seed(), stream);
  must(cudaStreamSynchronize(stream), "inputs");
  Buffer workspace(workspace_bytes(w, x.as<>(), n));
  Judge judge(dense, x.as<uint16_t>(), facts.rows, facts.cols, n, w.value_dtype());
  return {n, std::move(x), Buffer(static_cast<size_t>(n) * facts.rows * sizeof(uint16_t)),
          std::move(workspace), std::move(judge)};
}

DenseProblem dense_problem(const Weights& w, const Problem& p) {
  const spinfer_weights facts = w.facts();
  return {facts.rows,       facts.cols,        p.n,        w.value_dtype(), w.dense(),
          w.dense_stride(), w.dense_copies(),  p.x.as<>(), p.y.as<>()};
}

// Runs each candidate once and judges it, times those that are right, keeps the fastest.
class Contest {
 public:
  Contest(const Problem* problem, cudaStream_t stream, spinfer_measurement* out)
      : problem_(problem), stream_(stream), out_(out) {}

  void enter(const Candidate& candidate) {
    double error = 0;
    if (!runs(candidate)) return;  // the library behind it does not take this shape
    if (!is_right(&error)) {
      ++out_->rejected;
      return;
    }
    auto replay = std::make_unique<Replay>(candidate, stream_);
    spinfer_measurement measured{};
    replay->time(&measured);
    ++out_->candidates;
    if (fastest_ != nullptr && measured.median_us >= out_->median_us) return;
    fastest_ = std::move(replay);
    out_->median_us = measured.median_us;
    out_->mean_us = measured.mean_us;
    out_->deviation_us = measured.deviation_us;
    std::copy(measured.samples_us, measured.samples_us + SPINFER_SAMPLES, out_->samples_us);
    out_->calls = measured.calls;
    out_->largest_error = error;
  }

  void close(double energy_seconds) const {
    if (fastest_ == nullptr && out_->rejected == 0) {
      throw Failure{SPINFER_UNSUPPORTED, "no such product for this shape, dtype and GPU"};
    }
    if (fastest_ == nullptr) {
      throw Failure{SPINFER_WRONG, "every one of " + std::to_string(out_->rejected) +
                                       " candidates gave a wrong product"};
    }
    if (energy_seconds > 0) fastest_->measure_energy(energy_seconds, out_);
  }

 private:
  bool runs(const Candidate& candidate) const {
    if (problem_ != nullptr) {
      must(cudaMemsetAsync(problem_->y.as<>(), 0xff, problem_->y.bytes(), stream_), "poison");
    }
    const bool taken = candidate.call(candidate.copies - 1);
    must(cudaStreamSynchronize(stream_), "product");
    return taken;
  }
  bool is_right(double* error) const {
    if (problem_ == nullptr) return true;
    *error = problem_->judge.largest_error(problem_->y.as<uint16_t>());
    return *error <= 1;
  }

  const Problem* problem_;
  cudaStream_t stream_;
  spinfer_measurement* out_;
  std::unique_ptr<Replay> fastest_;
};

struct Request {
  int32_t what;
  uint32_t n;
  const spinfer_geometry* geometry;
  uint32_t flags;
  double energy_seconds;
};

Candidate sparse_candidate(const Weights& w, const Problem& p, const spinfer_geometry& geometry,
                           uint32_t flags, cudaStream_t stream) {
  const auto call = [&w, &p, geometry, flags, stream](int copy) {
    const spinfer_matrix matrix = w.sparse()[copy];
    must(spinfer_spmm(&matrix, p.x.as<>(), p.n, p.y.as<>(), &geometry, p.workspace.as<>(),
                      p.workspace.bytes(), flags, stream));
    return true;
  };
  return {call, w.sparse().count, w.sparse().payload_stride / 2.6e6};
}

void measure_two_four(spinfer_session& s, const Request& r, spinfer_measurement* out) {
  const Weights& w = weights_of(s);
  const spinfer_weights facts = w.facts();
  if (facts.rows % 16 != 0 || facts.cols % 16 != 0) {
    throw Failure{SPINFER_UNSUPPORTED, "cuSPARSELt wants rows and columns in multiples of 16"};
  }
  const uint32_t n = (r.n + 7) / 8 * 8;
  const Buffer cut(facts.dense_bytes);
  cut_to_two_of_four(w.dense(), cut.as<uint16_t>(), facts.rows, facts.cols, s.stream);
  must(cudaStreamSynchronize(s.stream), "2:4");
  const Problem problem = make_problem(w, cut.as<uint16_t>(), n, s.stream);
  DenseProblem dense = dense_problem(w, problem);
  dense.weights = cut.as<>();
  const TwoFour product(dense, s.stream);
  Contest contest(&problem, s.stream, out);
  contest.enter(product.candidate());
  contest.close(r.energy_seconds);
}

void measure_codec(spinfer_session& s, const Request& r, spinfer_measurement* out) {
  const Weights& w = weights_of(s);
  const spinfer_weights facts = w.facts();
  const double expected_us = (facts.dense_bytes + facts.payload_bytes) / 2e6;
  Contest contest(nullptr, s.stream, out);
  if (r.what == SPINFER_MEASURE_DECODE) {
    const Buffer dense(facts.dense_bytes);
    contest.enter({[&](int copy) {
                     const spinfer_matrix matrix = w.sparse()[copy];
                     must(spinfer_decode(&matrix, dense.as<>(), s.stream));
                     return true;
                   },
                   w.sparse().count, expected_us});
    contest.close(r.energy_seconds);
    return;
  }
  const Buffer offsets(facts.offsets_bytes), payload(facts.payload_bytes);
  contest.enter({[&](int copy) {
                   const uint8_t* dense = reinterpret_cast<const uint8_t*>(w.dense());
                   const void* from = dense + copy * w.dense_stride();
                   must(spinfer_encode_offsets(from, facts.rows, facts.cols,
                                               offsets.as<uint32_t>(), s.stream));
                   must(spinfer_encode_payload(from, facts.rows, facts.cols,
                                               offsets.as<uint32_t>(), payload.as<>(), s.stream));
                   return true;
                 },
                 w.dense_copies(), expected_us});
  contest.close(r.energy_seconds);
}

void measure(spinfer_session& s, const Request& r, spinfer_measurement* out) {
  *out = {};
  const Weights& w = weights_of(s);
  if (r.n < 1 || r.n > kMostTokens) {
    must(fail(SPINFER_BAD_ARGUMENT, "n is %u, expected 1 to %u", r.n, kMostTokens));
  }
  if (!(r.energy_seconds >= 0 && r.energy_seconds <= 60)) {
    must(fail(SPINFER_BAD_ARGUMENT, "energy over %g seconds, expected 0 to 60", r.energy_seconds));
  }
  switch (r.what) {
    case SPINFER_MEASURE_2_4:
      return measure_two_four(s, r, out);
    case SPINFER_MEASURE_DECODE:
    case SPINFER_MEASURE_ENCODE:
      return measure_codec(s, r, out);
    default:
      break;
  }
  if (!s.problem || s.problem->n != r.n) {
    s.problem.reset();
    s.problem.emplace(make_problem(w, w.dense(), r.n, s.stream));
  }
  const Problem& problem = *s.problem;
  Contest contest(r.what == SPINFER_MEASURE_STREAM_LIMIT ? nullptr : &problem, s.stream, out);
  const auto enter_all = [&](const std::vector<Candidate>& candidates) {
    for (const Candidate& candidate : candidates) contest.enter(candidate);
  };
  const auto cublas = [&]() -> Cublas& {
    if (s.cublas == nullptr) s.cublas = std::make_unique<Cublas>(s.stream);
    return *s.cublas;
  };
  switch (r.what) {
    case SPINFER_MEASURE_SPARSE: {
      spinfer_geometry geometry;
      if (r.geometry != nullptr) {
        geometry = *r.geometry;
      } else {
        must(spinfer_choose_geometry(&w.sparse().first, r.n, r.flags, &geometry));
      }
      out->geometry = geometry;
      contest.enter(sparse_candidate(w, problem, geometry, r.flags, s.stream));
      break;
    }
    case SPINFER_MEASURE_DENSE_LT:
      enter_all(cublas().lt_candidates(dense_problem(w, problem)));
      break;
    case SPINFER_MEASURE_DENSE_GEMM:
      contest.enter(cublas().gemm_candidate(dense_problem(w, problem)));
      break;
    case SPINFER_MEASURE_DENSE_GEMV:
      enter_all(gemv_candidates(dense_problem(w, problem), s.stream));
      break;
    case SPINFER_MEASURE_STREAM_LIMIT: {
      const Buffer sink(sizeof(uint32_t));
      enter_all(stream_candidates(w.sparse(), sink.as<uint32_t>(), s.stream));
      contest.close(r.energy_seconds);
      return;
    }
    default:
      must(fail(SPINFER_BAD_ARGUMENT, "nothing is measured under the number %d", r.what));
  }
  contest.close(r.energy_seconds);
}

void describe_gpu(spinfer_gpu* out) {
  *out = {};
  must(cudaDriverGetVersion(&out->driver_version), "cudaDriverGetVersion");
  must(cudaRuntimeGetVersion(&out->runtime_version), "cudaRuntimeGetVersion");
  DeviceFacts device;
  must(current_device("spinfer_describe_gpu", &device));
  cudaDeviceProp properties;
  must(cudaGetDeviceProperties(&properties, device.index), "cudaGetDeviceProperties");
  std::snprintf(out->name, sizeof out->name, "%.95s", properties.name);
  out->major = device.major;
  out->minor = device.minor;
  out->sms = static_cast<int32_t>(device.sms);
  out->l2_bytes = static_cast<uint64_t>(properties.l2CacheSize);
  size_t free_bytes = 0, all_bytes = 0;
  must(cudaMemGetInfo(&free_bytes, &all_bytes), "cudaMemGetInfo");
  out->free_memory_bytes = free_bytes;
  out->memory_bytes = all_bytes;
  try {
    NvmlDevice().describe(out);
  } catch (const Failure&) {  // what only NVML knows stays empty
  }
}

void multiply(spinfer_session& s, const uint16_t* x, uint32_t n, uint16_t* y,
              const spinfer_geometry* geometry, uint32_t flags) {
  const Weights& w = weights_of(s);
  const spinfer_weights facts = w.facts();
  if (n < 1 || n > kMostTokens) {
    must(fail(SPINFER_BAD_ARGUMENT, "n is %u, expected 1 to %u", n, kMostTokens));
  }
  const Buffer inputs(static_cast<size_t>(n) * facts.cols * sizeof(uint16_t));
  const Buffer outputs(static_cast<size_t>(n) * facts.rows * sizeof(uint16_t));
  inputs.upload(x, inputs.bytes());
  must(cudaDeviceSynchronize(), "upload");  // the session's stream does not wait for copies
  const Buffer workspace(workspace_bytes(w, inputs.as<>(), n));
  must(spinfer_spmm(&w.sparse().first, inputs.as<>(), n, outputs.as<>(), geometry,
                    workspace.as<>(), workspace.bytes(), flags, s.stream));
  must(cudaStreamSynchronize(s.stream), "spinfer_spmm");
  must(cudaMemcpy(y, outputs.as<>(), outputs.bytes(), cudaMemcpyDeviceToHost), "download");
}

void check_synthetic(const spinfer_synthetic& r) {
  const bool is_right = r.rows >= 1 && r.cols >= 1 && r.rows <= (1u << 24) && r.cols <= (1u << 24) &&
                        r.sparsity >= 0 && r.sparsity <= 1 &&
                        (r.value_dtype == SPINFER_F16 || r.value_dtype == SPINFER_BF16) &&
                        r.mask <= SPINFER_MASK_STRIPS && r.reserved == 0;
  if (is_right) return;
  must(fail(SPINFER_BAD_ARGUMENT,
            "spinfer_session_draw: %u x %u, sparsity %g, dtype %u, mask %u: expected sides up to "
            "2^24, a sparsity from 0 to 1, dtype 1 or 2, mask 0 to 4",
            r.rows, r.cols, r.sparsity, r.value_dtype, r.mask));
}

}  // namespace
}  // namespace spinfer

extern "C" spinfer_status spinfer_describe_gpu(spinfer_gpu* out) {
  using namespace spinfer;
  SPINFER_REQUIRE(out != nullptr, "spinfer_describe_gpu: out must not be null");
  return guarded([&] { describe_gpu(out); });
}

extern "C" spinfer_status spinfer_session_open(spinfer_session** out) {
  using namespace spinfer;
  SPINFER_REQUIRE(out != nullptr, "spinfer_session_open: out must not be null");
  return guarded([&] {
    must(spinfer_check_device());
    *out = new spinfer_session{};
  });
}

extern "C" void spinfer_session_close(spinfer_session* session) { delete session; }

extern "C" spinfer_status spinfer_session_draw(spinfer_session* session,
                                               const spinfer_synthetic* request,
                                               spinfer_weights* out) {
  using namespace spinfer;
  SPINFER_REQUIRE(session != nullptr && request != nullptr && out != nullptr,
                  "spinfer_session_draw: no pointer may be null");
  return guarded([&] {
    check_synthetic(*request);
    forget_weights(*session);
    session->weights.emplace(Weights::draw(*request, session->stream));
    *out = session->weights->facts();
  });
}

extern "C" spinfer_status spinfer_session_load(spinfer_session* session, const void* meta,
                                               uint64_t meta_bytes, const void* payload,
                                               uint64_t payload_bytes, spinfer_weights* out) {
  using namespace spinfer;
  SPINFER_REQUIRE(session != nullptr && out != nullptr,
                  "spinfer_session_load: no pointer may be null");
  return guarded([&] {
    forget_weights(*session);
    session->weights.emplace(
        Weights::load(meta, meta_bytes, payload, payload_bytes, session->stream));
    *out = session->weights->facts();
  });
}

extern "C" spinfer_status spinfer_session_multiply(spinfer_session* session, const uint16_t* x,
                                                   uint32_t n, uint16_t* y,
                                                   const spinfer_geometry* geometry,
                                                   uint32_t flags) {
  using namespace spinfer;
  SPINFER_REQUIRE(session != nullptr && x != nullptr && y != nullptr,
                  "spinfer_session_multiply: no pointer may be null");
  return guarded([&] { multiply(*session, x, n, y, geometry, flags); });
}

extern "C" spinfer_status spinfer_session_decode(spinfer_session* session, uint16_t* dense) {
  using namespace spinfer;
  SPINFER_REQUIRE(session != nullptr && dense != nullptr,
                  "spinfer_session_decode: no pointer may be null");
  return guarded([&] {
    const Weights& w = weights_of(*session);
    const Buffer out(w.facts().dense_bytes);
    must(cudaMemsetAsync(out.as<>(), 0xff, out.bytes(), session->stream), "poison");
    must(spinfer_decode(&w.sparse().first, out.as<>(), session->stream));
    must(cudaStreamSynchronize(session->stream), "spinfer_decode");
    must(cudaMemcpy(dense, out.as<>(), out.bytes(), cudaMemcpyDeviceToHost), "download");
  });
}

extern "C" spinfer_status spinfer_session_measure(spinfer_session* session, int32_t what,
                                                  uint32_t n, const spinfer_geometry* geometry,
                                                  uint32_t flags, double energy_seconds,
                                                  spinfer_measurement* out) {
  using namespace spinfer;
  SPINFER_REQUIRE(session != nullptr && out != nullptr,
                  "spinfer_session_measure: no pointer may be null");
  return guarded([&] { measure(*session, {what, n, geometry, flags, energy_seconds}, out); });
}
