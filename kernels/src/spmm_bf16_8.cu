// Products with bf16 weights, 8 tokens a block.
#include "spmm_launch.cuh"

namespace spinfer {
namespace {
constexpr bool kIsBf16 = true;
constexpr Launcher kLaunchers[] = {SPINFER_NARROW_GEOMETRIES(SPINFER_LAUNCHER, 8)};
}  // namespace

const Launcher* spmm_bf16_8() { return kLaunchers; }
}  // namespace spinfer
