// The few words a native test needs: cases with names, checks that print what they found.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>

namespace spinfer::test {

struct Score {
  int checks = 0;
  int failures = 0;
};
inline Score& score() {
  static Score all;
  return all;
}

// Counts a check; prints the sentence when it fails. Returns whether it held.
__attribute__((format(printf, 2, 3))) inline bool check(bool holds, const char* format, ...) {
  constexpr int kMostPrinted = 40;
  ++score().checks;
  if (holds) return true;
  if (++score().failures <= kMostPrinted) {
    va_list arguments;
    va_start(arguments, format);
    std::printf("FAIL ");
    std::vprintf(format, arguments);
    std::printf("\n");
    va_end(arguments);
  }
  return false;
}

// The closing line, and the exit status.
inline int report(const char* program) {
  std::printf("%s: %d checks, %d failures\n", program, score().checks, score().failures);
  return score().failures == 0 ? 0 : 1;
}

// splitmix64: the same numbers everywhere, from a seed that a failing case prints.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    state_ += 0x9E3779B97F4A7C15ull;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(next() % limit); }
  double unit() { return static_cast<double>(next() >> 11) / 9007199254740992.0; }

 private:
  uint64_t state_;
};

}  // namespace spinfer::test
