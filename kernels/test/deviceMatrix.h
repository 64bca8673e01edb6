// Containers in device memory of exactly their size, so that memcheck sees every stray byte.
#pragma once

#include "../measure/buffer.h"
#include "matrices.h"

namespace spinfer::test {

// A validated container, uploaded.
struct DeviceMatrix {
  Buffer payload, offsets;
  spinfer_matrix view;

  DeviceMatrix(const Container& container, const spinfer_meta& meta)
      : payload(container.payload),
        offsets(std::vector<uint32_t>(container.offsets(), container.offsets() + meta.chunks + 1)),
        view{payload.as<>(),       offsets.as<uint32_t>(), meta.rows,        meta.cols,
             meta.max_chunk_bytes, meta.value_dtype,       meta.value_order, 0} {}
};

}  // namespace spinfer::test
