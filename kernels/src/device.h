// What the launchers ask of the current GPU, and CUDA errors turned into a status.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "status.h"

namespace spinfer {

struct DeviceFacts {
  int index;
  int major, minor;  // compute capability
  uint32_t sms;
  uint32_t shared_per_block;  // bytes, with opt-in
};

constexpr int kMostDevices = 64;

// Facts of the current device; SPINFER_UNSUPPORTED or SPINFER_CUDA with the reason.
spinfer_status current_device(const char* function, DeviceFacts* out);

// SPINFER_OK, or the error's status (memory, no GPU, any other) with the function, the error's name and its text.
spinfer_status check_cuda(const char* function, cudaError_t error);

// The shape, pointer and dtype checks that every function on a matrix shares.
spinfer_status check_matrix(const char* function, const spinfer_matrix* w);

}  // namespace spinfer
