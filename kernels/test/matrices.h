// Matrices for tests and the benchmark: masks of several kinds, values of a dtype, containers.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "../src/crc32.h"
#include "../src/half.h"
#include "../src/layout.h"
#include "check.h"

namespace spinfer::test {

// How the zeros lie. Random: each weight alone. Rows: exactly the share in every row (Wanda).
// Columns: each column its own share, from dense to nearly empty, as large activations make it.
// TwoFour: two of four along a row. Strips: every other 32-row strip empty, the rest dense.
enum class Mask { kRandom, kRows, kColumns, kTwoFour, kStrips };
inline const char* name_of(Mask mask) {
  static const char* const kNames[] = {"random", "rows", "columns", "2:4", "strips"};
  return kNames[static_cast<int>(mask)];
}

struct Shape {
  uint32_t rows, cols;
};

// A value in [0.25, 4) of either sign, never zero: every bit of the mantissa random.
inline uint16_t random_value(Random& random, HalfFormat format) {
  const uint64_t bits = random.next();
  const uint32_t bias = (1u << (format.exponent_bits - 1)) - 1;
  const uint32_t exponent = bias - 2 + (bits >> 32 & 3);
  return static_cast<uint16_t>((bits >> 48 & 0x8000) | exponent << format.mantissa_bits |
                               (bits & ((1u << format.mantissa_bits) - 1)));
}

inline void keep_exactly(Random& random, std::vector<uint8_t>& kept, uint64_t first, uint32_t count,
                         uint32_t keep) {
  for (uint32_t i = 0; i < count; ++i) {  // selection sampling: every subset is as likely
    const bool take = random.below(count - i) < keep;
    kept[first + i] = take;
    keep -= take;
  }
}

// 1 where a weight stays. sparsity: share of zeros, ignored by kTwoFour and kStrips.
inline std::vector<uint8_t> make_mask(Random& random, Shape shape, Mask mask, double sparsity) {
  std::vector<uint8_t> kept(static_cast<size_t>(shape.rows) * shape.cols);
  for (uint32_t row = 0; row < shape.rows; ++row) {
    const uint64_t first = static_cast<uint64_t>(row) * shape.cols;
    if (mask == Mask::kRows) {
      const uint32_t zeros = static_cast<uint32_t>(sparsity * shape.cols + 0.5);
      keep_exactly(random, kept, first, shape.cols, shape.cols - zeros);
      continue;
    }
    for (uint32_t col = 0; col < shape.cols; ++col) {
      uint8_t& keep = kept[first + col];
      if (mask == Mask::kRandom) keep = random.unit() >= sparsity;
      if (mask == Mask::kStrips) keep = row / kChunkRows % 2 == 0;
      if (mask == Mask::kTwoFour && col % 4 == 0) {
        keep_exactly(random, kept, first + col, std::min(4u, shape.cols - col),
                     std::min(2u, shape.cols - col));
      }
      if (mask == Mask::kColumns) {  // a column's share: mean `sparsity`, spread over a power law
        const double rank = (col * 0x9E3779B97F4A7C15ull >> 11) / 9007199254740992.0;
        keep = random.unit() >= std::pow(rank, (1 - sparsity) / std::max(sparsity, 1e-3));
      }
    }
  }
  return kept;
}

inline std::vector<uint16_t> make_dense(Random& random, Shape shape, Mask mask, double sparsity,
                                        HalfFormat format) {
  const std::vector<uint8_t> kept = make_mask(random, shape, mask, sparsity);
  std::vector<uint16_t> dense(kept.size());
  for (size_t i = 0; i < dense.size(); ++i) dense[i] = kept[i] ? random_value(random, format) : 0;
  return dense;
}

inline std::vector<uint16_t> make_inputs(Random& random, size_t count, HalfFormat format) {
  std::vector<uint16_t> x(count);
  for (uint16_t& value : x) value = double_to_half(2 * random.unit() - 1, format);
  return x;
}

// A container on the host.
struct Container {
  std::vector<uint8_t> meta, payload;
  const uint32_t* offsets() const {
    return reinterpret_cast<const uint32_t*>(meta.data() + header::kBytes);
  }
};

inline Container encode(const std::vector<uint16_t>& dense, Shape shape, uint8_t dtype,
                        uint8_t flags = 0) {
  uint64_t meta_bytes = 0, payload_bytes = 0;
  Container out;
  check(spinfer_host_encoded_bytes(dense.data(), shape.rows, shape.cols, &meta_bytes,
                                   &payload_bytes) == SPINFER_OK,
        "sizes of %u x %u: %s", shape.rows, shape.cols, spinfer_last_error());
  out.meta.resize(meta_bytes);
  out.payload.resize(payload_bytes);
  check(spinfer_host_encode(dense.data(), shape.rows, shape.cols, dtype, flags, out.meta.data(),
                            meta_bytes, out.payload.data(), payload_bytes) == SPINFER_OK,
        "encode %u x %u: %s", shape.rows, shape.cols, spinfer_last_error());
  return out;
}

inline spinfer_status validate(const Container& c, spinfer_meta* meta, uint32_t flags = 0) {
  return spinfer_validate(c.meta.data(), c.meta.size(), c.payload.data(), c.payload.size(), flags,
                          meta);
}

// The CRC of the header and the offsets, made right again after a change.
inline void rewrite_meta_crc(Container& c) {
  std::memset(&c.meta[header::kMetaCrc], 0, 4);
  const uint32_t crc = crc32(0, c.meta.data(), c.meta.size());
  std::memcpy(&c.meta[header::kMetaCrc], &crc, 4);
}

// A copy with one to three bytes changed, sometimes cut or lengthened, and a right checksum.
inline Container damaged(Random& random, const Container& good) {
  Container bad = good;
  for (uint32_t faults = 1 + random.below(3); faults > 0; --faults) {
    const bool in_meta = random.below(3) != 0;
    std::vector<uint8_t>& part = in_meta ? bad.meta : bad.payload;
    uint8_t& byte = part[random.below(static_cast<uint32_t>(part.size()))];
    byte = random.below(2) ? static_cast<uint8_t>(random.next())
                           : static_cast<uint8_t>(byte ^ 1u << random.below(8));
  }
  if (random.below(20) == 0) {
    bad.payload.resize(random.below(static_cast<uint32_t>(bad.payload.size()) + 64));
  }
  if (random.below(20) == 0) {
    bad.meta.resize(64 + random.below(static_cast<uint32_t>(bad.meta.size())));
  }
  rewrite_meta_crc(bad);
  return bad;
}

}  // namespace spinfer::test
