// Products with f16 weights, 32 tokens a block.
#include "spmm_launch.cuh"

namespace spinfer {
namespace {
constexpr bool kIsBf16 = false;
constexpr Launcher kLaunchers[] = {SPINFER_WIDE_GEOMETRIES(SPINFER_LAUNCHER, 32)};
}  // namespace

const Launcher* spmm_f16_32() { return kLaunchers; }
}  // namespace spinfer
