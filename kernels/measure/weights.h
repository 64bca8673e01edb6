// One weight matrix, dense and as a container, each in enough copies to stay out of the cache.
#pragma once

#include "streamLimit.h"

namespace spinfer {

class Weights {
 public:
  // Drawn on the device, then encoded there.
  static Weights draw(const spinfer_synthetic& request, cudaStream_t stream);
  // A container from the host, validated, then decoded on the device.
  static Weights load(const void* meta, uint64_t meta_bytes, const void* payload,
                      uint64_t payload_bytes, cudaStream_t stream);

  spinfer_weights facts() const { return facts_; }
  const MatrixCopies& sparse() const { return sparse_; }
  const uint16_t* dense() const { return dense_.as<uint16_t>(); }
  size_t dense_stride() const { return dense_stride_; }
  int dense_copies() const { return dense_copies_; }
  uint8_t value_dtype() const { return sparse_.first.value_dtype; }

 private:
  Weights(uint32_t rows, uint32_t cols);
  void place_container(size_t payload_bytes, uint32_t max_chunk_bytes, uint8_t value_dtype);
  void replicate(cudaStream_t stream);

  spinfer_weights facts_{};
  size_t dense_stride_;
  int dense_copies_;
  Buffer dense_, payload_{0}, offsets_{0};
  MatrixCopies sparse_{};
};

}  // namespace spinfer
