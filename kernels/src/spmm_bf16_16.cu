// Products with bf16 weights, 16 tokens a block.
#include "spmm_launch.cuh"

namespace spinfer {
namespace {
constexpr bool kIsBf16 = true;
constexpr Launcher kLaunchers[] = {SPINFER_NARROW_GEOMETRIES(SPINFER_LAUNCHER, 16)};
}  // namespace

const Launcher* spmm_bf16_16() { return kLaunchers; }
}  // namespace spinfer
