// The built-in table, from measurements on an H100 (kernels/README.md).
#include "geometry.h"

#include "layout.h"
#include "status.h"

namespace spinfer {
namespace {

#define SPINFER_ENTRY(tokens, warps, stages, blocks, cluster, copies) \
  {tokens, warps, stages, blocks, cluster, 0, copies},
constexpr spinfer_geometry kBuilt[] = {SPINFER_ALL_GEOMETRIES(SPINFER_ENTRY)};
#undef SPINFER_ENTRY
constexpr int kBuiltCount = sizeof kBuilt / sizeof *kBuilt;

// One row of a table: the geometry for at most so many strips, in quarters of the SMs.
struct Row {
  uint32_t quarters;
  spinfer_geometry geometry;
};
constexpr uint32_t kRest = ~0u;

// All blocks in one wave where that can be: a second, short wave idles most SMs. With fewer strips
// than SMs, the blocks of a cluster share one.
constexpr Row kFew[] = {{1, {8, 8, 2, 2, 4, 1, 1}},    {2, {8, 16, 2, 1, 2, 1, 1}},
                        {4, {8, 16, 2, 1, 1, 1, 1}},   {5, {8, 5, 2, 3, 2, 1, 1}},
                        {8, {8, 8, 2, 2, 1, 1, 1}},    {12, {8, 5, 2, 3, 1, 1, 1}},
                        {kRest, {8, 4, 2, 4, 1, 1, 1}}};
constexpr Row kSome[] = {{1, {16, 8, 2, 2, 4, 1, 1}},   {2, {16, 16, 2, 1, 2, 1, 2}},
                         {4, {16, 16, 2, 1, 1, 1, 1}},  {5, {16, 5, 2, 3, 2, 1, 1}},
                         {8, {16, 8, 2, 2, 1, 1, 1}},   {12, {16, 5, 2, 3, 1, 1, 1}},
                         {kRest, {16, 4, 2, 4, 1, 1, 1}}};
constexpr Row kMany[] = {{2, {32, 12, 2, 1, 2, 0, 2}},
                         {4, {32, 12, 2, 1, 1, 0, 2}},
                         {8, {32, 6, 2, 2, 1, 1, 2}},
                         {12, {32, 4, 2, 3, 1, 1, 2}},
                         {kRest, {32, 4, 2, 4, 1, 1, 2}}};

}  // namespace

spinfer_geometry choose_geometry(const Problem& problem, uint32_t sms, bool bulk_copies) {
  const bool few = problem.n <= 8, some = problem.n <= 16;
  const uint32_t tokens = few ? 8 : some ? 16 : 32;
  if (!bulk_copies) return {static_cast<int32_t>(tokens), 8, 2, 1, 1, 1, kAsyncCopies};
  const uint64_t groups = (problem.n + tokens - 1) / tokens;
  const uint64_t strips = grid_of(problem.rows, problem.cols).strips * groups;
  const Row* row = few ? kFew : some ? kSome : kMany;
  while (row->quarters != kRest && 4 * strips > static_cast<uint64_t>(row->quarters) * sms) ++row;
  return row->geometry;
}

int find_geometry(const spinfer_geometry& geometry) {
  for (int i = 0; i < kBuiltCount; ++i) {
    const spinfer_geometry& built = kBuilt[i];
    if (built.tokens == geometry.tokens && built.warps == geometry.warps &&
        built.stages == geometry.stages && built.blocks_per_sm == geometry.blocks_per_sm &&
        built.cluster == geometry.cluster && built.copies == geometry.copies) {
      return i;
    }
  }
  return -1;
}

int first_with_tokens(int tokens) {
  int i = 0;
  while (kBuilt[i].tokens != tokens) ++i;
  return i;
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
