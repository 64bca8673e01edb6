// Device memory that frees itself, and refusals as exceptions: the ABI's functions catch them.
#pragma once

#include <cuda_runtime_api.h>

#include <string>
#include <utility>
#include <vector>

#include "../src/device.h"

namespace spinfer {

struct Failure {
  spinfer_status status;
  std::string message;
};

inline void must(spinfer_status status) {
  if (status != SPINFER_OK) throw Failure{status, spinfer_last_error()};
}
inline void must(spinfer_status status, const char*) { must(status); }  // it names itself
inline void must(cudaError_t error, const char* what) { must(check_cuda(what, error)); }

class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    const cudaError_t error = cudaMalloc(&at_, bytes);
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      size_t free_bytes = 0, all_bytes = 0;
      cudaMemGetInfo(&free_bytes, &all_bytes);
      must(fail(SPINFER_MEMORY, "%zu bytes of device memory needed, %zu of %zu are free", bytes,
                free_bytes, all_bytes));
    }
    must(error, "cudaMalloc");
  }
  template <class T>
  explicit Buffer(const std::vector<T>& from) : Buffer(from.size() * sizeof(T)) {
    upload(from.data(), bytes_);
  }
  Buffer(Buffer&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  ~Buffer() { cudaFree(at_); }

  template <class T = void>
  T* as() const {
    return static_cast<T*>(at_);
  }
  size_t bytes() const { return bytes_; }
  void poison() const { must(cudaMemset(at_, 0xff, bytes_), "cudaMemset"); }
  void upload(const void* from, size_t bytes) const {
    must(cudaMemcpy(at_, from, bytes, cudaMemcpyHostToDevice), "upload");
  }
  template <class T>
  std::vector<T> download() const {
    std::vector<T> out(bytes_ / sizeof(T));
    must(cudaMemcpy(out.data(), at_, out.size() * sizeof(T), cudaMemcpyDeviceToHost), "download");
    return out;
  }

 private:
  void* at_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace spinfer
