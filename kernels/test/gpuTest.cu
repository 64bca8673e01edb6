// Correctness of the kernels on a GPU.
//
//   gpuTest              the whole grid, the codec, determinism, dependent launch, large offsets
//   gpuTest damaged      100,000 damaged containers
//   gpuTest sanitizer    some thousand small cases, for compute-sanitizer
//   gpuTest short        some hundred of them, for its slow tools
#include <cstring>
#include <string>

#include "damagedOnDevice.cuh"

namespace spinfer::test {
namespace {

struct Case {
  Shape shape;
  uint32_t n;
  uint8_t dtype;
  Mask mask;
  double sparsity;
  int geometry;  // index of the list, or -1 for the built-in choice
  int round_robin;
  uint32_t flags;
  bool odd_x;  // x not 16-byte aligned
};

std::string text_of(const Case& c) {
  char text[200];
  std::snprintf(text, sizeof text, "%u x %u, n %u, dtype %u, %s %.2f, geometry %d%s, flags %u%s",
                c.shape.rows, c.shape.cols, c.n, c.dtype, name_of(c.mask), c.sparsity, c.geometry,
                c.round_robin ? " round robin" : "", c.flags, c.odd_x ? ", x unaligned" : "");
  return text;
}

constexpr size_t kGuard = 64;  // poisoned values behind y that must stay

// Everything on the device that a product needs.
struct Setup {
  Buffer dense, x, y, workspace;
  DeviceMatrix matrix;
  const uint16_t* inputs;
  uint64_t workspace_bytes;
};

Setup upload(const Case& c, const std::vector<uint16_t>& dense, const std::vector<uint16_t>& x) {
  const Container container = encode(dense, c.shape, c.dtype);
  spinfer_meta meta{};
  must(validate(container, &meta, SPINFER_CHECK_CRC), "validate");
  DeviceMatrix matrix(container, meta);
  std::vector<uint16_t> placed(x);
  if (c.odd_x) placed.insert(placed.begin(), 0xffff);
  Buffer device_x(placed);
  const uint16_t* inputs = device_x.as<uint16_t>() + (c.odd_x ? 1 : 0);
  uint64_t bytes = 0;
  must(spinfer_spmm_workspace(&matrix.view, inputs, c.n, &bytes), "workspace");
  Buffer workspace(bytes + 16);
  workspace.poison();
  return {Buffer(dense),
          std::move(device_x),
          Buffer((static_cast<size_t>(c.n) * c.shape.rows + kGuard) * 2),
          std::move(workspace),
          std::move(matrix),
          inputs,
          bytes};
}

spinfer_status multiply(const Case& c, const Setup& s, cudaStream_t stream = nullptr) {
  spinfer_geometry geometry{};
  if (c.geometry >= 0) {
    must(spinfer_list_geometry(c.geometry, &geometry), "geometry");
    geometry.round_robin = c.round_robin;
  }
  return spinfer_spmm(
      &s.matrix.view, s.inputs, c.n, s.y.as<>(), c.geometry >= 0 ? &geometry : nullptr,
      s.workspace_bytes > 0 ? s.workspace.as<>() : nullptr, s.workspace_bytes, c.flags, stream);
}

void run_case(const Case& c, Random& random, int repeats = 1) {
  const HalfFormat format = format_of(c.dtype);
  const std::vector<uint16_t> dense = make_dense(random, c.shape, c.mask, c.sparsity, format);
  const std::vector<uint16_t> x =
      make_inputs(random, static_cast<size_t>(c.n) * c.shape.cols, format);
  const Setup s = upload(c, dense, x);
  const Expected expected =
      expected_product(s.dense.as<uint16_t>(), s.inputs, c.shape, c.n, c.dtype);
  std::vector<uint16_t> first;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    s.y.poison();
    const spinfer_status status = multiply(c, s);
    // Long rings of dense chunks do not fit: a geometry may say so, the built-in choice may not.
    if (status == SPINFER_UNSUPPORTED && c.geometry >= 0) return;
    if (!check(status == SPINFER_OK, "%s: %s", text_of(c).c_str(), spinfer_last_error())) return;
    must(cudaDeviceSynchronize(), text_of(c).c_str());
    const std::vector<uint16_t> y = s.y.download<uint16_t>();
    if (repeat > 0) {
      check(y == first, "%s: run %d differs from the first", text_of(c).c_str(), repeat);
      continue;
    }
    first = y;
    const Verdict verdict = compare(y, expected, c.shape, format);
    check(verdict.wrong == 0, "%s: %zu of %zu wrong, the first at row %zu of token %zu: %g, not %g",
          text_of(c).c_str(), verdict.wrong, expected.sums.size(), verdict.first % c.shape.rows,
          verdict.first / c.shape.rows, verdict.found, verdict.wanted);
    bool guarded = true;
    for (size_t i = y.size() - kGuard; i < y.size(); ++i) guarded &= y[i] == 0xffff;
    check(guarded, "%s: wrote behind y", text_of(c).c_str());
  }
}

int geometries() {
  spinfer_geometry geometry;
  int count = 0;
  while (spinfer_list_geometry(count, &geometry) == SPINFER_OK) ++count;
  return count;
}

const Shape kShapes[] = {{1, 1},     {1, 64},     {64, 1},    {7, 13},     {16, 64},  {31, 63},
                         {32, 64},   {33, 65},    {97, 131},  {127, 257},  {1, 1000}, {251, 509},
                         {512, 512}, {257, 1031}, {96, 4096}, {1000, 1000}};
const uint32_t kTokens[] = {1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 24, 31, 33, 64, 100, 257};
const double kSparsities[] = {0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.9, 0.99, 1};

template <class T, size_t kCount>
const T& any_of(Random& random, const T (&list)[kCount]) {
  return list[random.below(kCount)];
}

Case random_case(Random& random, Shape shape, uint32_t n, int geometry) {
  return {shape,
          n,
          static_cast<uint8_t>(1 + random.below(2)),
          static_cast<Mask>(random.below(5)),
          any_of(random, kSparsities),
          geometry,
          static_cast<int>(random.below(2)),
          random.below(2) ? static_cast<uint32_t>(SPINFER_OVERLAP) : 0,
          random.below(8) == 0};
}

// GP-11, GP-12: every geometry over every shape, the other dimensions drawn.
void products_over_the_grid(Random& random, int rounds) {
  const int count = geometries();
  for (int round = 0; round < rounds; ++round) {
    for (const Shape& shape : kShapes) {
      for (int geometry = -1; geometry < count; ++geometry) {
        run_case(random_case(random, shape, any_of(random, kTokens), geometry), random);
      }
    }
  }
  for (const uint32_t n : kTokens) {
    for (int geometry = -1; geometry < count; ++geometry) {
      run_case(random_case(random, any_of(random, kShapes), n, geometry), random);
    }
  }
}

void products_at_every_sparsity_and_mask(Random& random) {
  for (const double sparsity : kSparsities) {
    for (int mask = 0; mask < 5; ++mask) {
      for (const uint8_t dtype : {SPINFER_F16, SPINFER_BF16}) {
        run_case({{160, 2048}, 8, dtype, static_cast<Mask>(mask), sparsity, -1, 0, 0, false},
                 random);
      }
    }
  }
}

void products_of_model_shapes(Random& random) {
  for (const Shape shape : {Shape{1024, 4096}, Shape{4096, 4096}, Shape{2048, 11008},
                            Shape{14336, 1024}, Shape{28672, 512}}) {
    for (const uint32_t n : {1u, 8u, 32u}) {
      run_case(random_case(random, shape, n, -1), random);
    }
  }
}

// GP-13: the same bits on every run, in every geometry.
void products_are_deterministic(Random& random) {
  for (int geometry = -1; geometry < geometries(); ++geometry) {
    run_case({{512, 4096}, 16, SPINFER_F16, Mask::kRandom, 0.5, geometry, 1, 0, false}, random,
             100);
  }
}

// An infinite or NaN weight or input gives what the dense product gives.
void products_carry_infinities_and_nans(Random& random) {
  for (int i = 0; i < 40; ++i) {
    Case c = random_case(random, {97, 515}, 9, i % (geometries() + 1) - 1);
    c.sparsity = 0.5;
    const HalfFormat format = format_of(c.dtype);
    std::vector<uint16_t> dense = make_dense(random, c.shape, Mask::kRandom, 0.5, format);
    std::vector<uint16_t> x = make_inputs(random, static_cast<size_t>(c.n) * c.shape.cols, format);
    const double odd[] = {INFINITY, -INFINITY, NAN, -0.0};
    for (int j = 0; j < 4; ++j) {
      dense[random.below(static_cast<uint32_t>(dense.size()))] = double_to_half(odd[j], format);
    }
    if (i % 2) x[random.below(static_cast<uint32_t>(x.size()))] = double_to_half(INFINITY, format);
    const Setup s = upload(c, dense, x);
    const Expected expected =
        expected_product(s.dense.as<uint16_t>(), s.inputs, c.shape, c.n, c.dtype);
    s.y.poison();
    const spinfer_status status = multiply(c, s);
    if (status == SPINFER_UNSUPPORTED) continue;
    must(status, "product with infinities");
    const Verdict verdict = compare(s.y.download<uint16_t>(), expected, c.shape, format);
    check(verdict.wrong == 0, "%s with infinities: %zu wrong, the first %g, not %g",
          text_of(c).c_str(), verdict.wrong, verdict.found, verdict.wanted);
  }
}

// Decoder and encoder on the device equal the host twin byte for byte.
void codec_case(const std::vector<uint16_t>& dense, Shape shape, uint8_t dtype) {
  const Container container = encode(dense, shape, dtype);
  spinfer_meta meta{};
  must(validate(container, &meta), "validate");
  const DeviceMatrix matrix(container, meta);
  const Buffer out(dense.size() * 2);
  out.poison();
  must(spinfer_decode(&matrix.view, out.as<>(), nullptr), "decode");
  check(out.download<uint16_t>() == dense, "decode %u x %u differs", shape.rows, shape.cols);

  const Buffer source(dense), offsets(4 * (meta.chunks + 1ull));
  offsets.poison();
  must(spinfer_encode_offsets(source.as<>(), shape.rows, shape.cols, offsets.as<uint32_t>(),
                              nullptr),
       "encode_offsets");
  const std::vector<uint32_t> found = offsets.download<uint32_t>();
  if (!check(std::memcmp(found.data(), container.offsets(), 4 * found.size()) == 0,
             "encode %u x %u: other offsets", shape.rows, shape.cols)) {
    return;
  }
  const Buffer payload(container.payload.size());
  payload.poison();
  must(spinfer_encode_payload(source.as<>(), shape.rows, shape.cols, offsets.as<uint32_t>(),
                              payload.as<>(), nullptr),
       "encode_payload");
  check(payload.download<uint8_t>() == container.payload, "encode %u x %u: other payload",
        shape.rows, shape.cols);
}

void codec_over_shapes_and_masks(Random& random, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (const Shape& shape : kShapes) {
      const uint8_t dtype = static_cast<uint8_t>(1 + random.below(2));
      codec_case(make_dense(random, shape, static_cast<Mask>(random.below(5)),
                            any_of(random, kSparsities), format_of(dtype)),
                 shape, dtype);
    }
  }
  std::vector<uint16_t> patterns(65536);
  for (uint32_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<uint16_t>(i);
  codec_case(patterns, {256, 256}, SPINFER_F16);
  codec_case(patterns, {1, 65536}, SPINFER_BF16);
}

// Layers that feed each other, launched early: the same bits as one after the other.
void dependent_launches_see_the_inputs_they_depend_on(Random& random) {
  const Shape shape{1024, 1024};
  const uint32_t n = 8;
  std::vector<uint16_t> dense = make_dense(random, shape, Mask::kRandom, 0.6, kFp16);
  for (uint16_t& value : dense) {
    value = double_to_half(half_to_double(value, kFp16) / 32, kFp16);
  }
  const Container container = encode(dense, shape, SPINFER_F16);
  spinfer_meta meta{};
  must(validate(container, &meta), "validate");
  const DeviceMatrix matrix(container, meta);
  const std::vector<uint16_t> x = make_inputs(random, static_cast<size_t>(n) * shape.cols, kFp16);
  const Buffer ping(x), pong(x.size() * 2);
  cudaStream_t stream;
  must(cudaStreamCreate(&stream), "stream");
  std::vector<uint16_t> results[2];
  for (const uint32_t flags : {0u, static_cast<uint32_t>(SPINFER_OVERLAP)}) {
    must(cudaMemcpy(ping.as<>(), x.data(), x.size() * 2, cudaMemcpyHostToDevice), "upload");
    for (int layer = 0; layer < 200; ++layer) {
      const bool even = layer % 2 == 0;
      must(spinfer_spmm(&matrix.view, (even ? ping : pong).as<>(), n, (even ? pong : ping).as<>(),
                        nullptr, nullptr, 0, flags, stream),
           "layer");
    }
    must(cudaStreamSynchronize(stream), "layers");
    results[flags] = ping.download<uint16_t>();
  }
  must(cudaStreamDestroy(stream), "stream");
  check(results[0] == results[1], "200 layers with dependent launch differ from 200 without");
}

__global__ void fill_dense(uint16_t* dense, uint64_t count) {
  uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i < count; i += static_cast<uint64_t>(gridDim.x) * blockDim.x) {
    uint64_t z = (i + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z ^= z >> 27;
    // Half are zeros; the rest of either sign, in [0.125, 0.25).
    dense[i] = z & 1 ? static_cast<uint16_t>((z >> 8 & 0x83ff) | 0x3000) : 0;
  }
}
__global__ void count_differences(const uint16_t* a, const uint16_t* b, uint64_t count,
                                  unsigned long long* differences) {
  uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i < count; i += static_cast<uint64_t>(gridDim.x) * blockDim.x) {
    if (a[i] != b[i]) atomicAdd(differences, 1ull);
  }
}

// TB-11: payload beyond 2^31 bytes, more than 2^31 weights: encode, decode and multiply.
void offsets_beyond_two_gigabytes() {
  const Shape shape{65600, 32800};
  const uint64_t count = static_cast<uint64_t>(shape.rows) * shape.cols;
  const Grid grid = grid_of(shape.rows, shape.cols);
  const Buffer dense(count * 2), offsets(4 * (grid.chunks + 1)), differences(8);
  fill_dense<<<4096, 256>>>(dense.as<uint16_t>(), count);
  must(
      spinfer_encode_offsets(dense.as<>(), shape.rows, shape.cols, offsets.as<uint32_t>(), nullptr),
      "encode_offsets");
  const std::vector<uint32_t> starts = offsets.download<uint32_t>();
  const uint64_t bytes = static_cast<uint64_t>(starts.back()) * kAlign;
  check(bytes > 1ull << 31, "the payload has %llu bytes", static_cast<unsigned long long>(bytes));
  const Buffer payload(bytes);
  payload.poison();
  must(spinfer_encode_payload(dense.as<>(), shape.rows, shape.cols, offsets.as<uint32_t>(),
                              payload.as<>(), nullptr),
       "encode_payload");
  uint32_t longest = 0;
  for (size_t i = 1; i < starts.size(); ++i) {
    longest = std::max(longest, (starts[i] - starts[i - 1]) * kAlign);
  }
  const spinfer_matrix view{
      payload.as<>(), offsets.as<uint32_t>(),      shape.rows, shape.cols, longest,
      SPINFER_F16,    SPINFER_ORDER_NIBBLE_PLANES, 0};
  {
    const Buffer back(count * 2);
    back.poison();
    must(cudaMemset(differences.as<>(), 0, 8), "memset");
    must(spinfer_decode(&view, back.as<>(), nullptr), "decode");
    count_differences<<<4096, 256>>>(dense.as<uint16_t>(), back.as<uint16_t>(), count,
                                     differences.as<unsigned long long>());
    const uint64_t wrong = differences.download<uint64_t>()[0];
    check(wrong == 0, "large decode: %llu weights differ", static_cast<unsigned long long>(wrong));
  }
  Random random(11);
  const uint32_t n = 3;
  const Buffer x(make_inputs(random, static_cast<size_t>(n) * shape.cols, kFp16));
  const Buffer y(static_cast<size_t>(n) * shape.rows * 2);
  y.poison();
  uint64_t workspace_bytes = 0;
  must(spinfer_spmm_workspace(&view, x.as<>(), n, &workspace_bytes), "workspace");
  const Buffer workspace(workspace_bytes + 16);
  must(spinfer_spmm(&view, x.as<>(), n, y.as<>(), nullptr, workspace.as<>(), workspace_bytes, 0,
                    nullptr),
       "large product");
  const Expected expected =
      expected_product(dense.as<uint16_t>(), x.as<uint16_t>(), shape, n, SPINFER_F16);
  const Verdict verdict = compare(y.download<uint16_t>(), expected, shape, kFp16);
  check(verdict.wrong == 0, "large product: %zu wrong, the first %g, not %g", verdict.wrong,
        verdict.found, verdict.wanted);
}

void bad_arguments_are_named(Random& random) {
  const Case c{{64, 128}, 4, SPINFER_F16, Mask::kRandom, 0.5, -1, 0, 0, false};
  const Setup s =
      upload(c, make_dense(random, c.shape, c.mask, 0.5, kFp16), make_inputs(random, 512, kFp16));
  const auto refused = [&](spinfer_matrix w, const void* x, uint32_t n, void* y, uint32_t flags,
                           const spinfer_geometry* geometry, const char* reason) {
    const spinfer_status status = spinfer_spmm(&w, x, n, y, geometry, nullptr, 0, flags, nullptr);
    check(status == SPINFER_BAD_ARGUMENT && std::strstr(spinfer_last_error(), reason) != nullptr,
          "status %d, \"%s\", expected \"%s\"", status, spinfer_last_error(), reason);
  };
  const spinfer_matrix good = s.matrix.view;
  void* const y = s.y.as<>();
  spinfer_matrix bad = good;
  bad.payload = nullptr;
  refused(bad, s.inputs, 4, y, 0, nullptr, "null");
  bad = good, bad.rows = 0;
  refused(bad, s.inputs, 4, y, 0, nullptr, "rows");
  bad = good, bad.value_dtype = 7;
  refused(bad, s.inputs, 4, y, 0, nullptr, "dtype");
  bad = good, bad.max_chunk_bytes = 4368;
  refused(bad, s.inputs, 4, y, 0, nullptr, "longest chunk");
  bad = good, bad.cols = 127;
  refused(bad, s.inputs, 4, y, 0, nullptr, "workspace");
  refused(good, nullptr, 4, y, 0, nullptr, "x must");
  refused(good, s.inputs, 0, y, 0, nullptr, "n is 0");
  refused(good, s.inputs, 4, nullptr, 0, nullptr, "y must");
  refused(good, s.inputs, 4, y, 4, nullptr, "flags");
  const spinfer_geometry none{8, 7, 2, 1, 1, 0, 1};
  refused(good, s.inputs, 4, y, 0, &none, "no kernel of");
}

}  // namespace
}  // namespace spinfer::test

int main(int argc, char** argv) {
  using namespace spinfer::test;
  const std::string what = argc > 1 ? argv[1] : "";
  const bool small = what == "sanitizer" || what == "short";
  Random random(small ? 21 : 20);
  try {
    spinfer::must(spinfer_check_device());
    if (what == "damaged") {
      damaged_containers_are_rejected_or_run_clean(random, 100000);
      return report("gpuTest damaged");
    }
    products_over_the_grid(random, what == "short" ? 0 : small ? 1 : 8);
    codec_over_shapes_and_masks(random, small ? 1 : 10);
    products_carry_infinities_and_nans(random);
    bad_arguments_are_named(random);
    if (small) {
      damaged_containers_are_rejected_or_run_clean(random, 1000);
    } else {
      products_at_every_sparsity_and_mask(random);
      products_of_model_shapes(random);
      products_are_deterministic(random);
      dependent_launches_see_the_inputs_they_depend_on(random);
      offsets_beyond_two_gigabytes();
    }
  } catch (const spinfer::Failure& failure) {  // a fault is not survivable: CUDA errors are sticky
    std::printf("FATAL status %d: %s\n", failure.status, failure.message.c_str());
    return 3;
  }
  return report(("gpuTest " + what).c_str());
}
