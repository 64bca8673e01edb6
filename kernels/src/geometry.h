// How a product is cut up: a pure function of the shape and the GPU, over a list of built kernels.
#pragma once

#include <cstdint>

#include "../include/spinfer.h"

namespace spinfer {

// Each built kernel: warps, stages, blocks an SM, cluster, bulk. About 16 warps an SM with 112 to
// 128 registers each beat 24 warps that spill; two stages beat three but for the smallest blocks.
#define SPINFER_EACH_GEOMETRY(V) \
  V(16, 2, 1, 1, 1)              \
  V(8, 2, 2, 1, 1)               \
  V(6, 2, 3, 1, 1)               \
  V(5, 2, 4, 1, 1)               \
  V(4, 2, 4, 1, 1)               \
  V(4, 3, 4, 1, 1)               \
  V(16, 2, 1, 2, 1)              \
  V(8, 2, 2, 2, 1)               \
  V(8, 2, 2, 4, 1)               \
  V(8, 2, 1, 1, 0)

struct Problem {
  uint32_t rows, cols, n;
};

// Tokens that one block handles at once: 8 or 16.
constexpr uint32_t kMostTiles = 2;
constexpr uint32_t tiles_of(uint32_t n) { return n <= 8 ? 1 : kMostTiles; }

// The table's choice on a GPU with `sms` multiprocessors. bulk_copies: sm_90 and newer.
spinfer_geometry choose_geometry(const Problem& problem, uint32_t sms, bool bulk_copies);

// Index in the list above (round_robin plays no part), or -1.
int find_geometry(const spinfer_geometry& geometry);

}  // namespace spinfer
