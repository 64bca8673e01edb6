// The slow twin: encoder, decoder and product on the host, one weight at a time in value order.
//
// Memory  works in the caller's buffers, allocates nothing
// Trust   decode and product take a container that spinfer_validate() accepted
#include <algorithm>
#include <cmath>
#include <cstring>

#include "crc32.h"
#include "half.h"
#include "layout.h"
#include "status.h"

namespace spinfer {
namespace {

// Calls visit(lane, bit, row, col) for the 1024 places of a block in value order.
template <class Visit>
void each_place(Visit visit) {
  for (uint32_t plane = 0; plane < kPlanes; ++plane) {
    for (uint32_t t = 0; t < 4; ++t) {
      for (uint32_t g = 0; g < 8; ++g) {
        for (uint32_t j = 0; j < 4; ++j) {
          const uint32_t lane = 4 * g + t, bit = 4 * plane + j;
          visit(lane, bit, row_of(lane, bit), col_of(lane, bit));
        }
      }
    }
  }
}

struct Dense {
  const uint16_t* values;
  uint32_t rows, cols;

  // Zero outside the matrix: the container pads there.
  uint16_t at(uint64_t row, uint64_t col) const {
    return row < rows && col < cols ? values[row * cols + col] : 0;
  }
};

uint32_t count_chunk(const Dense& dense, uint64_t row, uint64_t col) {
  uint32_t count = 0;
  for (uint32_t r = 0; r < kChunkRows; ++r) {
    for (uint32_t c = 0; c < kChunkCols; ++c) count += dense.at(row + r, col + c) != 0;
  }
  return count;
}

// Writes one chunk and its padding; returns its values.
uint32_t encode_chunk(const Dense& dense, uint64_t row, uint64_t col, uint8_t* out) {
  uint32_t words[2][kLanes] = {};
  uint32_t count = 0;
  for (uint32_t block = 0; block < 2; ++block) {
    each_place([&](uint32_t lane, uint32_t bit, uint32_t r, uint32_t c) {
      const uint16_t value = dense.at(row + kBlockRows * block + r, col + c);
      if (value == 0) return;
      words[block][lane] |= 1u << bit;
      std::memcpy(out + kChunkBitmapBytes + 2 * count, &value, sizeof value);
      ++count;
    });
  }
  std::memcpy(out, words, sizeof words);
  const uint32_t used = kChunkBitmapBytes + 2 * count;
  std::memset(out + used, 0, chunk_bytes(count) - used);
  return count;
}

template <class T>
void write(uint8_t* out, uint32_t at, T value) {
  std::memcpy(out + at, &value, sizeof value);
}

struct Kind {
  uint8_t dtype, flags;
};

void write_header(uint8_t* meta, const Dense& dense, const Kind& kind, uint64_t nonzeros,
                  uint64_t payload_bytes, uint32_t payload_crc) {
  using namespace header;
  std::memset(meta, 0, kBytes);
  std::memcpy(meta, kMagic, 8);
  write<uint16_t>(meta, kVersionMajor, kMajor);
  write<uint16_t>(meta, kVersionMinor, kMinor);
  write<uint8_t>(meta, kValueDtype, kind.dtype);
  write<uint8_t>(meta, kFlags, kind.flags);
  write<uint8_t>(meta, kValueOrder, SPINFER_ORDER_NIBBLE_PLANES);
  write<uint32_t>(meta, kRows, dense.rows);
  write<uint32_t>(meta, kCols, dense.cols);
  write<uint16_t>(meta, kChunkRowsAt, kChunkRows);
  write<uint16_t>(meta, kChunkColsAt, kChunkCols);
  write<uint32_t>(meta, kHeaderBytes, kBytes);
  write<uint64_t>(meta, kNonzeros, nonzeros);
  write<uint64_t>(meta, kPayloadBytes, payload_bytes);
  write<uint32_t>(meta, kChunks, static_cast<uint32_t>(grid_of(dense.rows, dense.cols).chunks));
  write<uint32_t>(meta, kPayloadCrc, payload_crc);
}

// A chunk with its zeros, and where it lies in the matrix.
struct Tile {
  uint64_t row, col;
  uint32_t rows, cols;  // of it inside the matrix
  uint16_t values[kChunkRows][kChunkCols];
};

// Calls visit(tile) for every chunk, strip by strip.
template <class Visit>
void each_tile(const spinfer_meta& meta, const uint32_t* offsets, const uint8_t* payload,
               Visit visit) {
  const Grid grid = grid_of(meta.rows, meta.cols);
  for (uint32_t chunk = 0; chunk < meta.chunks; ++chunk) {
    const uint8_t* bytes = payload + static_cast<uint64_t>(offsets[chunk]) * kAlign;
    const uint8_t* next = bytes + kChunkBitmapBytes;
    Tile tile{};
    tile.row = static_cast<uint64_t>(chunk / grid.chunks_per_strip) * kChunkRows;
    tile.col = static_cast<uint64_t>(chunk % grid.chunks_per_strip) * kChunkCols;
    tile.rows = static_cast<uint32_t>(std::min<uint64_t>(kChunkRows, meta.rows - tile.row));
    tile.cols = static_cast<uint32_t>(std::min<uint64_t>(kChunkCols, meta.cols - tile.col));
    uint32_t words[2][kLanes];
    std::memcpy(words, bytes, sizeof words);
    for (uint32_t block = 0; block < 2; ++block) {
      each_place([&](uint32_t lane, uint32_t bit, uint32_t r, uint32_t c) {
        if ((words[block][lane] >> bit & 1) == 0) return;
        std::memcpy(&tile.values[kBlockRows * block + r][c], next, 2);
        next += 2;
      });
    }
    visit(tile);
  }
}

spinfer_status check_shape(const char* function, uint32_t rows, uint32_t cols) {
  SPINFER_REQUIRE(rows >= 1 && rows <= kMaxSide && cols >= 1 && cols <= kMaxSide,
                  "%s: %u rows and %u columns, expected 1 to %u", function, rows, cols, kMaxSide);
  const Grid grid = grid_of(rows, cols);
  if (grid.chunks * kMaxChunkBytes > kMaxPayloadBytes) {
    return fail(SPINFER_UNSUPPORTED, "%s: %u x %u may pass the 64 GiB that offsets can address",
                function, rows, cols);
  }
  return SPINFER_OK;
}

}  // namespace
}  // namespace spinfer

extern "C" spinfer_status spinfer_host_encoded_bytes(const uint16_t* dense, uint32_t rows,
                                                     uint32_t cols, uint64_t* meta_bytes,
                                                     uint64_t* payload_bytes) {
  using namespace spinfer;
  SPINFER_REQUIRE(dense != nullptr && meta_bytes != nullptr && payload_bytes != nullptr,
                  "spinfer_host_encoded_bytes: null pointer");
  const spinfer_status status = check_shape("spinfer_host_encoded_bytes", rows, cols);
  if (status != SPINFER_OK) return status;
  const Grid grid = grid_of(rows, cols);
  uint64_t bytes = 0;
  for (uint64_t chunk = 0; chunk < grid.chunks; ++chunk) {
    bytes +=
        chunk_bytes(count_chunk({dense, rows, cols}, chunk / grid.chunks_per_strip * kChunkRows,
                                chunk % grid.chunks_per_strip * kChunkCols));
  }
  *meta_bytes = meta_bytes_of(grid);
  *payload_bytes = bytes;
  return SPINFER_OK;
}

extern "C" spinfer_status spinfer_host_encode(const uint16_t* dense, uint32_t rows, uint32_t cols,
                                              uint8_t value_dtype, uint8_t flags, void* meta,
                                              uint64_t meta_bytes, void* payload,
                                              uint64_t payload_bytes) {
  using namespace spinfer;
  uint64_t meta_needs = 0, payload_needs = 0;
  SPINFER_REQUIRE(meta != nullptr && payload != nullptr, "spinfer_host_encode: null pointer");
  SPINFER_REQUIRE(value_dtype == SPINFER_F16 || value_dtype == SPINFER_BF16,
                  "spinfer_host_encode: value dtype %u, expected 1 or 2", value_dtype);
  SPINFER_REQUIRE((flags & ~header::kFlagTransposed) == 0,
                  "spinfer_host_encode: unknown flags 0x%02x", flags);
  const spinfer_status status =
      spinfer_host_encoded_bytes(dense, rows, cols, &meta_needs, &payload_needs);
  if (status != SPINFER_OK) return status;
  SPINFER_REQUIRE(
      meta_bytes == meta_needs && payload_bytes == payload_needs,
      "spinfer_host_encode: %llu and %llu bytes, expected %llu and %llu",
      static_cast<unsigned long long>(meta_bytes), static_cast<unsigned long long>(payload_bytes),
      static_cast<unsigned long long>(meta_needs), static_cast<unsigned long long>(payload_needs));
  const Dense source{dense, rows, cols};
  const Grid grid = grid_of(rows, cols);
  uint8_t* meta_out = static_cast<uint8_t*>(meta);
  uint8_t* out = static_cast<uint8_t*>(payload);
  std::memset(meta_out, 0, meta_bytes);
  uint64_t at = 0, nonzeros = 0;
  for (uint64_t chunk = 0; chunk < grid.chunks; ++chunk) {
    const uint32_t values = encode_chunk(source, chunk / grid.chunks_per_strip * kChunkRows,
                                         chunk % grid.chunks_per_strip * kChunkCols, out + at);
    at += chunk_bytes(values);
    nonzeros += values;
    const uint32_t end = static_cast<uint32_t>(at / kAlign);
    std::memcpy(meta_out + header::kBytes + 4 * (chunk + 1), &end, sizeof end);
  }
  write_header(meta_out, source, {value_dtype, flags}, nonzeros, at, crc32(0, out, at));
  write<uint32_t>(meta_out, header::kMetaCrc, crc32(0, meta_out, meta_bytes));
  return SPINFER_OK;
}

extern "C" spinfer_status spinfer_host_decode(const spinfer_meta* meta, const uint32_t* offsets,
                                              const void* payload, uint16_t* dense) {
  using namespace spinfer;
  SPINFER_REQUIRE(meta != nullptr && offsets != nullptr && payload != nullptr && dense != nullptr,
                  "spinfer_host_decode: null pointer");
  each_tile(*meta, offsets, static_cast<const uint8_t*>(payload), [&](const Tile& tile) {
    for (uint32_t r = 0; r < tile.rows; ++r) {
      std::memcpy(dense + (tile.row + r) * meta->cols + tile.col, tile.values[r], 2 * tile.cols);
    }
  });
  return SPINFER_OK;
}

extern "C" spinfer_status spinfer_host_spmm(const spinfer_meta* meta, const uint32_t* offsets,
                                            const void* payload, const uint16_t* x, uint32_t n,
                                            double* y, double* magnitude) {
  using namespace spinfer;
  SPINFER_REQUIRE(
      meta != nullptr && offsets != nullptr && payload != nullptr && x != nullptr && y != nullptr,
      "spinfer_host_spmm: null pointer");
  SPINFER_REQUIRE(n >= 1, "spinfer_host_spmm: n must be at least 1");
  const HalfFormat format = format_of(meta->value_dtype);
  const uint64_t rows = meta->rows, cols = meta->cols;
  std::fill_n(y, n * rows, 0.0);
  if (magnitude != nullptr) std::fill_n(magnitude, n * rows, 0.0);
  each_tile(*meta, offsets, static_cast<const uint8_t*>(payload), [&](const Tile& tile) {
    for (uint32_t r = 0; r < tile.rows; ++r) {
      double weights[kChunkCols];
      for (uint32_t c = 0; c < tile.cols; ++c)
        weights[c] = half_to_double(tile.values[r][c], format);
      for (uint64_t token = 0; token < n; ++token) {
        const uint16_t* inputs = x + token * cols + tile.col;
        const uint64_t out = token * rows + tile.row + r;
        for (uint32_t c = 0; c < tile.cols; ++c) {  // zeros too: they make NaN of an infinite input
          const double product = weights[c] * half_to_double(inputs[c], format);
          y[out] += product;
          if (magnitude != nullptr) magnitude[out] += std::fabs(product);
        }
      }
    }
  });
  return SPINFER_OK;
}
