// Y = X W^T for a tile-bitmap W, up to 8 kTiles tokens a block.
//
// W      rows x cols, 16-bit nonzeros in 32 x 64 chunks; layout in formats/tile-bitmap/SPEC.md
// X, Y   n x cols and n x rows, row-major; rows of X are padded to whole chunks, 16-byte aligned
// Grid   (strip, token group, rank): kCluster blocks share a strip; all their warps split its
//        chunks
//
//          strip of 32 rows     | chunk 0 | chunk 1 | chunk 2 | chunk 3 | ...    64 columns each
//          round robin              w0        w1        w2        w3       w0 ..
//          contiguous               w0        w0        w0        w1       w1 ..
//        (turned, where the launcher says so: a strip starts at a column of its own)
//
// Warp   copies run kStages chunks ahead; per chunk two blocks of 16 x 64: bitmap word -> addresses
//        (scan.cuh) -> A fragments of four mma.m16n8k16 from shared memory. k is permuted so that
//        lane (g, t) multiplies columns 16t .. 16t+15: its B fragments are 32 bytes of X, and they
//        serve both blocks. X comes from global memory by 16 bytes, or with the chunk
//        (kBulkInputs).
// Sums   fp32 in registers, then over the warps in shared memory, then over the cluster by remote
//        stores; always in the same order: results are bitwise repeatable. No atomics.
// Bound  memory for N <= 8: 16 (1 - s) + 1 bits a weight; then the latency of the decode chain
//        with 16 warps an SM, and the reads of X through L2: every strip reads all of it
#pragma once

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "geometry.h"
#include "layout.h"
#include "ptx.cuh"
#include "rings.cuh"
#include "scan.cuh"

namespace spinfer {

struct SpmmArgs {
  const uint8_t* payload;
  const uint32_t* offsets;
  const uint16_t* x;
  uint16_t* y;
  int64_t x_stride;  // values from a row of X to the next
  uint32_t rows, chunks_per_strip, n;
  uint32_t token_groups;  // of 8 kTiles tokens
  uint32_t stage_bytes;   // of a place in the ring: the longest chunk, rounded up
  uint32_t round_robin;
  uint32_t turn;  // 0, or an odd number that scatters the columns where strips start
  uint32_t zero;  // 0; see ScanLane
};

// Shared memory of a block: barriers, what the cluster sends, inputs if copied, then the ring. The
// partial sums reuse the ring when all chunks are done, and must never reach the barriers.
constexpr uint32_t kBarrierBytes = 1024;
constexpr uint32_t kGatherBarrier = kBarrierBytes - 8;
// One warp's sums: two blocks of 16 rows x 8 tokens x kTiles, fp32.
constexpr uint32_t sum_bytes(int tiles) { return 2 * 16 * 8 * 4 * tiles; }
constexpr uint32_t gather_bytes(int tiles, int cluster) {
  return cluster > 1 ? sum_bytes(tiles) : 0;
}
constexpr uint32_t input_bytes(int tiles, int warps, int stages, int copies) {
  return copies == kBulkInputs ? warps * stages * tiles * 8 * kChunkCols * 2 : 0;
}
constexpr uint32_t ring_at(int tiles, int warps, int stages, int cluster, int copies) {
  return kBarrierBytes + gather_bytes(tiles, cluster) + input_bytes(tiles, warps, stages, copies);
}
constexpr uint32_t spmm_shared_bytes(int tiles, int warps, int stages, int cluster, int copies,
                                     uint32_t stage_bytes) {
  const uint32_t ring = warps * stages * stage_bytes, sums = warps * sum_bytes(tiles);
  return ring_at(tiles, warps, stages, cluster, copies) + (ring > sums ? ring : sums);
}

template <bool kIsBf16>
__device__ __forceinline__ uint16_t to_half_bits(float value) {
  if constexpr (kIsBf16) return __bfloat16_as_ushort(__float2bfloat16_rn(value));
  return __half_as_ushort(__float2half_rn(value));
}

// Two registers of an A fragment: nibble kPlane of the lane's word, rows g and g + 8.
template <int kPlane>
__device__ __forceinline__ void load_nibble(uint32_t& top, uint32_t& bottom, uint32_t word,
                                            const ScanResult& at, uint32_t values) {
  const uint32_t start = ScanResult::pick<kPlane>(at.start) + values;
  const uint32_t middle = ScanResult::pick<kPlane>(at.middle) + values;
  const uint32_t end = ScanResult::pick<kPlane>(at.end) + values;
  uint32_t v0 = 0, v1 = 0, v2 = 0, v3 = 0;
  ptx::load_shared_half_if<1u << (4 * kPlane), 0>(v0, word, start);
  ptx::load_shared_half_if<2u << (4 * kPlane), -2>(v1, word, middle);
  ptx::load_shared_half_if<4u << (4 * kPlane), 0>(v2, word, middle);
  ptx::load_shared_half_if<8u << (4 * kPlane), -2>(v3, word, end);
  top = __byte_perm(v0, v1, 0x5410);
  bottom = __byte_perm(v2, v3, 0x5410);
}

template <bool kIsBf16, int kTiles, int kStep>
__device__ __forceinline__ void multiply_step(float (&sums)[kTiles][4], uint32_t word,
                                              const ScanResult& at, uint32_t values,
                                              const uint4 (&x)[kTiles][2]) {
  uint32_t a[4];
  load_nibble<2 * kStep>(a[0], a[1], word, at, values);
  load_nibble<2 * kStep + 1>(a[2], a[3], word, at, values);
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const uint4 b = x[tile][kStep >> 1];
    ptx::mma_half<kIsBf16>(sums[tile], a, kStep & 1 ? b.z : b.x, kStep & 1 ? b.w : b.y);
  }
}

// sums += block times x. `values`: shared address of the block's first value.
template <bool kIsBf16, int kTiles>
__device__ __forceinline__ void multiply_block(float (&sums)[kTiles][4], uint32_t word,
                                               uint32_t values, const ScanLane& k,
                                               const uint4 (&x)[kTiles][2]) {
  const ScanResult at = scan_block(word, k);
  multiply_step<kIsBf16, kTiles, 0>(sums, word, at, values, x);
  multiply_step<kIsBf16, kTiles, 1>(sums, word, at, values, x);
  multiply_step<kIsBf16, kTiles, 2>(sums, word, at, values, x);
  multiply_step<kIsBf16, kTiles, 3>(sums, word, at, values, x);
}

// Writes sum `i` of a strip, numbered block, tile, lane, register of the accumulator fragment.
template <bool kIsBf16, int kTiles>
__device__ __forceinline__ void write_sum(const SpmmArgs& a, uint32_t strip, uint32_t first_token,
                                          uint32_t i, float sum) {
  const uint32_t part = i & 3, lane = (i >> 2) & 31, tile = (i >> 7) % kTiles;
  const uint32_t block = (i >> 7) / kTiles;
  const uint32_t row = strip * kChunkRows + block * kBlockRows + (lane >> 2) + 4 * (part & 2);
  const uint32_t token = first_token + 8 * tile + 2 * (lane & 3) + (part & 1);
  if (row < a.rows && token < a.n) {
    a.y[static_cast<size_t>(token) * a.rows + row] = to_half_bits<kIsBf16>(sum);
  }
}

// With a.turn, strips start at different columns: multiprocessors that march in step would ask the
// memory for addresses at equal distances.
__device__ __forceinline__ ChunkRun run_of(const SpmmArgs& a, uint32_t strip, uint32_t worker,
                                           uint32_t workers) {
  const uint32_t chunks = a.chunks_per_strip;
  ChunkRun run;
  run.turn = __umulhi(strip * a.turn, chunks);
  run.chunks = chunks;
  if (a.round_robin) {
    run.first = min(worker, chunks - 1);
    run.step = workers;
    run.count = worker < chunks ? static_cast<int>((chunks - worker + workers - 1) / workers) : 0;
  } else {
    run.first = chunks * worker / workers;
    run.step = 1;
    run.count = static_cast<int>(chunks * (worker + 1) / workers - run.first);
  }
  return run;
}

template <bool kIsBf16, int kTiles, int kWarps, int kStages, int kCluster, int kCopies, class Ring>
__device__ __forceinline__ void spmm_strip(const SpmmArgs& a, const void* input_map) {
  extern __shared__ __align__(1024) uint8_t shared[];
  constexpr uint32_t kThreads = kWarps * kLanes;
  constexpr uint32_t kSums = sum_bytes(kTiles) / 4;
  constexpr uint32_t kInputsAt = kBarrierBytes + gather_bytes(kTiles, kCluster);
  constexpr uint32_t kRingAt = ring_at(kTiles, kWarps, kStages, kCluster, kCopies);
  constexpr bool kCopiesInputs = kCopies == kBulkInputs;
  // A copy into the place just decoded starts when the next chunk has come, not before: two chunks
  // a warp under way are more than the memory's latency asks for, and it serves them less evenly.
  // (Not where inputs are copied too: there the decode is the limit, and waiting costs 4 %.)
  constexpr bool kRefillsLate = kCopies == kBulkCopies;
  static_assert(kStages >= 2, "the last chunk's copy starts when the one before it has come");
  const uint32_t warp = __shfl_sync(~0u, threadIdx.x / kLanes, 0);
  uint32_t lane = threadIdx.x % kLanes;
  const uint32_t g = lane >> 2, t = lane & 3;
  const uint32_t rank = kCluster > 1 ? blockIdx.x % kCluster : 0;
  const uint32_t job = blockIdx.x / kCluster;
  const uint32_t strip = a.token_groups == 1 ? job : job / a.token_groups;
  const uint32_t first_token = (job - strip * a.token_groups) * (8 * kTiles);
  const uint32_t base = ptx::shared_address(shared);

  const ChunkRun run = run_of(a, strip, rank * kWarps + warp, kWarps * kCluster);
  Ring ring(a.payload, a.offsets + static_cast<size_t>(strip) * a.chunks_per_strip, run,
            base + kRingAt + warp * kStages * a.stage_bytes, base + warp * kStages * 8,
            a.stage_bytes, lane);
  if constexpr (kCluster > 1) {
    if (threadIdx.x == 0) {
      ptx::barrier_init(base + kGatherBarrier, 1);
      ptx::barrier_init_fence();
      ptx::barrier_expect(base + kGatherBarrier, kSums * 4);
    }
    __syncwarp();
    ptx::cluster_arrive();  // waited for only when the sums are sent
  }

  // Read from global memory a lane follows its 32 bytes of each tile from chunk to chunk; copied,
  // they are two pieces of a swizzled row.
  uint32_t column = run.column(0);
  const uint16_t* x[kTiles];
  if constexpr (!kCopiesInputs) {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const uint32_t token = min(first_token + 8 * tile + g, a.n - 1);
      x[tile] = a.x + token * a.x_stride + 16 * t + static_cast<size_t>(column) * kChunkCols;
      asm volatile("" : "+l"(x[tile]));
    }
  }
  uint32_t piece = g * 128 + ((2 * t) ^ g) * 16;
  asm volatile("" : "+r"(piece));
  const ScanLane k(lane, a.zero);
  asm volatile("" : "+r"(lane));
  float sums[2][kTiles][4] = {};

  ptx::launch_dependents();
  ptx::wait_for_previous_kernel();  // the weights above never change; x may just have been written

  uint4 inputs[kTiles][2];
  const auto load_inputs = [&] {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const uint4* from = reinterpret_cast<const uint4*>(x[tile]);
      inputs[tile][0] = from[0];
      inputs[tile][1] = from[1];
    }
  };
  if constexpr (kCopiesInputs) {
    ring.start_inputs(input_map, first_token,
                      base + kInputsAt + warp * kStages * Ring::kInputBytes);
  } else {
    load_inputs();
  }
  for (int i = 0; i < run.count; ++i) {
    if (!kCopiesInputs && i + 1 < run.count) {
      int32_t step = static_cast<int32_t>(run.step);
      if (column + run.step >= run.chunks) step -= static_cast<int32_t>(run.chunks);
      column += step;
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) x[tile] += step * static_cast<int32_t>(kChunkCols);
    }
    const uint32_t chunk = ring.wait();
    if constexpr (kCopiesInputs) {
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        inputs[tile][0] = ptx::load_shared_16(ring.inputs() + tile * 1024 + piece);
        inputs[tile][1] = ptx::load_shared_16(ring.inputs() + tile * 1024 + (piece ^ 16));
      }
    }
    const uint32_t word0 = ptx::load_shared(chunk + 4 * lane);
    const uint32_t word1 = ptx::load_shared(chunk + 4 * lane + kBlockBitmapBytes);
    const uint32_t values = chunk + kChunkBitmapBytes;
    if (kRefillsLate && i > 0) ring.refill(i - 1);
    const uint32_t bytes0 = 2 * count_values(word0);
    multiply_block<kIsBf16, kTiles>(sums[0], word0, values, k, inputs);
    __syncwarp();
    multiply_block<kIsBf16, kTiles>(sums[1], word1, values + bytes0, k, inputs);
    if constexpr (!kCopiesInputs) load_inputs();  // of the next chunk, right after their last use
    __syncwarp();
    ring.advance();
    if constexpr (!kRefillsLate) ring.refill(i);
  }

  float* parts = reinterpret_cast<float*>(shared + kRingAt);
  __syncthreads();
#pragma unroll
  for (int block = 0; block < 2; ++block) {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const float (&s)[4] = sums[block][tile];
      *reinterpret_cast<float4*>(parts + warp * kSums + (block * kTiles + tile) * 128 + lane * 4) =
          make_float4(s[0], s[1], s[2], s[3]);
    }
  }
  __syncthreads();

  if constexpr (kCluster > 1) ptx::cluster_wait();
  for (uint32_t i = threadIdx.x; i < kSums; i += kThreads) {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) sum += parts[w * kSums + i];
    if constexpr (kCluster == 1) {
      write_sum<kIsBf16, kTiles>(a, strip, first_token, i, sum);
    } else {  // block i / kShare of the cluster adds up sum i
      constexpr uint32_t kShare = kSums / kCluster;
      const uint32_t owner = i / kShare;
      const uint32_t place = base + kBarrierBytes + 4 * (rank * kShare + i % kShare);
      ptx::store_remote(ptx::cluster_address(place, owner), sum,
                        ptx::cluster_address(base + kGatherBarrier, owner));
    }
  }
  if constexpr (kCluster > 1) {
    constexpr uint32_t kShare = kSums / kCluster;
    ptx::barrier_wait(base + kGatherBarrier, 0);
    const float* gathered = reinterpret_cast<const float*>(shared + kBarrierBytes);
    for (uint32_t i = threadIdx.x; i < kShare; i += kThreads) {
      float sum = 0;
#pragma unroll
      for (int r = 0; r < kCluster; ++r) sum += gathered[r * kShare + i];
      write_sum<kIsBf16, kTiles>(a, strip, first_token, rank * kShare + i, sum);
    }
  }
}

template <bool kIsBf16, int kTiles, int kWarps, int kStages, int kBlocksPerSm, int kCluster>
__global__ void __launch_bounds__(kWarps* kLanes, kBlocksPerSm)
    spmm_bulk(const __grid_constant__ SpmmArgs a) {
#if __CUDA_ARCH__ >= 900
  spmm_strip<kIsBf16, kTiles, kWarps, kStages, kCluster, kBulkCopies, BulkRing<kStages, 0>>(
      a, nullptr);
#endif
}

template <bool kIsBf16, int kTiles, int kWarps, int kStages, int kBlocksPerSm, int kCluster>
__global__ void __launch_bounds__(kWarps* kLanes, kBlocksPerSm)
    spmm_bulk_inputs(const __grid_constant__ SpmmArgs a,
                     const __grid_constant__ CUtensorMap input_map) {
#if __CUDA_ARCH__ >= 900
  if (threadIdx.x == 0) ptx::prefetch_tensor_map(&input_map);
  spmm_strip<kIsBf16, kTiles, kWarps, kStages, kCluster, kBulkInputs,
             BulkRing<kStages, 8 * kTiles>>(a, &input_map);
#endif
}

template <bool kIsBf16, int kTiles, int kWarps, int kStages, int kBlocksPerSm>
__global__ void __launch_bounds__(kWarps* kLanes, kBlocksPerSm)
    spmm_async(const __grid_constant__ SpmmArgs a) {
  spmm_strip<kIsBf16, kTiles, kWarps, kStages, 1, kAsyncCopies, AsyncRing<kStages>>(a, nullptr);
}

}  // namespace spinfer
