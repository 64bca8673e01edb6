// Weights and inputs drawn on the device: the same for the same seed on every run.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "../include/spinfer_measure.h"

namespace spinfer {

// Fills dense [rows, cols]; see the masks in spinfer_measure.h.
void draw_weights(uint16_t* dense, const spinfer_synthetic& request, cudaStream_t stream);
// Fills x with values in [-1, 1).
void draw_inputs(uint16_t* x, uint64_t count, uint8_t value_dtype, uint64_t seed,
                 cudaStream_t stream);

}  // namespace spinfer
