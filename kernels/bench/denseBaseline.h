// The dense product to beat: cuBLASLt's heuristics and cublasGemmEx, opened at run time.
#pragma once

#include <string>

#include "timing.h"

namespace spinfer::bench {

// One dense product: y[n, rows] = x[n, cols] W^T.
struct DenseProblem {
  uint32_t rows, cols, n;
  uint8_t dtype;
  const void* weights;  // `copies` of them, each `copy_bytes` long
  size_t copy_bytes;
  int copies;
  const void* x;
  void* y;
};

struct DenseResult {
  Timing lt;    // the best of cuBLASLt's heuristics
  Timing gemm;  // cublasGemmEx, its own choice
  int heuristics = 0;
  std::string note;
  double best_us() const { return gemm.us > 0 && gemm.us < lt.us ? gemm.us : lt.us; }
};

class DenseBaseline {
 public:
  DenseBaseline();
  // Runs and times every candidate; `is_right` judges y after a first run on a poisoned y.
  DenseResult measure(const DenseProblem& problem, cudaStream_t stream,
                      const std::function<bool()>& is_right);

 private:
  Buffer workspace_;
  void* lt_ = nullptr;
  void* gemm_ = nullptr;
};

}  // namespace spinfer::bench
