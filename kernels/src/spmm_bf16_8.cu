// Products with bf16 weights, up to 8 tokens a block.
#include "spmm_launch.cuh"

namespace spinfer {
const Launcher* spmm_bf16_8() { return spmm_launchers<true, 1>(); }
}  // namespace spinfer
