// Fewer values than a vector has, and vectors of float64.
#pragma once

#include "vector.h"

namespace spinfer::cpu::SPINFER_CPU_SET {

constexpr int kHalfWidth = kWidth / 2;

typedef double DoubleVec __attribute__((vector_size(kHalfWidth * sizeof(double))));
typedef double LooseDoubleVec
    __attribute__((vector_size(kHalfWidth * sizeof(double)), aligned(8), may_alias));
typedef float LooseHalfVec
    __attribute__((vector_size(kHalfWidth * sizeof(float)), aligned(4), may_alias));

// kHalfWidth values.
inline DoubleVec loadDoubles(const float* at) {
  return __builtin_convertvector(*reinterpret_cast<const LooseHalfVec*>(at), DoubleVec);
}

inline void addTo(double* at, DoubleVec value) {
  *reinterpret_cast<LooseDoubleVec*>(at) = *reinterpret_cast<const LooseDoubleVec*>(at) + value;
}

inline double total(DoubleVec values) {
  double sum = 0;
  for (int i = 0; i < kHalfWidth; i++) sum += values[i];
  return sum;
}

#ifdef __AVX512F__
inline __mmask16 firstLanes(int64_t count) {
  return count >= kWidth ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
}
// The first `count` < kWidth values; others are 0.
inline Vec loadFirst(const float* at, int64_t count) {
  return _mm512_maskz_loadu_ps(firstLanes(count), at);
}
inline void storeFirst(float* at, int64_t count, Vec value) {
  _mm512_mask_storeu_ps(at, firstLanes(count), value);
}
#else
inline __m256i firstLanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vec loadFirst(const float* at, int64_t count) {
  return _mm256_maskload_ps(at, firstLanes(count));
}
inline void storeFirst(float* at, int64_t count, Vec value) {
  _mm256_maskstore_ps(at, firstLanes(count), value);
}
#endif

}  // namespace spinfer::cpu::SPINFER_CPU_SET
