// Device memory for tests and the benchmark: exact sizes, so that memcheck sees every stray byte.
#pragma once

#include <cuda_runtime.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "matrices.h"

namespace spinfer::test {

// A fault is not survivable: CUDA errors are sticky.
inline void must(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::printf("FATAL %s: %s: %s\n", what, cudaGetErrorName(error), cudaGetErrorString(error));
  std::exit(3);
}
inline void must(spinfer_status status, const char* what) {
  if (status == SPINFER_OK) return;
  std::printf("FATAL %s: status %d: %s\n", what, status, spinfer_last_error());
  std::exit(3);
}

class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) { must(cudaMalloc(&at_, bytes), "cudaMalloc"); }
  template <class T>
  explicit Buffer(const std::vector<T>& from) : Buffer(from.size() * sizeof(T)) {
    must(cudaMemcpy(at_, from.data(), bytes_, cudaMemcpyHostToDevice), "upload");
  }
  Buffer(Buffer&& other) noexcept : at_(std::exchange(other.at_, nullptr)), bytes_(other.bytes_) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { cudaFree(at_); }

  template <class T = void>
  T* as() const {
    return static_cast<T*>(at_);
  }
  size_t bytes() const { return bytes_; }
  void poison() const { must(cudaMemset(at_, 0xff, bytes_), "poison"); }
  template <class T>
  std::vector<T> download() const {
    std::vector<T> out(bytes_ / sizeof(T));
    must(cudaMemcpy(out.data(), at_, out.size() * sizeof(T), cudaMemcpyDeviceToHost), "download");
    return out;
  }

 private:
  void* at_ = nullptr;
  size_t bytes_;
};

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
