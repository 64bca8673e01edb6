// Every fact of the tile-bitmap byte layout that C++ and CUDA code needs: the twin of
// formats/tile-bitmap/layout.ts. The words for it stand in formats/tile-bitmap/SPEC.md.
#pragma once

#include <cstdint>

namespace spinfer {

constexpr uint32_t kBlockRows = 16;
constexpr uint32_t kChunkRows = 32;  // two blocks, one above the other
constexpr uint32_t kChunkCols = 64;
constexpr uint32_t kChunkValues = kChunkRows * kChunkCols;
constexpr uint32_t kLanes = 32;
constexpr uint32_t kBlockBitmapBytes = kLanes * 4;
constexpr uint32_t kChunkBitmapBytes = 2 * kBlockBitmapBytes;
constexpr uint32_t kAlign = 16;  // of a chunk, and the unit of an offset
constexpr uint32_t kMaxChunkBytes = kChunkBitmapBytes + 2 * kChunkValues;
constexpr uint32_t kPlanes = 8;  // nibble planes of a block
constexpr uint32_t kMaxSide = 0x7fffffffu;

// Bit 4m + j of lane 4g + t stands for row g + 8(j >> 1), column 16t + 2m + (j & 1) of its block.
constexpr uint32_t row_of(uint32_t lane, uint32_t bit) { return (lane >> 2) + 4 * (bit & 2); }
constexpr uint32_t col_of(uint32_t lane, uint32_t bit) {
  return 16 * (lane & 3) + 2 * (bit >> 2) + (bit & 1);
}

constexpr uint32_t align_up(uint32_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }
// Bytes of a chunk with that many stored values, padding included.
constexpr uint32_t chunk_bytes(uint32_t values) { return align_up(kChunkBitmapBytes + 2 * values); }

struct Grid {
  uint32_t strips;            // rows of chunks
  uint32_t chunks_per_strip;  // along the columns
  uint64_t chunks;
};
constexpr Grid grid_of(uint32_t rows, uint32_t cols) {
  const uint32_t strips = (rows + kChunkRows - 1) / kChunkRows;
  const uint32_t across = (cols + kChunkCols - 1) / kChunkCols;
  return {strips, across, static_cast<uint64_t>(strips) * across};
}

// Byte offsets of the meta tensor's header; all fields little-endian.
namespace header {
constexpr char kMagic[9] = "SPTILEBM";
constexpr uint32_t kVersionMajor = 8, kVersionMinor = 10, kValueDtype = 12, kValueOrder = 13;
constexpr uint32_t kScaleKind = 14, kFlags = 15, kRows = 16, kCols = 20, kChunkRowsAt = 24;
constexpr uint32_t kChunkColsAt = 26, kHeaderBytes = 28, kNonzeros = 32, kPayloadBytes = 40;
constexpr uint32_t kChunks = 48, kReserved = 52, kPayloadCrc = 56, kMetaCrc = 60, kBytes = 64;
constexpr uint16_t kMajor = 1, kMinor = 0;
constexpr uint8_t kFlagTransposed = 1;
}  // namespace header

// Bytes of the meta tensor: header, chunks + 1 offsets, zeros to a multiple of 16.
constexpr uint64_t meta_bytes_of(const Grid& grid) {
  return (header::kBytes + 4 * (grid.chunks + 1) + kAlign - 1) / kAlign * kAlign;
}
constexpr uint64_t kMaxPayloadBytes = 0xffffffffull * kAlign;

static_assert(chunk_bytes(kChunkValues) == kMaxChunkBytes);

}  // namespace spinfer
