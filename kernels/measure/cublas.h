// The dense products to beat: cuBLASLt's heuristics and cublasGemmEx, opened at run time.
#pragma once

#include "timing.h"

namespace spinfer {

// y[n, rows] = x[n, cols] W^T of dense weights, in copies `stride` bytes apart.
struct DenseProblem {
  uint32_t rows, cols, n;
  uint8_t value_dtype;
  const void* weights;
  size_t stride;
  int copies;
  const void* x;
  void* y;

  const void* copy(int index) const {
    return static_cast<const uint8_t*>(weights) + index * stride;
  }
  double expected_us() const { return static_cast<double>(rows) * cols * 2 / 2.6e6; }
};

// Throws Failure SPINFER_MISSING without cuBLAS.
class Cublas {
 public:
  explicit Cublas(cudaStream_t stream);
  Cublas(const Cublas&) = delete;
  ~Cublas();
  // Every heuristic that three workspace limits (64 MiB, 4 MiB, none) give, without repetition.
  std::vector<Candidate> lt_candidates(const DenseProblem& problem);
  Candidate gemm_candidate(const DenseProblem& problem);

 private:
  Buffer workspace_;
  cudaStream_t stream_;
  void* lt_ = nullptr;
  void* gemm_ = nullptr;
};

}  // namespace spinfer
