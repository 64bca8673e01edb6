// Facts of the current GPU, cached for each device index.
#include <atomic>

#include "device.h"
#include "layout.h"

#ifndef SPINFER_TARGETS
#error "SPINFER_TARGETS must name the GPU targets of this build, such as \"sm_80 sm_90a\""
#endif

namespace spinfer {
namespace {

// There to be asked whether the build has code for a GPU.
__global__ void probe() {}

spinfer_status query(const char* function, int index, DeviceFacts* out) {
  out->index = index;
  int sms = 0, shared = 0;
  const struct {
    int* to;
    cudaDeviceAttr attribute;
  } wanted[] = {{&out->major, cudaDevAttrComputeCapabilityMajor},
                {&out->minor, cudaDevAttrComputeCapabilityMinor},
                {&sms, cudaDevAttrMultiProcessorCount},
                {&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin}};
  for (const auto& w : wanted) {
    const cudaError_t error = cudaDeviceGetAttribute(w.to, w.attribute, index);
    if (error != cudaSuccess) return check_cuda(function, error);
  }
  out->sms = static_cast<uint32_t>(sms);
  out->shared_per_block = static_cast<uint32_t>(shared);
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, probe);
  if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction) {
    cudaGetLastError();
    return fail(SPINFER_UNSUPPORTED, "%s: this build has %s; GPU %d is sm_%d%d", function,
                SPINFER_TARGETS, index, out->major, out->minor);
  }
  return check_cuda(function, error);
}

spinfer_status status_of(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return SPINFER_MEMORY;
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorStubLibrary:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorSystemNotReady:
      return SPINFER_NO_GPU;
    default:
      return SPINFER_CUDA;
  }
}

// What keeps this process from a GPU, with the versions where they are the reason.
spinfer_status no_gpu(const char* function, cudaError_t error) {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return fail(SPINFER_NO_GPU, "no NVIDIA driver is installed");
  if (driver < runtime) {
    return fail(SPINFER_NO_GPU, "the driver supports CUDA %d.%d, this build needs %d.%d",
                driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  }
  return fail(SPINFER_NO_GPU, "%s: %s: %s", function, cudaGetErrorName(error),
              cudaGetErrorString(error));
}

}  // namespace

spinfer_status check_cuda(const char* function, cudaError_t error) {
  if (error == cudaSuccess) return SPINFER_OK;
  cudaGetLastError();  // not left behind for the next call
  if (status_of(error) == SPINFER_NO_GPU) return no_gpu(function, error);
  return fail(status_of(error), "%s: %s: %s", function, cudaGetErrorName(error),
              cudaGetErrorString(error));
}

spinfer_status current_device(const char* function, DeviceFacts* out) {
  static DeviceFacts known[kMostDevices];
  static std::atomic<bool> is_known[kMostDevices];
  int index = 0;
  const cudaError_t error = cudaGetDevice(&index);
  if (error != cudaSuccess) return check_cuda(function, error);
  SPINFER_REQUIRE(index < kMostDevices, "%s: device %d, expected below %d", function, index,
                  kMostDevices);
  if (is_known[index].load(std::memory_order_acquire)) {
    *out = known[index];
    return SPINFER_OK;
  }
  const spinfer_status status = query(function, index, out);
  if (status != SPINFER_OK) return status;
  if (out->major < 8) {
    return fail(SPINFER_UNSUPPORTED, "%s: GPU %d is sm_%d%d, expected sm_80 or newer", function,
                index, out->major, out->minor);
  }
  static std::atomic_flag writing = ATOMIC_FLAG_INIT;
  if (!writing.test_and_set(std::memory_order_acquire)) {  // a loser of the race asks again later
    known[index] = *out;
    is_known[index].store(true, std::memory_order_release);
    writing.clear(std::memory_order_release);
  }
  return SPINFER_OK;
}

spinfer_status check_matrix(const char* function, const spinfer_matrix* w) {
  SPINFER_REQUIRE(w != nullptr && w->payload != nullptr && w->offsets != nullptr,
                  "%s: the matrix, its payload and its offsets must not be null", function);
  SPINFER_REQUIRE(w->rows >= 1 && w->rows <= kMaxSide && w->cols >= 1 && w->cols <= kMaxSide,
                  "%s: %u rows and %u columns, expected 1 to %u", function, w->rows, w->cols,
                  kMaxSide);
  SPINFER_REQUIRE(w->value_dtype == SPINFER_F16 || w->value_dtype == SPINFER_BF16,
                  "%s: value dtype %u, expected 1 or 2", function, w->value_dtype);
  SPINFER_REQUIRE(w->value_order == SPINFER_ORDER_NIBBLE_PLANES && w->reserved == 0,
                  "%s: value order %u and reserved %u, expected 1 and 0", function, w->value_order,
                  w->reserved);
  SPINFER_REQUIRE(w->max_chunk_bytes >= kChunkBitmapBytes && w->max_chunk_bytes <= kMaxChunkBytes &&
                      w->max_chunk_bytes % kAlign == 0,
                  "%s: longest chunk of %u bytes, expected %u to %u in steps of 16", function,
                  w->max_chunk_bytes, kChunkBitmapBytes, kMaxChunkBytes);
  SPINFER_REQUIRE(reinterpret_cast<uintptr_t>(w->payload) % kAlign == 0 &&
                      reinterpret_cast<uintptr_t>(w->offsets) % sizeof(uint32_t) == 0,
                  "%s: payload must be 16-byte and offsets 4-byte aligned", function);
  return SPINFER_OK;
}

}  // namespace spinfer

extern "C" spinfer_status spinfer_check_device(void) {
  spinfer::DeviceFacts facts;
  return spinfer::current_device("spinfer_check_device", &facts);
}
