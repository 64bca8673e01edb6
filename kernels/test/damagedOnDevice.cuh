// Damaged containers: the host rejects them, or the device decodes and multiplies them as the host
// does.
#pragma once

#include "expected.cuh"

namespace spinfer::test {

inline void check_accepted(Random& random, const Container& container, const spinfer_meta& meta) {
  const DeviceMatrix matrix(container, meta);
  const uint64_t count = static_cast<uint64_t>(meta.rows) * meta.cols;
  std::vector<uint16_t> wanted(count);
  must(spinfer_host_decode(&meta, container.offsets(), container.payload.data(), wanted.data()));
  const Buffer dense(count * 2);
  dense.poison();
  must(spinfer_decode(&matrix.view, dense.as<>(), nullptr));
  check(dense.download<uint16_t>() == wanted, "a damaged %u x %u decodes differently on the GPU",
        meta.rows, meta.cols);

  const uint32_t n = 1 + random.below(20);
  const HalfFormat format = format_of(meta.value_dtype);
  const std::vector<uint16_t> x = make_inputs(random, static_cast<size_t>(n) * meta.cols, format);
  const Buffer inputs(x), y(static_cast<size_t>(n) * meta.rows * 2);
  y.poison();
  uint64_t bytes = 0;
  must(spinfer_spmm_workspace(&matrix.view, inputs.as<>(), n, &bytes));
  const Buffer workspace(bytes);
  must(spinfer_spmm(&matrix.view, inputs.as<>(), n, y.as<>(), nullptr, workspace.as<>(), bytes, 0,
                    nullptr));
  must(cudaDeviceSynchronize(), "a damaged container that the host accepted");
  Expected expected{std::vector<double>(static_cast<size_t>(n) * meta.rows),
                    std::vector<double>(static_cast<size_t>(n) * meta.rows)};
  must(spinfer_host_spmm(&meta, container.offsets(), container.payload.data(), x.data(), n,
                         expected.sums.data(), expected.sizes.data()));
  const Verdict verdict =
      compare(y.download<uint16_t>(), expected, {meta.rows, meta.cols}, format);
  check(verdict.wrong == 0, "a damaged %u x %u, n %u: %zu wrong, the first %g, not %g", meta.rows,
        meta.cols, n, verdict.wrong, verdict.found, verdict.wanted);
}

// `count` damaged copies of random matrices.
inline void damaged_containers_are_rejected_or_run_clean(Random& random, int count) {
  constexpr int kOfEach = 500;
  int rejected = 0, accepted = 0;
  for (int matrix = 0; matrix < count / kOfEach; ++matrix) {
    const Shape shape{1 + random.below(80), 1 + random.below(160)};
    const uint8_t dtype = static_cast<uint8_t>(1 + random.below(2));
    const Container good = encode(
        make_dense(random, shape, static_cast<Mask>(random.below(5)), 0.5, format_of(dtype)), shape,
        dtype);
    for (int round = 0; round < kOfEach; ++round) {
      const Container bad = damaged(random, good);
      spinfer_meta meta;
      if (validate(bad, &meta) != SPINFER_OK) {
        ++rejected;
        continue;
      }
      ++accepted;
      check_accepted(random, bad, meta);
    }
  }
  check(rejected > count / 2 && accepted > count / 50, "%d rejected, %d run", rejected, accepted);
  std::printf("damaged containers: %d rejected on the host, %d run on the GPU\n", rejected,
              accepted);
}

}  // namespace spinfer::test
