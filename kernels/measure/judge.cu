#include "judge.h"

#include "denseReference.cuh"

namespace spinfer {
namespace {

__global__ void find_worst(const uint16_t* y, const double* sums, const double* sizes,
                           uint64_t count, uint32_t cols, uint8_t value_dtype,
                           unsigned long long* worst) {
  uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const bool is_bf16 = value_dtype == SPINFER_BF16;
  const HalfFormat format = is_bf16 ? HalfFormat{7, 8} : HalfFormat{10, 5};
  double own = 0;
  for (; i < count; i += static_cast<uint64_t>(gridDim.x) * blockDim.x) {
    const double found = is_bf16 ? widen<true>(y[i]) : widen<false>(y[i]);
    const double error = fabs(found - sums[i]) / error_bound(sums[i], sizes[i], cols, format);
    own = error <= own ? own : isnan(error) ? INFINITY : error;
  }
  atomicMax(worst, __double_as_longlong(own));  // positive doubles order as integers
}

}  // namespace

Judge::Judge(const uint16_t* dense, const uint16_t* x, uint32_t rows, uint32_t cols, uint32_t n,
             uint8_t value_dtype)
    : count_(static_cast<uint64_t>(n) * rows),
      cols_(cols),
      value_dtype_(value_dtype),
      sums_(count_ * sizeof(double)),
      sizes_(count_ * sizeof(double)),
      worst_(sizeof(double)) {
  const auto kernel = value_dtype == SPINFER_BF16 ? dense_product<true> : dense_product<false>;
  kernel<<<dim3((rows + 7) / 8, n < 4096 ? n : 4096), 256>>>(
      dense, x, sums_.as<double>(), sizes_.as<double>(), rows, cols, n);
  must(cudaGetLastError(), "dense_product");
  must(cudaDeviceSynchronize(), "dense_product");
}

double Judge::largest_error(const uint16_t* y) const {
  must(cudaMemset(worst_.as<>(), 0, worst_.bytes()), "cudaMemset");
  find_worst<<<256, 256>>>(y, sums_.as<double>(), sizes_.as<double>(), count_, cols_, value_dtype_,
                           worst_.as<unsigned long long>());
  must(cudaGetLastError(), "find_worst");
  return worst_.download<double>()[0];
}

}  // namespace spinfer
