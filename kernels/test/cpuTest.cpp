// The CPU library through its C ABI, against plain float64: every instruction set of this processor
// with 1, 2 and 3 threads.
//
//   cpuTest         all cases
//   cpuTest brief   few of each kind, for the thread sanitizer
#include <signal.h>

#include <cstdarg>

#include "../src/half.h"
#include "cpuEngines.h"

namespace spinfer::test {

char running[160] = "start";
bool is_brief = false;
std::vector<Engine> engines;

std::string text(const char* format, ...) {
  char words[120];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(words, sizeof words, format, arguments);
  va_end(arguments);
  return words;
}

const char* name_of(Kind kind) {
  const char* const names[] = {"plain", "bfloat16", "float16", "wide", "tiny"};
  return names[static_cast<int>(kind)];
}

namespace {

float rounded(double value, HalfFormat format) {
  return static_cast<float>(half_to_double(double_to_half(value, format), format));
}

float make_float(Random& random, Kind kind) {
  const float plain = static_cast<float>(2 * random.unit() - 1);
  switch (kind) {
    case Kind::kBf16:
      return rounded(plain, kBf16);
    case Kind::kF16:
      return rounded(plain, kFp16);
    case Kind::kWide:
      return std::ldexp(plain, static_cast<int>(random.below(61)) - 30);
    case Kind::kTiny: {
      const uint32_t third = random.below(3);
      return third == 0 ? plain : third == 1 ? plain * 0x1p-127f : plain < 0 ? -0.0f : 0.0f;
    }
    default:
      return plain;
  }
}

// What a sanitizer would say is more than this.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void on_fault(int) {
  const char before[] = "FAIL memory that may not be touched was, in: ";
  const bool is_said = write(STDOUT_FILENO, before, sizeof before - 1) > 0 &&
                       write(STDOUT_FILENO, running, std::strlen(running)) > 0 &&
                       write(STDOUT_FILENO, "\n", 1) > 0;
  _exit(is_said ? 3 : 4);
}
void say_faults() {
  signal(SIGSEGV, on_fault);
  signal(SIGBUS, on_fault);
}
#else
void say_faults() {}
#endif

void open_engines() {
  for (const char* set : {"avx2", "avx512", "amx"}) {
    for (int threads = 1; threads <= 3; ++threads) {
      spinfer_cpu* cpu = nullptr;
      if (spinfer_cpu_open(threads, set, &cpu) == SPINFER_CPU_OK)
        engines.push_back({set, threads, cpu});
    }
  }
}

void run(const char* name, void (*cases)()) {
  const int before = score().checks;
  std::snprintf(running, sizeof running, "%s", name);
  cases();
  std::printf("cpuTest: %s: %d checks\n", name, score().checks - before);
  std::fflush(stdout);
}

}  // namespace

std::vector<float> make_floats(Random& random, int64_t count, Kind kind) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = make_float(random, kind);
  return values;
}

Packed::Packed(spinfer_cpu* cpu, const std::vector<float>& values, int64_t outputs, int64_t inputs,
               Form form) {
  const auto pack = [&](const void* given) {
    return spinfer_cpu_pack_weight(cpu, given, form.type, outputs, inputs, form.layout, &weight);
  };
  spinfer_cpu_status status;
  if (form.type == SPINFER_CPU_F32) {
    status = pack(Guarded<float>(values).data());
  } else {
    const HalfFormat format = form.type == SPINFER_CPU_F16 ? kFp16 : kBf16;
    std::vector<uint16_t> halves;
    for (const float value : values) halves.push_back(double_to_half(value, format));
    status = pack(Guarded<uint16_t>(halves).data());
  }
  check(status == SPINFER_CPU_OK, "%s: the weight: status %d", running, status);
}
Packed::~Packed() { spinfer_cpu_drop_weight(weight); }

spinfer_cpu_status set_input(spinfer_cpu* cpu, const std::vector<float>& x, int64_t rows,
                             int64_t columns) {
  const Guarded<float> given(x);
  return spinfer_cpu_set_input(cpu, given.data(), rows, columns);
}

}  // namespace spinfer::test

// One case asks for more memory than there is. Sanitizers look for these names among the exported.
#define SPINFER_EXPORTED extern "C" __attribute__((visibility("default")))
SPINFER_EXPORTED const char* __asan_default_options() { return "allocator_may_return_null=1"; }
SPINFER_EXPORTED const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

int main(int argc, char** argv) {
  using namespace spinfer::test;
  is_brief = argc == 2 && std::strcmp(argv[1], "brief") == 0;
  if (argc > 1 && !is_brief) {
    std::fprintf(stderr, "cpuTest: expected nothing or: brief\n");
    return 2;
  }
  say_faults();
  open_engines();
  for (const Engine& engine : engines)
    if (engine.threads == 1) std::printf("cpuTest: this processor has %s\n", engine.set.c_str());
  run("contexts", test_contexts);
  run("refusals", test_refusals);
  run("products", test_products);
  run("elements", test_elements);
  run("attention", test_attention);
  for (const Engine& engine : engines) spinfer_cpu_close(engine.cpu);
  return report("cpuTest");
}
