// How a product is cut up: a pure function of the shape and the GPU, over a list of built kernels.
#pragma once

#include <cstdint>

#include "../include/spinfer.h"

namespace spinfer {

// Each built kernel: tokens, warps, stages, blocks an SM, cluster, copies. 8 or 16 tokens take up
// to 128 registers a thread: 16 warps an SM, as four blocks of 4, or 15 as three of 5; 18 and more
// warps would leave 96 registers, which spill. Two stages beat three and four. Copied inputs pay
// from 16 tokens on.
#define SPINFER_NARROW_GEOMETRIES(V, tokens) \
  V(tokens, 16, 2, 1, 1, 1)                  \
  V(tokens, 8, 2, 2, 1, 1)                   \
  V(tokens, 5, 2, 3, 1, 1)                   \
  V(tokens, 4, 2, 4, 1, 1)                   \
  V(tokens, 16, 2, 1, 2, 1)                  \
  V(tokens, 8, 2, 2, 2, 1)                   \
  V(tokens, 5, 2, 3, 2, 1)                   \
  V(tokens, 8, 2, 2, 4, 1)                   \
  V(tokens, 16, 2, 1, 1, 2)                  \
  V(tokens, 8, 2, 2, 1, 2)                   \
  V(tokens, 4, 2, 4, 1, 2)                   \
  V(tokens, 16, 2, 1, 2, 2)                  \
  V(tokens, 8, 2, 1, 1, 0)
#define SPINFER_WIDE_GEOMETRIES(V, tokens) \
  V(tokens, 12, 2, 1, 1, 1)                \
  V(tokens, 12, 2, 1, 1, 2)                \
  V(tokens, 6, 2, 2, 1, 2)                 \
  V(tokens, 8, 2, 2, 1, 2)                 \
  V(tokens, 4, 2, 3, 1, 2)                 \
  V(tokens, 4, 2, 4, 1, 2)                 \
  V(tokens, 12, 2, 1, 2, 2)                \
  V(tokens, 6, 2, 2, 4, 2)                 \
  V(tokens, 8, 2, 1, 1, 0)
#define SPINFER_ALL_GEOMETRIES(V)  \
  SPINFER_NARROW_GEOMETRIES(V, 8)  \
  SPINFER_NARROW_GEOMETRIES(V, 16) \
  SPINFER_WIDE_GEOMETRIES(V, 32)

// Values of `copies`.
enum Copies { kAsyncCopies = 0, kBulkCopies = 1, kBulkInputs = 2 };

struct Problem {
  uint32_t rows, cols, n;
  bool overlap;  // launched with SPINFER_OVERLAP
};

// The table's choice on a GPU with `sms` multiprocessors. bulk_copies: sm_90 and newer.
spinfer_geometry choose_geometry(const Problem& problem, uint32_t sms, bool bulk_copies);

// Index in the list (round_robin plays no part), or -1.
int find_geometry(const spinfer_geometry& geometry);
// Index of the first geometry with so many tokens.
int first_with_tokens(int tokens);

}  // namespace spinfer
