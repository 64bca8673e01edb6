// Every value is a hash of its place.
#include "masks.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "buffer.h"

namespace spinfer {
namespace {

__device__ uint64_t mix(uint64_t z) {
  z *= 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}
__device__ float uniform(uint64_t bits) { return (bits >> 40) * (1.0f / 16777216.0f); }
// Two uniforms -> one normal.
__device__ float normal(uint64_t bits) {
  const float radius = sqrtf(-2 * logf(fmaxf(uniform(bits), 1e-7f)));
  return radius * cospif(2 * uniform(bits << 24));
}

__device__ uint16_t half_bits(float value, uint8_t dtype) {
  if (dtype == SPINFER_BF16) return __bfloat16_as_ushort(__float2bfloat16_rn(value));
  return __half_as_ushort(__float2half_rn(value));
}

// The weight before pruning, never zero in 16 bits.
__device__ float weight_at(uint64_t seed, uint64_t place) {
  const float value = normal(mix(seed + place));
  return fabsf(value) < 1e-3f ? 1e-3f : value;
}
__device__ float column_norm(uint64_t seed, uint32_t col, float unevenness) {
  return expf(unevenness * normal(mix(seed ^ (0xC01ull << 40) ^ col)));
}

__global__ void fill_independent(uint16_t* dense, uint32_t rows, uint32_t cols, uint8_t mask,
                                 float sparsity, uint8_t dtype, uint64_t seed) {
  const uint64_t count = static_cast<uint64_t>(rows) * cols;
  uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i < count; i += static_cast<uint64_t>(gridDim.x) * blockDim.x) {
    const uint64_t row = i / cols, col = i % cols;
    bool keep = uniform(mix(seed + i + (1ull << 60))) >= sparsity;
    if (mask == SPINFER_MASK_STRIPS) keep = row / 32 % 2 == 0 && keep;
    if (mask == SPINFER_MASK_2_4) {  // one of the six pairs of four
      const uint32_t pair = static_cast<uint32_t>(mix(seed + i / 4 + (1ull << 61)) % 6);
      constexpr uint32_t kPairs[] = {3, 5, 9, 6, 10, 12};
      keep = kPairs[pair] >> (col % 4) & 1;
    }
    dense[i] = keep ? half_bits(weight_at(seed, i), dtype) : 0;
  }
}

// A warp a row: bisects the score below which the share of the row lies.
__global__ void fill_by_score(uint16_t* dense, uint32_t rows, uint32_t cols, float unevenness,
                              float sparsity, uint8_t dtype, uint64_t seed) {
  const uint64_t row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  const uint32_t lane = threadIdx.x % 32;
  if (row >= rows) return;
  const auto score = [&](uint32_t col) {
    return fabsf(weight_at(seed, row * cols + col)) * column_norm(seed, col, unevenness);
  };
  float low = 0, high = 1e6f;
  for (int step = 0; step < 48; ++step) {
    const float middle = step < 8 ? low + (high - low) / 16 : (low + high) / 2;
    uint32_t below = 0;
    for (uint32_t col = lane; col < cols; col += 32) below += score(col) < middle;
    below = __reduce_add_sync(~0u, below);
    (below <= sparsity * cols ? low : high) = middle;
  }
  for (uint32_t col = lane; col < cols; col += 32) {
    const uint64_t i = row * cols + col;
    dense[i] = score(col) >= low ? half_bits(weight_at(seed, i), dtype) : 0;
  }
}

__global__ void fill_uniform(uint16_t* x, size_t count, uint8_t dtype, uint64_t seed) {
  size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i < count; i += static_cast<size_t>(gridDim.x) * blockDim.x) {
    x[i] = half_bits(2 * uniform(mix(seed + i)) - 1, dtype);
  }
}

}  // namespace

void draw_weights(uint16_t* dense, const spinfer_synthetic& r, cudaStream_t stream) {
  const float sparsity = static_cast<float>(r.sparsity);
  if (r.mask == SPINFER_MASK_WANDA || r.mask == SPINFER_MASK_COLUMNS) {
    const float unevenness = r.mask == SPINFER_MASK_WANDA ? 0.5f : 4.0f;
    fill_by_score<<<(r.rows + 7) / 8, 256, 0, stream>>>(dense, r.rows, r.cols, unevenness, sparsity,
                                                        r.value_dtype, r.seed);
  } else {
    fill_independent<<<2048, 256, 0, stream>>>(dense, r.rows, r.cols, r.mask, sparsity,
                                               r.value_dtype, r.seed);
  }
  must(cudaGetLastError(), "draw_weights");
}

void draw_inputs(uint16_t* x, uint64_t count, uint8_t value_dtype, uint64_t seed,
                 cudaStream_t stream) {
  fill_uniform<<<1024, 256, 0, stream>>>(x, count, value_dtype, seed);
  must(cudaGetLastError(), "draw_inputs");
}

}  // namespace spinfer
