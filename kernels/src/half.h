// fp16 and bf16 bits <-> double, on the host. Rounding to nearest, ties to even.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../include/spinfer.h"

namespace spinfer {

struct HalfFormat {
  int mantissa_bits;
  int exponent_bits;
};
constexpr HalfFormat kFp16{10, 5};
constexpr HalfFormat kBf16{7, 8};
constexpr HalfFormat format_of(uint8_t dtype) { return dtype == SPINFER_BF16 ? kBf16 : kFp16; }

// 2^exponent for -1022 to 1023; not ldexp, so that the library needs nothing of libm.
inline double power_of_two(int exponent) {
  const uint64_t bits = static_cast<uint64_t>(exponent + 1023) << 52;
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline double half_to_double(uint16_t bits, HalfFormat format) {
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const int top = (1 << format.exponent_bits) - 1;
  const int exponent = (bits >> format.mantissa_bits) & top;
  const int mantissa = bits & ((1 << format.mantissa_bits) - 1);
  double value;
  if (exponent == top) {
    value = mantissa == 0 ? INFINITY : NAN;
  } else if (exponent == 0) {
    value = mantissa * power_of_two(1 - bias - format.mantissa_bits);
  } else {
    value = (mantissa + (1 << format.mantissa_bits)) *
            power_of_two(exponent - bias - format.mantissa_bits);
  }
  return bits & 0x8000 ? -value : value;
}

inline uint16_t double_to_half(double value, HalfFormat format) {
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const uint16_t infinity =
      static_cast<uint16_t>(((1 << format.exponent_bits) - 1) << format.mantissa_bits);
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return static_cast<uint16_t>(sign | infinity | 1);
  const double size = std::fabs(value);
  if (size == 0) return sign;
  if (std::isinf(size)) return static_cast<uint16_t>(sign | infinity);
  int exponent = std::ilogb(size);
  if (exponent < 1 - bias) exponent = 1 - bias;  // subnormal: a fixed step
  // In units of the last place; nearbyint rounds ties to even, and a carry moves up the exponent.
  const double units = std::nearbyint(std::ldexp(size, format.mantissa_bits - exponent));
  const int64_t code = static_cast<int64_t>(units) +
                       (static_cast<int64_t>(exponent + bias - 1) << format.mantissa_bits);
  return static_cast<uint16_t>(sign | (code >= infinity ? infinity : code));
}

}  // namespace spinfer
