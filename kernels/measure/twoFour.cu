// cuSPARSELt through dlopen: only the declarations that are used, from the documentation of 0.8.
#include "twoFour.h"

#include "openLibrary.h"

namespace spinfer {
namespace {

// Opaque structs of the library: 512 bytes each in 0.8, 11,024 in older versions.
struct alignas(16) Opaque {
  uint8_t bytes[16384];
};

constexpr int kReal16 = 2, kRealBf16 = 14, kCompute32 = 2, kNormal = 0;
constexpr int kColumnMajor = 1, kRowMajor = 2, kHalf = 0, kDefaultAlgorithm = 0;
constexpr uint32_t kAlignment = 16;

struct Functions {
  int (*initialize)(Opaque*);
  int (*destroy)(const Opaque*);
  int (*dense)(const Opaque*, Opaque*, int64_t, int64_t, int64_t, uint32_t, int, int);
  int (*structured)(const Opaque*, Opaque*, int64_t, int64_t, int64_t, uint32_t, int, int, int);
  int (*operation)(const Opaque*, Opaque*, int, int, const Opaque*, const Opaque*, const Opaque*,
                   const Opaque*, int);
  int (*selection)(const Opaque*, Opaque*, const Opaque*, int);
  int (*plan)(const Opaque*, Opaque*, const Opaque*, const Opaque*);
  int (*destroy_plan)(const Opaque*);
  int (*workspace)(const Opaque*, const Opaque*, size_t*);
  int (*compressed_size)(const Opaque*, const Opaque*, size_t*, size_t*);
  int (*compress)(const Opaque*, const Opaque*, const void*, void*, void*, cudaStream_t);
  int (*search)(const Opaque*, Opaque*, const void*, const void*, const void*, const void*,
                const void*, void*, void*, cudaStream_t*, int32_t);
  int (*multiply)(const Opaque*, const Opaque*, const void*, const void*, const void*, const void*,
                  const void*, void*, void*, cudaStream_t*, int32_t);

  Functions() {
    const OpenLibrary library("cuSPARSELt", {"libcusparseLt.so.0"});
    initialize = library.find<decltype(initialize)>("cusparseLtInit");
    destroy = library.find<decltype(destroy)>("cusparseLtDestroy");
    dense = library.find<decltype(dense)>("cusparseLtDenseDescriptorInit");
    structured = library.find<decltype(structured)>("cusparseLtStructuredDescriptorInit");
    operation = library.find<decltype(operation)>("cusparseLtMatmulDescriptorInit");
    selection = library.find<decltype(selection)>("cusparseLtMatmulAlgSelectionInit");
    plan = library.find<decltype(plan)>("cusparseLtMatmulPlanInit");
    destroy_plan = library.find<decltype(destroy_plan)>("cusparseLtMatmulPlanDestroy");
    workspace = library.find<decltype(workspace)>("cusparseLtMatmulGetWorkspace");
    compressed_size = library.find<decltype(compressed_size)>("cusparseLtSpMMACompressedSize");
    compress = library.find<decltype(compress)>("cusparseLtSpMMACompress");
    search = library.find<decltype(search)>("cusparseLtMatmulSearch");
    multiply = library.find<decltype(multiply)>("cusparseLtMatmul");
  }
};
const Functions& functions() {
  static const Functions all;
  return all;
}

void must_lt(int status, const char* what) {
  if (status != 0) must(fail(SPINFER_UNSUPPORTED, "%s: cuSPARSELt status %d", what, status));
}

__global__ void keep_two_of_four(const uint64_t* __restrict__ from, uint64_t* __restrict__ to,
                                 uint64_t count) {
  uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i < count; i += static_cast<uint64_t>(gridDim.x) * blockDim.x) {
    const uint64_t four = from[i];
    uint64_t kept = 0;
    for (int j = 0; j < 4; ++j) {
      const uint32_t own = four >> (16 * j) & 0x7fff;
      int larger = 0;  // magnitudes order as integers; the lower index wins among equals
      for (int k = 0; k < 4; ++k) {
        const uint32_t other = four >> (16 * k) & 0x7fff;
        larger += other > own || (other == own && k < j);
      }
      if (larger < 2) kept |= four & (0xffffull << (16 * j));
    }
    to[i] = kept;
  }
}

}  // namespace

void cut_to_two_of_four(const uint16_t* dense, uint16_t* out, uint32_t rows, uint32_t cols,
                        cudaStream_t stream) {
  keep_two_of_four<<<1024, 256, 0, stream>>>(reinterpret_cast<const uint64_t*>(dense),
                                             reinterpret_cast<uint64_t*>(out),
                                             static_cast<uint64_t>(rows) * cols / 4);
  must(cudaGetLastError(), "keep_two_of_four");
}

struct TwoFour::State {
  DenseProblem problem;
  cudaStream_t stream;
  Opaque handle, w, x, y, operation, selection, plan;
  bool has_handle = false, has_plan = false;
  Buffer compressed{0}, workspace{0};
  size_t stride = 0;
  int copies = 0;

  ~State() {
    if (has_plan) functions().destroy_plan(&plan);
    if (has_handle) functions().destroy(&handle);
  }
  bool multiply(int copy) {
    const float one = 1, zero = 0;
    return functions().multiply(&handle, &plan, &one, compressed.as<uint8_t>() + copy * stride,
                                problem.x, &zero, problem.y, problem.y, workspace.as<>(), &stream,
                                1) == 0;
  }
};

TwoFour::TwoFour(const DenseProblem& p, cudaStream_t stream) : state_(new State{}) {
  State& s = *state_;
  const Functions& f = functions();
  s.problem = p;
  s.stream = stream;
  must_lt(f.initialize(&s.handle), "cusparseLtInit");
  s.has_handle = true;
  const int type = p.value_dtype == SPINFER_BF16 ? kRealBf16 : kReal16;
  // column-major, as the library sees it: y is rows x n, x is cols x n; W stays row-major
  must_lt(f.structured(&s.handle, &s.w, p.rows, p.cols, p.cols, kAlignment, type, kRowMajor, kHalf),
          "the weights' shape");
  must_lt(f.dense(&s.handle, &s.x, p.cols, p.n, p.cols, kAlignment, type, kColumnMajor),
          "the inputs' shape");
  must_lt(f.dense(&s.handle, &s.y, p.rows, p.n, p.rows, kAlignment, type, kColumnMajor),
          "the outputs' shape");
  must_lt(f.operation(&s.handle, &s.operation, kNormal, kNormal, &s.w, &s.x, &s.y, &s.y,
                      kCompute32),
          "the product");
  must_lt(f.selection(&s.handle, &s.selection, &s.operation, kDefaultAlgorithm), "the algorithm");
  must_lt(f.plan(&s.handle, &s.plan, &s.operation, &s.selection), "the plan");
  s.has_plan = true;
  size_t bytes = 0, scratch_bytes = 0;
  must_lt(f.compressed_size(&s.handle, &s.plan, &bytes, &scratch_bytes), "the compressed size");
  s.stride = (bytes + 255) / 256 * 256;
  s.copies = copies_for(s.stride);
  s.compressed = Buffer(s.stride * s.copies);
  const Buffer scratch(scratch_bytes);
  for (int i = 0; i < s.copies; ++i) {
    must_lt(f.compress(&s.handle, &s.plan, p.weights, s.compressed.as<uint8_t>() + i * s.stride,
                       scratch.as<>(), stream),
            "compression");
  }
  must(cudaStreamSynchronize(stream), "compression");
  const float one = 1, zero = 0;
  // the search measures the algorithms and leaves the fastest in the plan
  size_t workspace_bytes = 0;
  must_lt(f.workspace(&s.handle, &s.plan, &workspace_bytes), "the workspace");
  s.workspace = Buffer(std::max(workspace_bytes, size_t{64} << 20));
  must_lt(f.search(&s.handle, &s.plan, &one, s.compressed.as<>(), p.x, &zero, p.y, p.y,
                   s.workspace.as<>(), &s.stream, 1),
          "the search");
  must_lt(f.workspace(&s.handle, &s.plan, &workspace_bytes), "the workspace");
  if (workspace_bytes > s.workspace.bytes()) s.workspace = Buffer(workspace_bytes);
  must(cudaStreamSynchronize(stream), "the search");
}

TwoFour::~TwoFour() = default;

Candidate TwoFour::candidate() const {
  return {[state = state_.get()](int copy) { return state->multiply(copy); }, state_->copies,
          state_->stride / 2.6e6};
}

}  // namespace spinfer
