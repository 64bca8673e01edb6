// spinfer_encode_*: dense to tile-bitmap, on the device, in two steps around one allocation.
//
// Grid   one warp a chunk, kWarps warps a block; the offsets are summed up by a single block
// Warp   16 columns of two rows of each block a lane -> bitmap words -> byte offsets (scan.cuh)
// Order  every byte has one writer: the container is the same on every run
// Bound  memory: the dense matrix twice, the payload once
#include "device.h"
#include "layout.h"
#include "scan.cuh"

namespace spinfer {
namespace {

constexpr int kWarps = 8;
constexpr int kSumThreads = 1024;

struct Dense {
  const uint16_t* values;
  uint32_t rows, cols;
};

// Columns col .. col + 15 of a row as eight pairs; zeros outside the matrix.
__device__ void read_row(const Dense& dense, uint32_t row, uint32_t col, uint32_t (&pairs)[8]) {
  const uint16_t* from = dense.values + static_cast<uint64_t>(row) * dense.cols + col;
  if (row < dense.rows && dense.cols % 8 == 0 && col + 16 <= dense.cols) {
    const uint4 a = reinterpret_cast<const uint4*>(from)[0];
    const uint4 b = reinterpret_cast<const uint4*>(from)[1];
    pairs[0] = a.x, pairs[1] = a.y, pairs[2] = a.z, pairs[3] = a.w;
    pairs[4] = b.x, pairs[5] = b.y, pairs[6] = b.z, pairs[7] = b.w;
    return;
  }
#pragma unroll
  for (uint32_t i = 0; i < 8; ++i) {
    const bool low = row < dense.rows && col + 2 * i < dense.cols;
    const bool high = row < dense.rows && col + 2 * i + 1 < dense.cols;
    pairs[i] = (low ? from[2 * i] : 0u) | (high ? from[2 * i + 1] : 0u) << 16;
  }
}

// A lane's part of one block: its bitmap word and the values the bits stand for.
struct LaneWeights {
  uint32_t word;
  uint32_t top[8], bottom[8];

  __device__ LaneWeights(const Dense& dense, uint32_t row, uint32_t col) : word(0) {
    read_row(dense, row, col, top);
    read_row(dense, row + 8, col, bottom);
#pragma unroll
    for (int plane = 0; plane < 8; ++plane) {
      const uint32_t nibble = (top[plane] & 0xffff ? 1u : 0u) | (top[plane] >> 16 ? 2u : 0u) |
                              (bottom[plane] & 0xffff ? 4u : 0u) | (bottom[plane] >> 16 ? 8u : 0u);
      word |= nibble << (4 * plane);
    }
  }
};

// Where a warp's chunk lies in the matrix, for its lane.
struct Place {
  uint32_t row, col;
  __device__ Place(uint32_t chunk, uint32_t chunks_per_strip, uint32_t lane)
      : row(chunk / chunks_per_strip * kChunkRows + (lane >> 2)),
        col(chunk % chunks_per_strip * kChunkCols + 16 * (lane & 3)) {}
};

// offsets[chunk + 1] = units of the chunk; a sum over them follows.
__global__ void __launch_bounds__(kWarps* kLanes)
    measure_chunks(Dense dense, uint32_t* __restrict__ offsets, uint32_t chunks_per_strip,
                   uint32_t chunks) {
  const uint32_t lane = threadIdx.x % kLanes;
  const uint32_t chunk = blockIdx.x * kWarps + threadIdx.x / kLanes;
  if (chunk >= chunks) return;
  const Place place(chunk, chunks_per_strip, lane);
  const LaneWeights upper(dense, place.row, place.col);
  const LaneWeights lower(dense, place.row + kBlockRows, place.col);
  const uint32_t values = count_values(upper.word) + count_values(lower.word);
  if (lane == 0) offsets[chunk + 1] = chunk_bytes(values) / kAlign;
}

// Inclusive sums of offsets[1 ..], in place; offsets[0] = 0. One block of kSumThreads.
__global__ void __launch_bounds__(kSumThreads)
    sum_offsets(uint32_t* __restrict__ offsets, uint32_t chunks) {
  __shared__ uint32_t warp_sums[kSumThreads / kLanes];
  const uint32_t lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  uint32_t before = 0;
  if (threadIdx.x == 0) offsets[0] = 0;
  for (uint64_t first = 0; first < chunks; first += kSumThreads) {
    const uint64_t i = first + threadIdx.x;
    uint32_t sum = i < chunks ? offsets[i + 1] : 0;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const uint32_t left = __shfl_up_sync(~0u, sum, step);
      if (lane >= static_cast<uint32_t>(step)) sum += left;
    }
    if (lane == kLanes - 1) warp_sums[warp] = sum;
    __syncthreads();
    uint32_t total = 0, left = 0;
#pragma unroll
    for (int w = 0; w < kSumThreads / 32; ++w) {
      if (w == static_cast<int>(warp)) left = total;
      total += warp_sums[w];
    }
    if (i < chunks) offsets[i + 1] = before + left + sum;
    before += total;
    __syncthreads();
  }
}

template <int kPlane>
__device__ __forceinline__ void write_nibble(const LaneWeights& weights, const ScanResult& at,
                                             uint8_t* values) {
  const auto put = [&](int bit, uint32_t offset, uint32_t value) {
    if (weights.word >> (4 * kPlane + bit) & 1) {
      *reinterpret_cast<uint16_t*>(values + offset) = static_cast<uint16_t>(value);
    }
  };
  const uint32_t middle = ScanResult::pick<kPlane>(at.middle);
  put(0, ScanResult::pick<kPlane>(at.start), weights.top[kPlane]);
  put(1, middle - 2, weights.top[kPlane] >> 16);
  put(2, middle, weights.bottom[kPlane]);
  put(3, ScanResult::pick<kPlane>(at.end) - 2, weights.bottom[kPlane] >> 16);
}

__global__ void __launch_bounds__(kWarps* kLanes)
    write_chunks(Dense dense, const uint32_t* __restrict__ offsets, uint8_t* __restrict__ payload,
                 uint32_t chunks_per_strip, uint32_t chunks, uint32_t zero) {
  const uint32_t lane = threadIdx.x % kLanes;
  const uint32_t chunk = blockIdx.x * kWarps + threadIdx.x / kLanes;
  if (chunk >= chunks) return;
  const Place place(chunk, chunks_per_strip, lane);
  const ScanLane k(lane, zero);
  uint8_t* bytes = payload + static_cast<uint64_t>(offsets[chunk]) * kAlign;
  uint8_t* values = bytes + kChunkBitmapBytes;
  for (uint32_t block = 0; block < 2; ++block) {
    const LaneWeights weights(dense, place.row + block * kBlockRows, place.col);
    const ScanResult at = scan_block(weights.word, k);
    *reinterpret_cast<uint32_t*>(bytes + block * kBlockBitmapBytes + 4 * lane) = weights.word;
    write_nibble<0>(weights, at, values);
    write_nibble<1>(weights, at, values);
    write_nibble<2>(weights, at, values);
    write_nibble<3>(weights, at, values);
    write_nibble<4>(weights, at, values);
    write_nibble<5>(weights, at, values);
    write_nibble<6>(weights, at, values);
    write_nibble<7>(weights, at, values);
    values += 2 * count_values(weights.word);
  }
  const uint8_t* end = payload + static_cast<uint64_t>(offsets[chunk + 1]) * kAlign;
  if (values + 2 * lane < end) *reinterpret_cast<uint16_t*>(values + 2 * lane) = 0;  // the padding
}

struct Call {
  const char* name;
  const void* dense;
  uint32_t rows, cols;
};

spinfer_status check_call(const Call& call) {
  SPINFER_REQUIRE(
      call.rows >= 1 && call.rows <= kMaxSide && call.cols >= 1 && call.cols <= kMaxSide,
      "%s: %u rows and %u columns, expected 1 to %u", call.name, call.rows, call.cols, kMaxSide);
  SPINFER_REQUIRE(call.dense != nullptr && reinterpret_cast<uintptr_t>(call.dense) % 16 == 0,
                  "%s: dense must not be null and must be 16-byte aligned", call.name);
  if (grid_of(call.rows, call.cols).chunks * kMaxChunkBytes > kMaxPayloadBytes) {
    return fail(SPINFER_UNSUPPORTED, "%s: %u x %u may pass the 64 GiB that offsets can address",
                call.name, call.rows, call.cols);
  }
  DeviceFacts device;
  return current_device(call.name, &device);
}

}  // namespace
}  // namespace spinfer

extern "C" spinfer_status spinfer_encode_offsets(const void* dense, uint32_t rows, uint32_t cols,
                                                 uint32_t* offsets, void* stream) {
  using namespace spinfer;
  const Call call{"spinfer_encode_offsets", dense, rows, cols};
  const spinfer_status status = check_call(call);
  if (status != SPINFER_OK) return status;
  SPINFER_REQUIRE(offsets != nullptr, "%s: offsets must not be null", call.name);
  const Grid grid = grid_of(rows, cols);
  const uint32_t chunks = static_cast<uint32_t>(grid.chunks);
  const cudaStream_t queue = static_cast<cudaStream_t>(stream);
  measure_chunks<<<(chunks + kWarps - 1) / kWarps, kWarps * kLanes, 0, queue>>>(
      {static_cast<const uint16_t*>(dense), rows, cols}, offsets, grid.chunks_per_strip, chunks);
  sum_offsets<<<1, kSumThreads, 0, queue>>>(offsets, chunks);
  return check_cuda(call.name, cudaGetLastError());
}

extern "C" spinfer_status spinfer_encode_payload(const void* dense, uint32_t rows, uint32_t cols,
                                                 const uint32_t* offsets, void* payload,
                                                 void* stream) {
  using namespace spinfer;
  const Call call{"spinfer_encode_payload", dense, rows, cols};
  const spinfer_status status = check_call(call);
  if (status != SPINFER_OK) return status;
  SPINFER_REQUIRE(offsets != nullptr && payload != nullptr &&
                      reinterpret_cast<uintptr_t>(payload) % kAlign == 0,
                  "%s: offsets and payload must not be null, payload 16-byte aligned", call.name);
  const Grid grid = grid_of(rows, cols);
  const uint32_t chunks = static_cast<uint32_t>(grid.chunks);
  write_chunks<<<(chunks + kWarps - 1) / kWarps, kWarps * kLanes, 0,
                 static_cast<cudaStream_t>(stream)>>>(
      {static_cast<const uint16_t*>(dense), rows, cols}, offsets, static_cast<uint8_t*>(payload),
      grid.chunks_per_strip, chunks, 0);
  return check_cuda(call.name, cudaGetLastError());
}
