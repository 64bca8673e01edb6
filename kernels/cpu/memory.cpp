#include "memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace spinfer::cpu {
namespace {
constexpr size_t kAlignment = 64;
// Large buffers are read panel by panel: with large pages, few misses of the translation buffer.
constexpr size_t kLargePage = size_t{2} << 20;
}  // namespace

Buffer::~Buffer() { std::free(data_); }

void* Buffer::reserve(size_t bytes) {
  if (bytes <= bytes_) return data_;
  std::free(data_);
  data_ = nullptr;
  bytes_ = 0;
  const size_t alignment = bytes >= kLargePage ? kLargePage : kAlignment;
  const size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* data = nullptr;
  if (posix_memalign(&data, alignment, size) != 0) throw std::bad_alloc();
  if (alignment == kLargePage) madvise(data, size, MADV_HUGEPAGE);
  data_ = data;
  bytes_ = size;
  return data_;
}

}  // namespace spinfer::cpu
