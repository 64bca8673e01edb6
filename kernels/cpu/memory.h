// Memory at addresses that vectors and tiles are loaded from.
#pragma once

#include <cstddef>

namespace spinfer::cpu {

class Buffer {
 public:
  Buffer() = default;
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // At least `bytes`; what was there is lost when it grows. Throws std::bad_alloc.
  void* reserve(size_t bytes);
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace spinfer::cpu
