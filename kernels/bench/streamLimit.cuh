// The ceiling: the same bytes by the same copies into shared memory, read once, not decoded.
#pragma once

#include "timing.h"

namespace spinfer::bench {

// The fastest of a few geometries. payloads and offsets: `copies` copies of each.
struct StreamProblem {
  spinfer_matrix matrix;  // of the first copy
  size_t payload_stride, offsets_stride;
  int copies;
};
Timing stream_limit(const StreamProblem& problem, cudaStream_t stream);

}  // namespace spinfer::bench
