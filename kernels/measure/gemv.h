// A dense matrix-vector product of our own: what a good dense kernel reaches at n = 1, whatever
// cuBLAS chooses.
#pragma once

#include "cublas.h"

namespace spinfer {

// Several ways to deal rows to warps; only for n = 1 and columns in whole 16 bytes (else none).
std::vector<Candidate> gemv_candidates(const DenseProblem& problem, cudaStream_t stream);

}  // namespace spinfer
