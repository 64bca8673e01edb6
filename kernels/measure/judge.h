// Whether a product is right: compared on the device with float64 sums of the dense weights.
#pragma once

#include "buffer.h"

namespace spinfer {

class Judge {
 public:
  // y is expected to be [n, rows]; dense [rows, cols] and x [n, cols] are on the device.
  Judge(const uint16_t* dense, const uint16_t* x, uint32_t rows, uint32_t cols, uint32_t n,
        uint8_t value_dtype);
  // The largest |y - sum| over the bound that the dtype and the summation allow: right up to 1.
  // Infinite where y is not a number and should be one.
  double largest_error(const uint16_t* y) const;

 private:
  uint64_t count_;
  uint32_t cols_;
  uint8_t value_dtype_;
  Buffer sums_, sizes_, worst_;
};

}  // namespace spinfer
