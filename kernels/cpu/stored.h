// Values as weights are stored, read as float32.
#pragma once

#include "vectorParts.h"

namespace spinfer::cpu::SPINFER_CPU_SET {

struct F16 {
  uint16_t bits;
};
struct Bf16 {
  uint16_t bits;
};

inline Vec load(const F16* at) {
#ifdef __AVX512F__
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
#else
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
#endif
}

inline Vec load(const Bf16* at) {
#ifdef __AVX512F__
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
#else
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  return (Vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
#endif
}

// The first `count` < kWidth values; others are 0.
template <typename Half>
inline Vec loadFirst(const Half* at, int64_t count) {
  Half values[kWidth] = {};
  for (int64_t i = 0; i < count; i++) values[i] = at[i];
  return load(values);
}

// As many of `count` values as a vector has room for, which may be none; others are 0.
template <typename Value>
inline Vec loadUpTo(const Value* at, int64_t count) {
  if (count >= kWidth) return load(at);
  return count <= 0 ? Vec{} : loadFirst(at, count);
}

inline void storeUpTo(float* at, int64_t count, Vec value) {
  if (count >= kWidth)
    store(at, value);
  else
    storeFirst(at, count, value);
}

}  // namespace spinfer::cpu::SPINFER_CPU_SET
