// cuBLAS through dlopen: only the declarations that are used, from the documentation of version 13.
#include <dlfcn.h>

#include <cstring>

#include "denseBaseline.h"

namespace spinfer::bench {
namespace {

constexpr size_t kWorkspaceBytes = 64u << 20;

// Values of the enumerations cudaDataType, cublasComputeType_t, cublasOperation_t and the
// attributes.
constexpr int kReal32 = 0, kReal16 = 2, kRealBf16 = 14, kCompute32 = 68;
constexpr int kNormal = 0, kTransposed = 1, kDefaultAlgorithm = -1;
constexpr int kAttributeTransposeA = 3, kAttributeTransposeB = 4, kPreferenceWorkspace = 1;

struct Heuristic {
  uint64_t algorithm[8];
  size_t workspace;
  int status;
  float waves;
  int reserved[4];
};

void* open_library(const char* name) {
  const char* folders[] = {std::getenv("SPINFER_CUBLAS_DIR"), "",
                           "/usr/local/cuda/targets/x86_64-linux/lib/", "/usr/local/cuda/lib64/"};
  for (const char* folder : folders) {
    if (folder == nullptr) continue;
    std::string path(folder);
    if (!path.empty() && path.back() != '/') path += '/';
    if (void* library = dlopen((path + name).c_str(), RTLD_NOW | RTLD_GLOBAL)) return library;
  }
  std::printf("FATAL %s: %s (SPINFER_CUBLAS_DIR names its folder)\n", name, dlerror());
  std::exit(3);
}

template <class Function>
Function find(void* library, const char* name) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) {
    std::printf("FATAL cuBLAS has no %s\n", name);
    std::exit(3);
  }
  return reinterpret_cast<Function>(symbol);
}

struct Lt {
  int (*create)(void**);
  int (*create_operation)(void**, int, int);
  int (*destroy_operation)(void*);
  int (*set_operation)(void*, int, const void*, size_t);
  int (*create_layout)(void**, int, uint64_t, uint64_t, int64_t);
  int (*destroy_layout)(void*);
  int (*create_preference)(void**);
  int (*destroy_preference)(void*);
  int (*set_preference)(void*, int, const void*, size_t);
  int (*heuristics)(void*, void*, void*, void*, void*, void*, void*, int, Heuristic*, int*);
  int (*multiply)(void*, void*, const void*, const void*, void*, const void*, void*, const void*,
                  const void*, void*, void*, void*, const void*, void*, size_t, cudaStream_t);

  Lt() {
    void* library = open_library("libcublasLt.so.13");
    create = find<decltype(create)>(library, "cublasLtCreate");
    create_operation = find<decltype(create_operation)>(library, "cublasLtMatmulDescCreate");
    destroy_operation = find<decltype(destroy_operation)>(library, "cublasLtMatmulDescDestroy");
    set_operation = find<decltype(set_operation)>(library, "cublasLtMatmulDescSetAttribute");
    create_layout = find<decltype(create_layout)>(library, "cublasLtMatrixLayoutCreate");
    destroy_layout = find<decltype(destroy_layout)>(library, "cublasLtMatrixLayoutDestroy");
    create_preference =
        find<decltype(create_preference)>(library, "cublasLtMatmulPreferenceCreate");
    destroy_preference =
        find<decltype(destroy_preference)>(library, "cublasLtMatmulPreferenceDestroy");
    set_preference =
        find<decltype(set_preference)>(library, "cublasLtMatmulPreferenceSetAttribute");
    heuristics = find<decltype(heuristics)>(library, "cublasLtMatmulAlgoGetHeuristic");
    multiply = find<decltype(multiply)>(library, "cublasLtMatmul");
  }
};
const Lt& lt() {
  static const Lt functions;
  return functions;
}

struct Gemm {
  int (*create)(void**);
  int (*set_stream)(void*, cudaStream_t);
  int (*set_workspace)(void*, void*, size_t);
  int (*multiply)(void*, int, int, int, int, int, const void*, const void*, int, int, const void*,
                  int, int, const void*, void*, int, int, int, int);
  Gemm() {
    void* library = open_library("libcublas.so.13");
    create = find<decltype(create)>(library, "cublasCreate_v2");
    set_stream = find<decltype(set_stream)>(library, "cublasSetStream_v2");
    set_workspace = find<decltype(set_workspace)>(library, "cublasSetWorkspace_v2");
    multiply = find<decltype(multiply)>(library, "cublasGemmEx");
  }
};
const Gemm& gemm() {
  static const Gemm functions;
  return functions;
}

void must_blas(int status, const char* what) {
  if (status == 0) return;
  std::printf("FATAL %s: cuBLAS status %d\n", what, status);
  std::exit(3);
}

// Column-major, as cuBLAS sees it: W^T is cols x rows, x cols x n, y rows x n.
struct Operation {
  void *description, *w, *x, *y;

  explicit Operation(const DenseProblem& p) {
    const int type = p.dtype == SPINFER_BF16 ? kRealBf16 : kReal16;
    must_blas(lt().create_operation(&description, kCompute32, kReal32), "operation");
    const int transposed = kTransposed, normal = kNormal;
    must_blas(lt().set_operation(description, kAttributeTransposeA, &transposed, 4), "transpose");
    must_blas(lt().set_operation(description, kAttributeTransposeB, &normal, 4), "transpose");
    must_blas(lt().create_layout(&w, type, p.cols, p.rows, p.cols), "layout");
    must_blas(lt().create_layout(&x, type, p.cols, p.n, p.cols), "layout");
    must_blas(lt().create_layout(&y, type, p.rows, p.n, p.rows), "layout");
  }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() {
    for (void* layout : {w, x, y}) lt().destroy_layout(layout);
    lt().destroy_operation(description);
  }
};

// Heuristics with the whole workspace and with none: the two lists differ.
std::vector<Heuristic> candidates(void* handle, const Operation& operation) {
  std::vector<Heuristic> all;
  for (const size_t bytes : {kWorkspaceBytes, size_t{4} << 20, size_t{0}}) {
    void* preference;
    must_blas(lt().create_preference(&preference), "preference");
    const uint64_t limit = bytes;
    must_blas(lt().set_preference(preference, kPreferenceWorkspace, &limit, 8), "workspace");
    Heuristic found[32];
    int count = 0;
    if (lt().heuristics(handle, operation.description, operation.w, operation.x, operation.y,
                        operation.y, preference, 32, found, &count) != 0) {
      count = 0;
    }
    for (int i = 0; i < count; ++i) {
      const bool known = std::any_of(all.begin(), all.end(), [&](const Heuristic& h) {
        return std::memcmp(h.algorithm, found[i].algorithm, sizeof h.algorithm) == 0;
      });
      if (!known && found[i].status == 0) all.push_back(found[i]);
    }
    lt().destroy_preference(preference);
  }
  return all;
}

}  // namespace

DenseBaseline::DenseBaseline() : workspace_(kWorkspaceBytes) {
  must_blas(lt().create(&lt_), "cublasLtCreate");
  must_blas(gemm().create(&gemm_), "cublasCreate");
}

DenseResult DenseBaseline::measure(const DenseProblem& p, cudaStream_t stream,
                                   const std::function<bool()>& is_right) {
  const float one = 1, zero = 0;
  const size_t y_bytes = static_cast<size_t>(p.n) * p.rows * 2;
  const auto weights = [&](int copy) {
    return static_cast<const uint8_t*>(p.weights) + copy * p.copy_bytes;
  };
  const double expected_us = static_cast<double>(p.rows) * p.cols * 2 / 2.6e6;
  DenseResult result;
  // Times a candidate whose first run on a poisoned y was right.
  const auto judge = [&](const std::function<int(int)>& run, Timing* best) {
    must(cudaMemsetAsync(p.y, 0xff, y_bytes, stream), "poison");
    if (run(0) != 0) return false;
    must(cudaStreamSynchronize(stream), "dense product");
    if (!is_right()) {
      result.note += " a wrong dense product was left out;";
      return false;
    }
    const Timing timing =
        time_call([&](int copy) { must_blas(run(copy), "dense"); }, p.copies, expected_us, stream);
    if (best->us == 0 || timing.us < best->us) *best = timing;
    return true;
  };

  const Operation operation(p);
  for (const Heuristic& h : candidates(lt_, operation)) {
    result.heuristics += judge(
        [&](int copy) {
          return lt().multiply(lt_, operation.description, &one, weights(copy), operation.w, p.x,
                               operation.x, &zero, p.y, operation.y, p.y, operation.y, h.algorithm,
                               workspace_.as<>(), kWorkspaceBytes, stream);
        },
        &result.lt);
  }
  const int type = p.dtype == SPINFER_BF16 ? kRealBf16 : kReal16;
  must_blas(gemm().set_stream(gemm_, stream), "stream");
  must_blas(gemm().set_workspace(gemm_, workspace_.as<>(), kWorkspaceBytes), "workspace");
  const int rows = static_cast<int>(p.rows), cols = static_cast<int>(p.cols);
  judge(
      [&](int copy) {
        return gemm().multiply(gemm_, kTransposed, kNormal, rows, static_cast<int>(p.n), cols, &one,
                               weights(copy), type, cols, p.x, type, cols, &zero, p.y, type, rows,
                               kCompute32, kDefaultAlgorithm);
      },
      &result.gemm);
  return result;
}

}  // namespace spinfer::bench
