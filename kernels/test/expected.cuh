// What a product is on the host: compared with y after it was downloaded.
#pragma once

#include "../measure/denseReference.cuh"
#include "deviceMatrix.h"

namespace spinfer::test {

struct Expected {
  std::vector<double> sums, sizes;
};

inline Expected expected_product(const uint16_t* w, const uint16_t* x, Shape shape, uint32_t n,
                                 uint8_t dtype) {
  const size_t count = static_cast<size_t>(n) * shape.rows;
  const Buffer sums(count * 8), sizes(count * 8);
  const dim3 grid((shape.rows + 7) / 8, n < 64 ? n : 64);
  const auto kernel = dtype == SPINFER_BF16 ? dense_product<true> : dense_product<false>;
  kernel<<<grid, 256>>>(w, x, sums.as<double>(), sizes.as<double>(), shape.rows, shape.cols, n);
  must(cudaGetLastError(), "dense_product");
  return {sums.download<double>(), sizes.download<double>()};
}

// Wrong values of y, the first one described; y has n rows of shape.rows.
struct Verdict {
  size_t wrong = 0, first = 0;
  double found = 0, wanted = 0;
};
inline Verdict compare(const std::vector<uint16_t>& y, const Expected& expected, Shape shape,
                       HalfFormat format) {
  Verdict verdict;
  for (size_t i = 0; i < expected.sums.size(); ++i) {
    const double wanted = expected.sums[i], found = half_to_double(y[i], format);
    bool right = std::isnan(wanted) ? std::isnan(found) : found == wanted;
    if (!right && std::isfinite(wanted)) {
      right =
          std::fabs(found - wanted) <= error_bound(wanted, expected.sizes[i], shape.cols, format);
    }
    if (!right && verdict.wrong++ == 0) {
      verdict.first = i;
      verdict.found = found;
      verdict.wanted = wanted;
    }
  }
  return verdict;
}

}  // namespace spinfer::test
