// cuBLAS through dlopen: only the declarations that are used, from the documentation of version 13.
#include "cublas.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "openLibrary.h"

namespace spinfer {
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

struct Lt {
  int (*create)(void**);
  int (*destroy)(void*);
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
    const OpenLibrary library("cuBLASLt", {"libcublasLt.so.13", "libcublasLt.so.12"});
    create = library.find<decltype(create)>("cublasLtCreate");
    destroy = library.find<decltype(destroy)>("cublasLtDestroy");
    create_operation = library.find<decltype(create_operation)>("cublasLtMatmulDescCreate");
    destroy_operation = library.find<decltype(destroy_operation)>("cublasLtMatmulDescDestroy");
    set_operation = library.find<decltype(set_operation)>("cublasLtMatmulDescSetAttribute");
    create_layout = library.find<decltype(create_layout)>("cublasLtMatrixLayoutCreate");
    destroy_layout = library.find<decltype(destroy_layout)>("cublasLtMatrixLayoutDestroy");
    create_preference =
        library.find<decltype(create_preference)>("cublasLtMatmulPreferenceCreate");
    destroy_preference =
        library.find<decltype(destroy_preference)>("cublasLtMatmulPreferenceDestroy");
    set_preference =
        library.find<decltype(set_preference)>("cublasLtMatmulPreferenceSetAttribute");
    heuristics = library.find<decltype(heuristics)>("cublasLtMatmulAlgoGetHeuristic");
    multiply = library.find<decltype(multiply)>("cublasLtMatmul");
  }
};
const Lt& lt() {
  static const Lt functions;
  return functions;
}

struct Gemm {
  int (*create)(void**);
  int (*destroy)(void*);
  int (*set_stream)(void*, cudaStream_t);
  int (*set_workspace)(void*, void*, size_t);
  int (*multiply)(void*, int, int, int, int, int, const void*, const void*, int, int, const void*,
                  int, int, const void*, void*, int, int, int, int);
  Gemm() {
    const OpenLibrary library("cuBLAS", {"libcublas.so.13", "libcublas.so.12"});
    create = library.find<decltype(create)>("cublasCreate_v2");
    destroy = library.find<decltype(destroy)>("cublasDestroy_v2");
    set_stream = library.find<decltype(set_stream)>("cublasSetStream_v2");
    set_workspace = library.find<decltype(set_workspace)>("cublasSetWorkspace_v2");
    multiply = library.find<decltype(multiply)>("cublasGemmEx");
  }
};
const Gemm& gemm() {
  static const Gemm functions;
  return functions;
}

void must_blas(int status, const char* what) {
  if (status != 0) {
    must(fail(SPINFER_CUDA, "%s: cuBLAS status %d", what, status));
  }
}

int type_of(const DenseProblem& p) { return p.value_dtype == SPINFER_BF16 ? kRealBf16 : kReal16; }

// Column-major, as cuBLAS sees it: W^T is cols x rows, x cols x n, y rows x n.
struct Operation {
  void *description = nullptr, *w = nullptr, *x = nullptr, *y = nullptr;

  explicit Operation(const DenseProblem& p) {
    const int type = type_of(p);
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
    for (void* layout : {w, x, y}) {
      if (layout != nullptr) lt().destroy_layout(layout);
    }
    if (description != nullptr) lt().destroy_operation(description);
  }
};

}  // namespace

Cublas::Cublas(cudaStream_t stream) : workspace_(kWorkspaceBytes), stream_(stream) {
  must_blas(lt().create(&lt_), "cublasLtCreate");
  must_blas(gemm().create(&gemm_), "cublasCreate");
  must_blas(gemm().set_stream(gemm_, stream), "cublasSetStream");
  must_blas(gemm().set_workspace(gemm_, workspace_.as<>(), kWorkspaceBytes), "cublasSetWorkspace");
}

Cublas::~Cublas() {
  if (gemm_ != nullptr) gemm().destroy(gemm_);
  if (lt_ != nullptr) lt().destroy(lt_);
}

std::vector<Candidate> Cublas::lt_candidates(const DenseProblem& p) {
  const auto operation = std::make_shared<const Operation>(p);
  std::vector<Heuristic> all;
  for (const size_t bytes : {kWorkspaceBytes, size_t{4} << 20, size_t{0}}) {
    void* preference;
    must_blas(lt().create_preference(&preference), "cublasLtMatmulPreferenceCreate");
    const uint64_t limit = bytes;
    must_blas(lt().set_preference(preference, kPreferenceWorkspace, &limit, 8), "workspace limit");
    Heuristic found[32];
    int count = 0;
    if (lt().heuristics(lt_, operation->description, operation->w, operation->x, operation->y,
                        operation->y, preference, 32, found, &count) != 0) {
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
  std::vector<Candidate> list;
  for (const Heuristic& h : all) {
    const auto call = [this, p, operation, h](int copy) {
      const float one = 1, zero = 0;
      return lt().multiply(lt_, operation->description, &one, p.copy(copy), operation->w, p.x,
                           operation->x, &zero, p.y, operation->y, p.y, operation->y, h.algorithm,
                           workspace_.as<>(), kWorkspaceBytes, stream_) == 0;
    };
    list.push_back({call, p.copies, p.expected_us()});
  }
  return list;
}

Candidate Cublas::gemm_candidate(const DenseProblem& p) {
  const auto call = [this, p](int copy) {
    const float one = 1, zero = 0;
    const int type = type_of(p), rows = static_cast<int>(p.rows), cols = static_cast<int>(p.cols);
    return gemm().multiply(gemm_, kTransposed, kNormal, rows, static_cast<int>(p.n), cols, &one,
                           p.copy(copy), type, cols, p.x, type, cols, &zero, p.y, type, rows,
                           kCompute32, kDefaultAlgorithm) == 0;
  };
  return {call, p.copies, p.expected_us()};
}

}  // namespace spinfer
