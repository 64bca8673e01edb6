// Products with bf16 weights, up to 16 tokens a block.
#include "spmm_launch.cuh"

namespace spinfer {
const Launcher* spmm_bf16_16() { return spmm_launchers<true, 2>(); }
}  // namespace spinfer
