// Memory in which a touch of what lies around it shows.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "check.h"

namespace spinfer::test {

// Values at an address that is aligned for one of them and no more. The byte after the last one may
// not be read: it is in a page of its own, since no sanitizer sees masked loads and tiles; or, with
// the address sanitizer, just past the end of what malloc gave. Bytes before the first are compared
// with what they were.
template <typename Value>
class Guarded {
 public:
  explicit Guarded(const std::vector<Value>& values) : count_(values.size()) {
    const size_t bytes = count_ * sizeof(Value);
#ifdef __SANITIZE_ADDRESS__
    before_ = sizeof(Value);
    area_ = static_cast<char*>(std::malloc(before_ + bytes));
#else
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t whole = (bytes + page) / page * page;
    mapped_ = whole + page;
    before_ = whole - bytes;
    void* const area =
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    area_ = area == MAP_FAILED ? nullptr : static_cast<char*>(area);
    if (area_ != nullptr && mprotect(area_ + whole, page, PROT_NONE) != 0) std::abort();
#endif
    if (area_ == nullptr) std::abort();
    std::memset(area_, kMark, before_);
    if (bytes != 0) std::memcpy(area_ + before_, values.data(), bytes);
  }
  ~Guarded() {
    size_t changed = 0;
    for (size_t i = 0; i < before_; ++i) changed += area_[i] != kMark;
    if (changed != 0) check(false, "%zu bytes before a buffer were written", changed);
#ifdef __SANITIZE_ADDRESS__
    std::free(area_);
#else
    munmap(area_, mapped_);
#endif
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  Value* data() const { return reinterpret_cast<Value*>(area_ + before_); }
  std::vector<Value> values() const { return std::vector<Value>(data(), data() + count_); }

 private:
  static constexpr char kMark = 0x5a;
  char* area_;
  size_t before_, count_, mapped_ = 0;
};

}  // namespace spinfer::test
