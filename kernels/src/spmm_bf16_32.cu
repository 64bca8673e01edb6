// Products with bf16 weights, 32 tokens a block.
#include "spmm_launch.cuh"

namespace spinfer {
namespace {
constexpr bool kIsBf16 = true;
constexpr Launcher kLaunchers[] = {SPINFER_WIDE_GEOMETRIES(SPINFER_LAUNCHER, 32)};
}  // namespace

const Launcher* spmm_bf16_32() { return kLaunchers; }
}  // namespace spinfer
