// How a product is cut up: a pure function of the shape and the GPU, over a list of built kernels.
#pragma once

#include <cstdint>

#include "../include/spinfer.h"

namespace spinfer {

// Each built kernel: tokens, warps, stages, blocks an SM, cluster, bulk. A block of 8 or 16 tokens
// takes up to 128 registers a thread, so 16 warps an SM; three blocks an SM leave 128 to 5 warps
// each and 96 to 6. Two stages beat three. 32 tokens take 168 registers, so 12 warps.
#define SPINFER_NARROW_GEOMETRIES(V, tokens) \
  V(tokens, 16, 2, 1, 1, 1)                  \
  V(tokens, 8, 2, 2, 1, 1)                   \
  V(tokens, 6, 2, 3, 1, 1)                   \
  V(tokens, 5, 2, 3, 1, 1)                   \
  V(tokens, 5, 2, 4, 1, 1)                   \
  V(tokens, 4, 2, 4, 1, 1)                   \
  V(tokens, 16, 2, 1, 2, 1)                  \
  V(tokens, 8, 2, 2, 2, 1)                   \
  V(tokens, 5, 2, 3, 2, 1)                   \
  V(tokens, 8, 2, 2, 4, 1)                   \
  V(tokens, 8, 2, 1, 1, 0)
#define SPINFER_WIDE_GEOMETRIES(V, tokens) \
  V(tokens, 12, 2, 1, 1, 1)                \
  V(tokens, 6, 2, 2, 1, 1)                 \
  V(tokens, 4, 2, 3, 1, 1)                 \
  V(tokens, 3, 2, 4, 1, 1)                 \
  V(tokens, 12, 2, 1, 2, 1)                \
  V(tokens, 6, 2, 2, 2, 1)                 \
  V(tokens, 6, 2, 2, 4, 1)                 \
  V(tokens, 8, 2, 1, 1, 0)
#define SPINFER_ALL_GEOMETRIES(V)  \
  SPINFER_NARROW_GEOMETRIES(V, 8)  \
  SPINFER_NARROW_GEOMETRIES(V, 16) \
  SPINFER_WIDE_GEOMETRIES(V, 32)

struct Problem {
  uint32_t rows, cols, n;
  bool overlap;  // launched with SPINFER_OVERLAP: the next kernel wants room beside this one
};

// The table's choice on a GPU with `sms` multiprocessors. bulk_copies: sm_90 and newer.
spinfer_geometry choose_geometry(const Problem& problem, uint32_t sms, bool bulk_copies);

// Index in the list (round_robin plays no part), or -1.
int find_geometry(const spinfer_geometry& geometry);
// Index of the first geometry with so many tokens.
int first_with_tokens(int tokens);

}  // namespace spinfer
