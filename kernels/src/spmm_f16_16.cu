// Products with f16 weights, up to 16 tokens a block.
#include "spmm_launch.cuh"

namespace spinfer {
const Launcher* spmm_f16_16() { return spmm_launchers<false, 2>(); }
}  // namespace spinfer
