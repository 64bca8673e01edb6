// Products with packed operands, for each instruction set.
#pragma once

#include <cstdint>

#include "memory.h"
#include "pool.h"

namespace spinfer::cpu {

// A weight as it is stored: [outputs, inputs] or, by its layout, [inputs, outputs].
struct Matrix {
  const void* values;
  int32_t type;  // SPINFER_CPU_F32, _F16 or _BF16
  int64_t outputs, inputs;
  int32_t layout;
};

// A weight in panels of outputs; what a panel looks like is the instruction set's own.
struct Weight {
  int64_t outputs = 0, inputs = 0;
  int parts = 1;  // bfloat16 parts of each value, where products are made of those
  Buffer panels;
};

// The rows that are multiplied with weights, in panels of rows.
struct Input {
  int64_t rows = 0, columns = 0;
  Buffer panels;
};

struct ProductKernels {
  void (*packWeight)(Pool&, const Matrix& matrix, Weight& weight);
  void (*packInput)(Pool&, const float* x, int64_t rows, int64_t columns, Input& input);
  void (*linear)(Pool&, const Input& input, const Weight& weight, const float* bias,
                 const float* added, float* out);
  void (*losses)(Pool&, const Input& input, const Weight& weight, const float* bias, float softcap,
                 const int32_t* targets, double* losses);
  void (*gram)(Pool&, const float* x, int64_t rows, int64_t columns, double* triangle);
};

}  // namespace spinfer::cpu
