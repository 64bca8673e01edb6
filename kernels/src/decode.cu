// spinfer_decode: tile-bitmap to dense, on the device.
//
// Grid   one warp a chunk, kWarps warps a block
// Warp   bitmap words -> byte offsets of the lane's values (scan.cuh) -> 16 columns of two rows of
//        each block, written by 16 bytes where the matrix allows
// Bound  memory: the payload once, the dense matrix once
#include "device.h"
#include "layout.h"
#include "scan.cuh"

namespace spinfer {
namespace {

constexpr int kWarps = 8;

// Nibble kPlane of both rows: columns 2 kPlane and 2 kPlane + 1 of the lane's sixteen.
template <int kPlane>
__device__ __forceinline__ void read_nibble(uint32_t& top, uint32_t& bottom, uint32_t word,
                                            const ScanResult& at, const uint8_t* values) {
  const auto value = [&](int bit, uint32_t offset) -> uint32_t {
    return word >> (4 * kPlane + bit) & 1 ? *reinterpret_cast<const uint16_t*>(values + offset) : 0;
  };
  const uint32_t middle = ScanResult::pick<kPlane>(at.middle);
  top = value(0, ScanResult::pick<kPlane>(at.start)) | value(1, middle - 2) << 16;
  bottom = value(2, middle) | value(3, ScanResult::pick<kPlane>(at.end) - 2) << 16;
}

__device__ void write_row(uint16_t* row, uint32_t col, uint32_t cols, const uint32_t (&pairs)[8]) {
  if (cols % 8 == 0 && col + 16 <= cols) {  // rows and this place are 16-byte aligned
    uint4* to = reinterpret_cast<uint4*>(row + col);
    to[0] = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    to[1] = make_uint4(pairs[4], pairs[5], pairs[6], pairs[7]);
    return;
  }
#pragma unroll
  for (uint32_t i = 0; i < 16; ++i) {
    if (col + i < cols) row[col + i] = static_cast<uint16_t>(pairs[i / 2] >> (16 * (i % 2)));
  }
}

__global__ void __launch_bounds__(kWarps* kLanes)
    decode_tile_bitmap(spinfer_matrix w, uint16_t* __restrict__ dense, uint32_t chunks_per_strip,
                       uint32_t chunks) {
  const uint32_t lane = threadIdx.x % kLanes;
  const uint32_t chunk = blockIdx.x * kWarps + threadIdx.x / kLanes;
  if (chunk >= chunks) return;
  const uint32_t g = lane >> 2, t = lane & 3;
  const uint8_t* bytes =
      static_cast<const uint8_t*>(w.payload) + static_cast<uint64_t>(w.offsets[chunk]) * kAlign;
  const uint8_t* values = bytes + kChunkBitmapBytes;
  const ScanLane k(lane, w.reserved);
  const uint32_t col = chunk % chunks_per_strip * kChunkCols + 16 * t;
  for (uint32_t block = 0; block < 2; ++block) {
    const uint32_t word =
        *reinterpret_cast<const uint32_t*>(bytes + block * kBlockBitmapBytes + 4 * lane);
    const ScanResult at = scan_block(word, k);
    uint32_t top[8], bottom[8];
    read_nibble<0>(top[0], bottom[0], word, at, values);
    read_nibble<1>(top[1], bottom[1], word, at, values);
    read_nibble<2>(top[2], bottom[2], word, at, values);
    read_nibble<3>(top[3], bottom[3], word, at, values);
    read_nibble<4>(top[4], bottom[4], word, at, values);
    read_nibble<5>(top[5], bottom[5], word, at, values);
    read_nibble<6>(top[6], bottom[6], word, at, values);
    read_nibble<7>(top[7], bottom[7], word, at, values);
    const uint32_t row = chunk / chunks_per_strip * kChunkRows + block * kBlockRows + g;
    if (row < w.rows) write_row(dense + static_cast<uint64_t>(row) * w.cols, col, w.cols, top);
    if (row + 8 < w.rows) {
      write_row(dense + static_cast<uint64_t>(row + 8) * w.cols, col, w.cols, bottom);
    }
    values += 2 * count_values(word);
  }
}

}  // namespace
}  // namespace spinfer

extern "C" spinfer_status spinfer_decode(const spinfer_matrix* w, void* dense, void* stream) {
  using namespace spinfer;
  constexpr const char* kName = "spinfer_decode";
  spinfer_status status = check_matrix(kName, w);
  if (status != SPINFER_OK) return status;
  SPINFER_REQUIRE(dense != nullptr && reinterpret_cast<uintptr_t>(dense) % 16 == 0,
                  "%s: dense must not be null and must be 16-byte aligned", kName);
  DeviceFacts device;
  status = current_device(kName, &device);
  if (status != SPINFER_OK) return status;
  const Grid grid = grid_of(w->rows, w->cols);
  SPINFER_REQUIRE(grid.chunks <= kMaxSide, "%s: %llu chunks, expected at most %u", kName,
                  static_cast<unsigned long long>(grid.chunks), kMaxSide);
  const uint32_t chunks = static_cast<uint32_t>(grid.chunks);
  decode_tile_bitmap<<<(chunks + kWarps - 1) / kWarps, kWarps * kLanes, 0,
                       static_cast<cudaStream_t>(stream)>>>(*w, static_cast<uint16_t*>(dense),
                                                            grid.chunks_per_strip, chunks);
  return check_cuda(kName, cudaGetLastError());
}
