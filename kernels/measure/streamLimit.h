// The ceiling: the same bytes by the same copies into shared memory, read once, not decoded.
#pragma once

#include <vector>

#include "timing.h"

namespace spinfer {

// Copies of a matrix: payloads and offsets, each `stride` bytes after the one before.
struct MatrixCopies {
  spinfer_matrix first;
  size_t payload_stride, offsets_stride;
  int count;

  spinfer_matrix operator[](int copy) const {
    spinfer_matrix matrix = first;
    matrix.payload = static_cast<const uint8_t*>(first.payload) + copy * payload_stride;
    matrix.offsets = first.offsets + copy * offsets_stride / sizeof(uint32_t);
    return matrix;
  }
};

// A few geometries, the fastest of which is the limit. sink: one word of device memory.
std::vector<Candidate> stream_candidates(const MatrixCopies& matrix, uint32_t* sink,
                                         cudaStream_t stream);

}  // namespace spinfer
