// The product in float64 from the dense matrix, on the device: what every kernel is compared with.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "../src/half.h"

namespace spinfer {

template <bool kIsBf16>
__device__ double widen(uint16_t bits) {
  if constexpr (kIsBf16) return static_cast<double>(__bfloat162float(__ushort_as_bfloat16(bits)));
  return static_cast<double>(__half2float(__ushort_as_half(bits)));
}

// One warp a row, tokens along y: sum and sum of absolute products.
template <bool kIsBf16>
__global__ void dense_product(const uint16_t* w, const uint16_t* x, double* sums, double* sizes,
                              uint32_t rows, uint32_t cols, uint32_t n) {
  const uint32_t row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  for (uint32_t token = blockIdx.y; token < n; token += gridDim.y) {
    double sum = 0, size = 0;
    for (uint32_t col = lane; col < cols; col += 32) {
      const double product = widen<kIsBf16>(w[static_cast<size_t>(row) * cols + col]) *
                             widen<kIsBf16>(x[static_cast<size_t>(token) * cols + col]);
      sum += product;
      size += fabs(product);
    }
    for (int step = 16; step > 0; step /= 2) {
      sum += __shfl_xor_sync(~0u, sum, step);
      size += __shfl_xor_sync(~0u, size, step);
    }
    if (lane == 0) {
      sums[static_cast<size_t>(token) * rows + row] = sum;
      sizes[static_cast<size_t>(token) * rows + row] = size;
    }
  }
}

// Largest error that is not a fault: the rounding of the output, half a step of the smallest
// subnormal, and fp32 sums: at most one rounding an mma of the longest warp's chain (four a chunk,
// chunks over at least four warps) and one a partial sum, each of 2^-23 (tensor cores truncate).
__host__ __device__ inline double error_bound(double sum, double size, uint32_t cols,
                                              HalfFormat format) {
  const double steps = 4.0 * ((cols + 255) / 256) + 64;
  const int smallest = 1 - ((1 << (format.exponent_bits - 1)) - 1) - format.mantissa_bits;
  return ldexp(fabs(sum), -format.mantissa_bits - 1) + ldexp(1.0, smallest - 1) +
         steps * ldexp(size, -23);
}

}  // namespace spinfer
