// Products with f16 weights, up to 8 tokens a block.
#include "spmm_launch.cuh"

namespace spinfer {
const Launcher* spmm_f16_8() { return spmm_launchers<false, 1>(); }
}  // namespace spinfer
