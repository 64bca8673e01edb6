// 2:4 sparsity through cuSPARSELt, opened at run time: what hardware sparsity gives on the shape.
#pragma once

#include <memory>

#include "cublas.h"

namespace spinfer {

// Of every four neighbours in a row of dense [rows, cols] the two largest magnitudes stay.
void cut_to_two_of_four(const uint16_t* dense, uint16_t* out, uint32_t rows, uint32_t cols,
                        cudaStream_t stream);

// Throws Failure SPINFER_MISSING without cuSPARSELt, SPINFER_UNSUPPORTED where it refuses the shape
// (it wants rows and columns in multiples of 16, n of 8).
class TwoFour {
 public:
  // problem.weights: already two of four, one copy; n a multiple of 8.
  TwoFour(const DenseProblem& problem, cudaStream_t stream);
  ~TwoFour();
  Candidate candidate() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace spinfer
