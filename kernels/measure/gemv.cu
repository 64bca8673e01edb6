// Warp a group of rows; 16-byte loads of W past the L1 cache, x through it; fp32 sums.
#include "gemv.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace spinfer {
namespace {

constexpr uint32_t kThreads = 128, kValues = 8;  // of a thread at once

template <bool kIsBf16>
__device__ float2 widen(uint32_t pair) {
  if constexpr (kIsBf16) {
    return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
  } else {
    return __half22float2(*reinterpret_cast<const __half2*>(&pair));
  }
}

template <bool kIsBf16>
__device__ float dot(const uint4& a, const uint4& b) {
  const uint32_t left[] = {a.x, a.y, a.z, a.w}, right[] = {b.x, b.y, b.z, b.w};
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 l = widen<kIsBf16>(left[i]), r = widen<kIsBf16>(right[i]);
    sum = fmaf(l.x, r.x, fmaf(l.y, r.y, sum));
  }
  return sum;
}

template <bool kIsBf16, int kRows, int kUnroll>
__global__ void __launch_bounds__(kThreads)
    dense_gemv(const uint16_t* __restrict__ w, const uint16_t* __restrict__ x,
               uint16_t* __restrict__ y, uint32_t rows, uint32_t cols) {
  const uint32_t warp = (blockIdx.x * kThreads + threadIdx.x) / 32, lane = threadIdx.x % 32;
  const uint32_t first = warp * kRows, steps = cols / kValues;
  if (first >= rows) return;
  const uint4* inputs = reinterpret_cast<const uint4*>(x);
  const uint4* weights[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    weights[r] = reinterpret_cast<const uint4*>(
        w + static_cast<size_t>(min(first + r, rows - 1)) * cols);
  }
  float sums[kRows] = {};
  uint32_t i = lane;
  for (; i + 32 * (kUnroll - 1) < steps; i += 32 * kUnroll) {
    uint4 loaded[kRows][kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) loaded[r][u] = __ldcs(weights[r] + i + 32 * u);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const uint4 in = __ldg(inputs + i + 32 * u);
#pragma unroll
      for (int r = 0; r < kRows; ++r) sums[r] += dot<kIsBf16>(loaded[r][u], in);
    }
  }
  for (; i < steps; i += 32) {
    const uint4 in = __ldg(inputs + i);
#pragma unroll
    for (int r = 0; r < kRows; ++r) sums[r] += dot<kIsBf16>(__ldcs(weights[r] + i), in);
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    for (int step = 16; step > 0; step /= 2) sums[r] += __shfl_xor_sync(~0u, sums[r], step);
    if (lane == 0 && first + r < rows) {
      y[first + r] = kIsBf16 ? __bfloat16_as_ushort(__float2bfloat16_rn(sums[r]))
                             : __half_as_ushort(__float2half_rn(sums[r]));
    }
  }
}

template <int kRows, int kUnroll>
Candidate candidate(const DenseProblem& p, cudaStream_t stream) {
  const auto kernel = p.value_dtype == SPINFER_BF16 ? dense_gemv<true, kRows, kUnroll>
                                                    : dense_gemv<false, kRows, kUnroll>;
  constexpr uint32_t kRowsOfBlock = kThreads / 32 * kRows;
  const auto call = [p, stream, kernel](int copy) {
    kernel<<<(p.rows + kRowsOfBlock - 1) / kRowsOfBlock, kThreads, 0, stream>>>(
        static_cast<const uint16_t*>(p.copy(copy)), static_cast<const uint16_t*>(p.x),
        static_cast<uint16_t*>(p.y), p.rows, p.cols);
    must(cudaGetLastError(), "dense_gemv");
    return true;
  };
  return {call, p.copies, p.expected_us()};
}

}  // namespace

std::vector<Candidate> gemv_candidates(const DenseProblem& p, cudaStream_t stream) {
  if (p.n != 1 || p.cols % kValues != 0) return {};
  return {candidate<1, 4>(p, stream), candidate<1, 8>(p, stream), candidate<2, 4>(p, stream),
          candidate<4, 2>(p, stream), candidate<4, 4>(p, stream)};
}

}  // namespace spinfer
