// Products with f16 weights, 8 tokens a block.
#include "spmm_launch.cuh"

namespace spinfer {
namespace {
constexpr bool kIsBf16 = false;
constexpr Launcher kLaunchers[] = {SPINFER_NARROW_GEOMETRIES(SPINFER_LAUNCHER, 8)};
}  // namespace

const Launcher* spmm_f16_8() { return kLaunchers; }
}  // namespace spinfer
