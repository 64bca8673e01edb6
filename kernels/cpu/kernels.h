// What each instruction set has code for; api.cpp checks arguments and calls through this table.
#pragma once

#include <cstdint>

#include "../include/spinfer_cpu.h"
#include "pool.h"
#include "product.h"

namespace spinfer::cpu {

// Elementwise operations and attention, as spinfer_cpu.h says; arguments were checked.
struct ElementKernels {
  void (*rmsNorm)(Pool&, const float* x, int64_t groups, int64_t size, const float* weight,
                  double epsilon, bool addOne, float* out);
  void (*layerNorm)(Pool&, const float* x, int64_t groups, int64_t size, const float* weight,
                    const float* bias, double epsilon, float* out);
  void (*rotary)(Pool&, const float* x, int64_t tokens, int64_t length, int64_t heads,
                 int64_t headSize, int64_t turned, const float* cosine, const float* sine,
                 float* out);
  void (*activate)(Pool&, const float* x, const float* factor, int64_t count, int32_t activation,
                   float* out);
  void (*combine)(Pool&, const float* left, const float* right, int64_t count, int32_t operation,
                  float* out);
  void (*scale)(Pool&, const float* x, int64_t count, float scale, float softcap, float* out);
  void (*columns)(Pool&, const float* x, int64_t groups, int64_t width, int64_t begin, int64_t end,
                  float* out);
  bool (*allFinite)(Pool&, const float* x, int64_t count);
  void (*sums)(Pool&, const float* x, int64_t rows, int64_t columns, double* sums, double* squares);
};

struct AttentionKernels {
  void (*attention)(Pool&, const float* query, const float* key, const float* value,
                    const spinfer_cpu_attention_spec& spec, float* out);
};

// One of each for an instruction set, defined in product.cpp, elements.cpp and
// attention.cpp.
#define SPINFER_CPU_DECLARE(set)            \
  namespace set {                           \
  extern const ProductKernels kProducts;    \
  extern const ElementKernels kElements;    \
  extern const AttentionKernels kAttention; \
  }
SPINFER_CPU_DECLARE(avx2)
SPINFER_CPU_DECLARE(avx512)
SPINFER_CPU_DECLARE(amx)
#undef SPINFER_CPU_DECLARE

}  // namespace spinfer::cpu
