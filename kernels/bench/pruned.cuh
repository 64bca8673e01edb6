// Pruned matrices made on the device: random ones, and masks as pruning methods leave them.
#pragma once

#include "../test/denseReference.cuh"

namespace spinfer::bench {

// Random: each weight alone. Wanda: |w| times a log-normal column norm, exactly the share in every
// row. Columns: as Wanda, with norms so uneven that whole columns stay or go. TwoFour: two of four.
// Strips: every other strip of 32 rows empty, the others random at the same share of what is left.
enum class Pattern { kRandom, kWanda, kColumns, kTwoFour, kStrips };
inline const char* name_of(Pattern pattern) {
  static const char* const kNames[] = {"random", "wanda", "columns", "2:4", "strips"};
  return kNames[static_cast<int>(pattern)];
}

// Fills dense [rows, cols] with about `sparsity` zeros.
void fill_pruned(uint16_t* dense, test::Shape shape, Pattern pattern, double sparsity,
                 uint8_t dtype, uint64_t seed, cudaStream_t stream);
// Fills x with values in [-1, 1).
void fill_inputs(uint16_t* x, size_t count, uint8_t dtype, uint64_t seed, cudaStream_t stream);

}  // namespace spinfer::bench
