// Checks a container on the host before any of it is uploaded: device code trusts what passes here.
//
// Memory  reads meta and payload once, allocates nothing
// Trust   none: both are attacker input; every field is compared before it is used as a size
#include <cstring>

#include "crc32.h"
#include "layout.h"
#include "status.h"

namespace spinfer {
namespace {

// Fields are read byte by byte: the caller's buffers need no alignment.
template <class T>
T read(const uint8_t* bytes, uint64_t at) {
  T value;
  std::memcpy(&value, bytes + at, sizeof value);
  return value;
}

struct Bytes {
  const uint8_t* at;
  uint64_t count;
};

#define SPINFER_EXPECT(condition, ...)                              \
  do {                                                              \
    if (!(condition)) return fail(SPINFER_BAD_MATRIX, __VA_ARGS__); \
  } while (0)

spinfer_status check_kind(const uint8_t* meta) {
  using namespace header;
  SPINFER_EXPECT(std::memcmp(meta, kMagic, 8) == 0, "meta: no tile-bitmap magic");
  const unsigned major = read<uint16_t>(meta, kVersionMajor);
  const unsigned minor = read<uint16_t>(meta, kVersionMinor);
  SPINFER_EXPECT(major == kMajor && minor <= kMinor,
                 "meta: container version %u.%u, this build reads up to %u.%u", major, minor,
                 kMajor, kMinor);
  const unsigned dtype = meta[kValueDtype];
  SPINFER_EXPECT(dtype == SPINFER_F16 || dtype == SPINFER_BF16,
                 "meta: value dtype %u, expected 1 (F16) or 2 (BF16)", dtype);
  SPINFER_EXPECT(meta[kValueOrder] == SPINFER_ORDER_NIBBLE_PLANES,
                 "meta: value order %u, expected 1 (nibble planes)", meta[kValueOrder]);
  SPINFER_EXPECT(meta[kScaleKind] == 0, "meta: scale kind %u, expected 0", meta[kScaleKind]);
  SPINFER_EXPECT((meta[kFlags] & ~kFlagTransposed) == 0, "meta: unknown flags 0x%02x",
                 meta[kFlags]);
  const unsigned chunk_rows = read<uint16_t>(meta, kChunkRowsAt);
  const unsigned chunk_cols = read<uint16_t>(meta, kChunkColsAt);
  SPINFER_EXPECT(chunk_rows == kChunkRows && chunk_cols == kChunkCols,
                 "meta: chunks of %u x %u, expected %u x %u", chunk_rows, chunk_cols, kChunkRows,
                 kChunkCols);
  const uint32_t header_bytes = read<uint32_t>(meta, kHeaderBytes);
  SPINFER_EXPECT(header_bytes == kBytes, "meta: header of %u bytes, expected %u", header_bytes,
                 kBytes);
  SPINFER_EXPECT(read<uint32_t>(meta, kReserved) == 0, "meta: reserved field is not zero");
  return SPINFER_OK;
}

spinfer_status check_sizes(const Bytes& meta, uint64_t payload_bytes, spinfer_meta* out) {
  using namespace header;
  out->rows = read<uint32_t>(meta.at, kRows);
  out->cols = read<uint32_t>(meta.at, kCols);
  SPINFER_EXPECT(out->rows >= 1 && out->rows <= kMaxSide && out->cols >= 1 && out->cols <= kMaxSide,
                 "meta: %u rows and %u columns, expected 1 to %u", out->rows, out->cols, kMaxSide);
  const Grid grid = grid_of(out->rows, out->cols);
  out->chunks = read<uint32_t>(meta.at, kChunks);
  SPINFER_EXPECT(out->chunks == grid.chunks, "meta: %u chunks, expected %llu for %u x %u",
                 out->chunks, static_cast<unsigned long long>(grid.chunks), out->rows, out->cols);
  SPINFER_EXPECT(meta.count == meta_bytes_of(grid), "meta: %llu bytes, expected %llu for %u chunks",
                 static_cast<unsigned long long>(meta.count),
                 static_cast<unsigned long long>(meta_bytes_of(grid)), out->chunks);
  out->payload_bytes = read<uint64_t>(meta.at, kPayloadBytes);
  SPINFER_EXPECT(out->payload_bytes == payload_bytes, "payload: %llu bytes, the header says %llu",
                 static_cast<unsigned long long>(payload_bytes),
                 static_cast<unsigned long long>(out->payload_bytes));
  out->nonzeros = read<uint64_t>(meta.at, kNonzeros);
  out->offsets_at = kBytes;
  out->value_dtype = meta.at[kValueDtype];
  out->value_order = meta.at[kValueOrder];
  out->flags = meta.at[kFlags];
  out->reserved = 0;
  for (uint64_t at = kBytes + 4 * (grid.chunks + 1); at < meta.count; ++at) {
    SPINFER_EXPECT(meta.at[at] == 0, "meta: padding byte %llu is not zero",
                   static_cast<unsigned long long>(at));
  }
  return SPINFER_OK;
}

spinfer_status check_meta_crc(const Bytes& meta) {
  static constexpr uint8_t kZeros[4] = {};
  const uint32_t found = read<uint32_t>(meta.at, header::kMetaCrc);
  uint32_t crc = crc32(0, meta.at, header::kMetaCrc);
  crc = crc32(crc, kZeros, sizeof kZeros);
  crc = crc32(crc, meta.at + header::kBytes, meta.count - header::kBytes);
  SPINFER_EXPECT(crc == found, "meta: CRC-32 %08x, the header says %08x", crc, found);
  return SPINFER_OK;
}

spinfer_status check_offsets(const Bytes& meta, spinfer_meta* out) {
  uint32_t before = read<uint32_t>(meta.at, header::kBytes);
  SPINFER_EXPECT(before == 0, "offsets: the first is %u, expected 0", before);
  uint32_t longest = 0;
  for (uint32_t chunk = 0; chunk < out->chunks; ++chunk) {
    const uint32_t next = read<uint32_t>(meta.at, header::kBytes + 4 * (chunk + 1ull));
    const uint32_t units = next - before;
    SPINFER_EXPECT(
        next > before && units >= kChunkBitmapBytes / kAlign && units <= kMaxChunkBytes / kAlign,
        "offsets: chunk %u goes from %u to %u, expected %u to %u units of 16 bytes", chunk, before,
        next, kChunkBitmapBytes / kAlign, kMaxChunkBytes / kAlign);
    if (units > longest) longest = units;
    before = next;
  }
  SPINFER_EXPECT(static_cast<uint64_t>(before) * kAlign == out->payload_bytes,
                 "offsets: they end at byte %llu of a payload of %llu",
                 static_cast<unsigned long long>(before) * kAlign,
                 static_cast<unsigned long long>(out->payload_bytes));
  out->max_chunk_bytes = longest * kAlign;
  return SPINFER_OK;
}

// Bits of a block's lane that lie inside the matrix, for `rows` and `cols` left in the chunk.
uint32_t inside_mask(uint32_t lane, uint32_t block, uint32_t rows, uint32_t cols) {
  uint32_t mask = 0;
  for (uint32_t bit = 0; bit < 32; ++bit) {
    if (kBlockRows * block + row_of(lane, bit) < rows && col_of(lane, bit) < cols) {
      mask |= 1u << bit;
    }
  }
  return mask;
}

spinfer_status check_chunk(const uint8_t* chunk, uint32_t bytes, uint32_t index, uint32_t rows,
                           uint32_t cols, uint32_t* values) {
  const bool whole = rows >= kChunkRows && cols >= kChunkCols;
  uint32_t count = 0;
  for (uint32_t word = 0; word < 2 * kLanes; ++word) {
    const uint32_t bits = read<uint32_t>(chunk, 4ull * word);
    count += static_cast<uint32_t>(__builtin_popcount(bits));
    SPINFER_EXPECT(whole || (bits & ~inside_mask(word % kLanes, word / kLanes, rows, cols)) == 0,
                   "bitmap: chunk %u, lane %u of block %u marks weights outside the matrix", index,
                   word % kLanes, word / kLanes);
  }
  SPINFER_EXPECT(bytes == chunk_bytes(count),
                 "bitmap: chunk %u has %u values, so %u bytes, but the offsets give it %u", index,
                 count, chunk_bytes(count), bytes);
  for (uint32_t i = 0; i < count; ++i) {
    SPINFER_EXPECT(read<uint16_t>(chunk, kChunkBitmapBytes + 2ull * i) != 0,
                   "payload: value %u of chunk %u is a stored zero", i, index);
  }
  for (uint32_t at = kChunkBitmapBytes + 2 * count; at < bytes; ++at) {
    SPINFER_EXPECT(chunk[at] == 0, "payload: padding of chunk %u is not zero", index);
  }
  *values = count;
  return SPINFER_OK;
}

spinfer_status check_chunks(const Bytes& meta, const uint8_t* payload, const spinfer_meta& known) {
  const Grid grid = grid_of(known.rows, known.cols);
  uint64_t nonzeros = 0;
  uint64_t at = 0;
  for (uint32_t chunk = 0; chunk < known.chunks; ++chunk) {
    const uint64_t end =
        static_cast<uint64_t>(read<uint32_t>(meta.at, header::kBytes + 4 * (chunk + 1ull))) *
        kAlign;
    const uint32_t rows = known.rows - chunk / grid.chunks_per_strip * kChunkRows;
    const uint32_t cols = known.cols - chunk % grid.chunks_per_strip * kChunkCols;
    uint32_t values = 0;
    const spinfer_status status =
        check_chunk(payload + at, static_cast<uint32_t>(end - at), chunk, rows, cols, &values);
    if (status != SPINFER_OK) return status;
    nonzeros += values;
    at = end;
  }
  SPINFER_EXPECT(nonzeros == known.nonzeros, "bitmap: %llu values, the header says %llu",
                 static_cast<unsigned long long>(nonzeros),
                 static_cast<unsigned long long>(known.nonzeros));
  return SPINFER_OK;
}

spinfer_status validate(const Bytes& meta, const Bytes& payload, uint32_t flags,
                        spinfer_meta* out) {
  SPINFER_EXPECT(meta.count >= header::kBytes, "meta: %llu bytes, a header has %u",
                 static_cast<unsigned long long>(meta.count), header::kBytes);
  spinfer_status status = check_kind(meta.at);
  if (status == SPINFER_OK) status = check_sizes(meta, payload.count, out);
  if (status == SPINFER_OK) status = check_meta_crc(meta);
  if (status == SPINFER_OK) status = check_offsets(meta, out);
  if (status == SPINFER_OK) status = check_chunks(meta, payload.at, *out);
  if (status != SPINFER_OK || (flags & SPINFER_CHECK_CRC) == 0) return status;
  const uint32_t crc = crc32(0, payload.at, payload.count);
  const uint32_t found = read<uint32_t>(meta.at, header::kPayloadCrc);
  SPINFER_EXPECT(crc == found, "payload: CRC-32 %08x, the header says %08x", crc, found);
  return SPINFER_OK;
}

}  // namespace
}  // namespace spinfer

extern "C" spinfer_status spinfer_validate(const void* meta, uint64_t meta_bytes,
                                           const void* payload, uint64_t payload_bytes,
                                           uint32_t flags, spinfer_meta* out) {
  using namespace spinfer;
  SPINFER_REQUIRE(meta != nullptr && payload != nullptr && out != nullptr,
                  "spinfer_validate: meta, payload and out must not be null");
  SPINFER_REQUIRE((flags & ~static_cast<uint32_t>(SPINFER_CHECK_CRC)) == 0,
                  "spinfer_validate: unknown flags 0x%x", flags);
  spinfer_meta known{};
  const spinfer_status status =
      validate({static_cast<const uint8_t*>(meta), meta_bytes},
               {static_cast<const uint8_t*>(payload), payload_bytes}, flags, &known);
  if (status == SPINFER_OK) *out = known;
  return status;
}
