// The few functions of NVML that are used, opened at run time.
#pragma once

#include "../include/spinfer_measure.h"

namespace spinfer {

// The current device as NVML knows it. Throws Failure SPINFER_MISSING without NVML.
class NvmlDevice {
 public:
  NvmlDevice();
  // Since the driver was loaded.
  double millijoules() const;
  int sm_clock_mhz() const;
  // Driver version, UUID, clocks, power limit, temperature.
  void describe(spinfer_gpu* out) const;

 private:
  void* device_ = nullptr;
};

}  // namespace spinfer
