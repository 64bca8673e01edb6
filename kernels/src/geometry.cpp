// The built-in table, from measurements on an H100 (kernels/README.md).
#include "geometry.h"

#include "layout.h"
#include "status.h"

namespace spinfer {
namespace {

#define SPINFER_ENTRY(warps, stages, blocks, cluster, bulk) \
  {warps, stages, blocks, cluster, 0, bulk},
constexpr spinfer_geometry kBuilt[] = {SPINFER_EACH_GEOMETRY(SPINFER_ENTRY)};
#undef SPINFER_ENTRY
constexpr int kBuiltCount = sizeof kBuilt / sizeof *kBuilt;

// Blocks of all warps an SM in one wave: a second, short wave leaves most SMs idle.
spinfer_geometry for_hopper(uint64_t strips, uint32_t sms) {
  if (4 * strips <= sms) return {8, 2, 2, 4, 0, 1};
  if (2 * strips <= sms) return {8, 2, 2, 2, 0, 1};
  if (strips <= sms) return {16, 2, 1, 1, 0, 1};
  if (strips <= 2 * sms) return {8, 2, 2, 1, 1, 1};
  if (strips <= 3 * sms) return {6, 2, 3, 1, 1, 1};
  if (strips <= 4 * sms) return {4, 2, 4, 1, 1, 1};
  return {16, 2, 1, 1, 1, 1};
}

}  // namespace

spinfer_geometry choose_geometry(const Problem& problem, uint32_t sms, bool bulk_copies) {
  if (!bulk_copies) return {8, 2, 1, 1, 1, 0};
  const uint32_t tokens = 8 * tiles_of(problem.n);
  const uint64_t groups = (problem.n + tokens - 1) / tokens;
  return for_hopper(grid_of(problem.rows, problem.cols).strips * groups, sms);
}

int find_geometry(const spinfer_geometry& geometry) {
  for (int i = 0; i < kBuiltCount; ++i) {
    const spinfer_geometry& built = kBuilt[i];
    if (built.warps == geometry.warps && built.stages == geometry.stages &&
        built.blocks_per_sm == geometry.blocks_per_sm && built.cluster == geometry.cluster &&
        built.bulk == geometry.bulk) {
      return i;
    }
  }
  return -1;
}

}  // namespace spinfer

extern "C" spinfer_status spinfer_list_geometry(int32_t index, spinfer_geometry* out) {
  using namespace spinfer;
  SPINFER_REQUIRE(out != nullptr, "spinfer_list_geometry: out must not be null");
  SPINFER_REQUIRE(index >= 0 && index < kBuiltCount, "spinfer_list_geometry: index %d of %d", index,
                  kBuiltCount);
  *out = kBuilt[index];
  return SPINFER_OK;
}
