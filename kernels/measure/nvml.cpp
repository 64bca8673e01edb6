#include "nvml.h"

#include "buffer.h"
#include "openLibrary.h"

namespace spinfer {
namespace {

constexpr int kSmClock = 1, kMemoryClock = 2, kCoreSensor = 0;

struct Nvml {
  int (*initialize)();
  int (*by_bus_id)(const char*, void**);
  int (*driver_version)(char*, unsigned);
  int (*uuid)(void*, char*, unsigned);
  int (*clock)(void*, int, unsigned*);
  int (*max_clock)(void*, int, unsigned*);
  int (*power_limit)(void*, unsigned*);
  int (*temperature)(void*, int, unsigned*);
  int (*energy)(void*, unsigned long long*);

  Nvml() {
    const OpenLibrary library("NVML", {"libnvidia-ml.so.1"});
    initialize = library.find<decltype(initialize)>("nvmlInit_v2");
    by_bus_id = library.find<decltype(by_bus_id)>("nvmlDeviceGetHandleByPciBusId_v2");
    driver_version = library.find<decltype(driver_version)>("nvmlSystemGetDriverVersion");
    uuid = library.find<decltype(uuid)>("nvmlDeviceGetUUID");
    clock = library.find<decltype(clock)>("nvmlDeviceGetClockInfo");
    max_clock = library.find<decltype(max_clock)>("nvmlDeviceGetMaxClockInfo");
    power_limit = library.find<decltype(power_limit)>("nvmlDeviceGetEnforcedPowerLimit");
    temperature = library.find<decltype(temperature)>("nvmlDeviceGetTemperature");
    energy = library.find<decltype(energy)>("nvmlDeviceGetTotalEnergyConsumption");
    if (initialize() != 0) throw Failure{SPINFER_MISSING, "NVML does not start"};
  }
};
const Nvml& nvml() {
  static const Nvml functions;
  return functions;
}

}  // namespace

NvmlDevice::NvmlDevice() {
  int index = 0;
  char bus[32];
  must(cudaGetDevice(&index), "cudaGetDevice");
  must(cudaDeviceGetPCIBusId(bus, sizeof bus, index), "cudaDeviceGetPCIBusId");
  if (nvml().by_bus_id(bus, &device_) != 0) {
    throw Failure{SPINFER_MISSING, std::string("NVML does not know the device ") + bus};
  }
}

double NvmlDevice::millijoules() const {
  unsigned long long value = 0;
  if (nvml().energy(device_, &value) != 0) {
    throw Failure{SPINFER_UNSUPPORTED, "this GPU has no energy counter"};
  }
  return static_cast<double>(value);
}

int NvmlDevice::sm_clock_mhz() const {
  unsigned value = 0;
  return nvml().clock(device_, kSmClock, &value) == 0 ? static_cast<int>(value) : 0;
}

void NvmlDevice::describe(spinfer_gpu* out) const {
  const Nvml& n = nvml();
  if (n.driver_version(out->driver, sizeof out->driver) != 0) out->driver[0] = 0;
  if (n.uuid(device_, out->uuid, sizeof out->uuid) != 0) out->uuid[0] = 0;
  const auto ask = [&](auto function, auto... which) {
    unsigned value = 0;
    return function(device_, which..., &value) == 0 ? static_cast<int32_t>(value) : 0;
  };
  out->sm_clock_mhz = ask(n.clock, kSmClock);
  out->sm_clock_max_mhz = ask(n.max_clock, kSmClock);
  out->memory_clock_mhz = ask(n.clock, kMemoryClock);
  out->power_limit_w = ask(n.power_limit) / 1000;
  out->temperature_c = ask(n.temperature, kCoreSensor);
}

}  // namespace spinfer
