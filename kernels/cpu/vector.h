// Vectors of float32 as wide as the instruction set that a file is compiled for. Files that include
// this are compiled once for each, with SPINFER_CPU_SET naming its namespace.
#pragma once

#include <immintrin.h>

#include <cstdint>

#ifndef SPINFER_CPU_SET
#error "compile with -DSPINFER_CPU_SET=avx2, avx512 or amx"
#endif

// g++ and clang++ call it differently.
#if defined(__AMX_BF16__) || defined(__AMXBF16__)
#define SPINFER_CPU_TILES
#endif

namespace spinfer::cpu::SPINFER_CPU_SET {

#ifdef __AVX512F__
constexpr int kWidth = 16;
#else
constexpr int kWidth = 8;
#endif

typedef float Vec __attribute__((vector_size(kWidth * sizeof(float))));
typedef int32_t IntVec __attribute__((vector_size(kWidth * sizeof(int32_t))));
// The same at any address.
typedef float LooseVec __attribute__((vector_size(kWidth * sizeof(float)), aligned(4), may_alias));

inline Vec load(const float* at) { return *reinterpret_cast<const LooseVec*>(at); }
inline void store(float* at, Vec value) { *reinterpret_cast<LooseVec*>(at) = value; }
inline Vec splat(float value) {
#ifdef __AVX512F__
  return (Vec)_mm512_set1_ps(value);
#else
  return (Vec)_mm256_set1_ps(value);
#endif
}

// A block of a matrix whose rows are `stride` values apart.
template <typename Value>
struct Place {
  Value* at;
  int64_t stride;
};

constexpr int64_t divideUp(int64_t value, int64_t by) { return (value + by - 1) / by; }
constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// Whether any lane of a comparison is true.
inline bool anyLane(IntVec mask) {
#ifdef __AVX512F__
  return _mm512_movepi32_mask((__m512i)mask) != 0;
#else
  return _mm256_movemask_ps((__m256)mask) != 0;
#endif
}

}  // namespace spinfer::cpu::SPINFER_CPU_SET
