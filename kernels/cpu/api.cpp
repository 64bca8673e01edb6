// The C ABI: checks arguments, and calls the code of the context's instruction set.
#include <sys/syscall.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <new>
#include <system_error>

#include "kernels.h"
#include "product.h"

namespace {
using namespace spinfer::cpu;

struct InstructionSet {
  const char* name;
  bool (*isThere)();
  const ProductKernels& products;
  const ElementKernels& elements;
  const AttentionKernels& attention;
};

struct CpuId {
  uint32_t eax, ebx, ecx, edx;
  CpuId(uint32_t leaf, uint32_t part) : eax(leaf), ecx(part) {
    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  }
};

// Not every compiler knows F16C by name: it is bit 29 of ECX.
bool hasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         (CpuId(1, 0).ecx >> 29 & 1) != 0;
}

bool hasAvx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && hasAvx2();
}

// CPUID leaf 7: AMX-BF16 is bit 22 of EDX, AMX-TILE bit 24; part 1: AVX512_BF16 is bit 5 of EAX.
bool processorHasTiles() {
  const CpuId features(7, 0);
  const bool hasUnit = (features.edx >> 22 & 1) != 0 && (features.edx >> 24 & 1) != 0;
  return hasUnit && features.eax >= 1 && (CpuId(7, 1).eax >> 5 & 1) != 0;
}

// Linux saves the tiles only of processes that have asked for them (Documentation/arch/x86/xstate).
bool hasTiles() {
  constexpr long kRequest = 0x1023, kTileData = 18;
  return hasAvx512() && processorHasTiles() && syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
}

const InstructionSet kSets[] = {
    {"amx", hasTiles, amx::kProducts, amx::kElements, amx::kAttention},
    {"avx512", hasAvx512, avx512::kProducts, avx512::kElements, avx512::kAttention},
    {"avx2", hasAvx2, avx2::kProducts, avx2::kElements, avx2::kAttention},
};

const InstructionSet* findSet(const char* name) {
  for (const InstructionSet& set : kSets)
    if ((name == nullptr || std::strcmp(name, set.name) == 0) && set.isThere()) return &set;
  return nullptr;
}

}  // namespace

struct spinfer_cpu {
  spinfer_cpu(int threads, const InstructionSet& instructions) : set(instructions), pool(threads) {}
  const InstructionSet& set;
  Pool pool;
  Input input;
};

struct spinfer_cpu_weight : Weight {
  explicit spinfer_cpu_weight(const InstructionSet& instructions) : set(instructions) {}
  const InstructionSet& set;  // whose panels these are
};

namespace {

// Sizes whose product of three is counted in 64 bits, in bytes.
constexpr int64_t kLargestSide = (int64_t{1} << 31) - 1;
constexpr int64_t kLargestCount = int64_t{1} << 40;

bool isSide(int64_t value) { return value > 0 && value <= kLargestSide; }
bool isMatrix(int64_t rows, int64_t columns) {
  return isSide(rows) && isSide(columns) && rows <= kLargestCount / columns;
}

template <typename Body>
spinfer_cpu_status guarded(bool isValid, Body&& body) {
  if (!isValid) return SPINFER_CPU_BAD_ARGUMENT;
  try {
    body();
    return SPINFER_CPU_OK;
  } catch (const std::bad_alloc&) {
    return SPINFER_CPU_MEMORY;
  } catch (const std::system_error&) {
    return SPINFER_CPU_MEMORY;
  }
}

bool fits(const spinfer_cpu* cpu, const spinfer_cpu_weight* weight) {
  return cpu != nullptr && weight != nullptr && cpu->input.rows > 0 &&
         cpu->input.columns == weight->inputs && &cpu->set == &weight->set;
}

bool isAttention(const spinfer_cpu_attention_spec& spec) {
  return isSide(spec.tokens) && isSide(spec.length) && spec.tokens % spec.length == 0 &&
         isSide(spec.heads) && isSide(spec.key_heads) && spec.heads % spec.key_heads == 0 &&
         isSide(spec.head_size) && isMatrix(spec.heads, spec.head_size) &&
         isMatrix(spec.tokens, spec.heads * spec.head_size) && spec.window >= 0 &&
         std::isfinite(spec.scale) && std::isfinite(spec.softcap);
}

}  // namespace

extern "C" {

int32_t spinfer_cpu_abi_version(void) { return SPINFER_CPU_ABI_VERSION; }

const char* spinfer_cpu_best(void) {
  const InstructionSet* const set = findSet(nullptr);
  return set == nullptr ? "" : set->name;
}

spinfer_cpu_status spinfer_cpu_open(int32_t threads, const char* instructions, spinfer_cpu** out) {
  constexpr int32_t kMostThreads = 1024;
  if (out == nullptr || threads < 1 || threads > kMostThreads) return SPINFER_CPU_BAD_ARGUMENT;
  const InstructionSet* const set = findSet(instructions);
  if (set == nullptr) return SPINFER_CPU_UNSUPPORTED;
  return guarded(true, [&] { *out = new spinfer_cpu(threads, *set); });
}

void spinfer_cpu_close(spinfer_cpu* cpu) { delete cpu; }

spinfer_cpu_status spinfer_cpu_pack_weight(spinfer_cpu* cpu, const void* values, int32_t type,
                                           int64_t outputs, int64_t inputs, int32_t layout,
                                           spinfer_cpu_weight** out) {
  const bool isValid = cpu != nullptr && values != nullptr && out != nullptr &&
                       type >= SPINFER_CPU_F32 && type <= SPINFER_CPU_BF16 &&
                       isMatrix(outputs, inputs) &&
                       (layout == SPINFER_CPU_OUT_IN || layout == SPINFER_CPU_IN_OUT);
  return guarded(isValid, [&] {
    auto* const weight = new spinfer_cpu_weight(cpu->set);
    try {
      const Matrix matrix = {values, type, outputs, inputs, layout};
      cpu->set.products.packWeight(cpu->pool, matrix, *weight);
    } catch (...) {
      delete weight;
      throw;
    }
    *out = weight;
  });
}

void spinfer_cpu_drop_weight(spinfer_cpu_weight* weight) { delete weight; }

spinfer_cpu_status spinfer_cpu_set_input(spinfer_cpu* cpu, const float* x, int64_t rows,
                                         int64_t columns) {
  return guarded(cpu != nullptr && x != nullptr && isMatrix(rows, columns), [&] {
    cpu->input.rows = 0;  // none, should memory run out
    cpu->set.products.packInput(cpu->pool, x, rows, columns, cpu->input);
  });
}

spinfer_cpu_status spinfer_cpu_linear(spinfer_cpu* cpu, const spinfer_cpu_weight* weight,
                                      const float* bias, const float* added, float* out) {
  return guarded(fits(cpu, weight) && out != nullptr, [&] {
    cpu->set.products.linear(cpu->pool, cpu->input, *weight, bias, added, out);
  });
}

spinfer_cpu_status spinfer_cpu_losses(spinfer_cpu* cpu, const spinfer_cpu_weight* weight,
                                      const float* bias, float softcap, const int32_t* targets,
                                      double* losses) {
  bool isValid =
      fits(cpu, weight) && targets != nullptr && losses != nullptr && std::isfinite(softcap);
  for (int64_t row = 0; isValid && row < cpu->input.rows; row++)
    isValid = targets[row] < weight->outputs;
  return guarded(isValid, [&] {
    cpu->set.products.losses(cpu->pool, cpu->input, *weight, bias, softcap, targets, losses);
  });
}

spinfer_cpu_status spinfer_cpu_rms_norm(spinfer_cpu* cpu, const float* x, int64_t groups,
                                        int64_t size, const float* weight, double epsilon,
                                        int32_t add_one, float* out) {
  const bool isValid = cpu != nullptr && x != nullptr && weight != nullptr && out != nullptr &&
                       isMatrix(groups, size);
  return guarded(isValid, [&] {
    cpu->set.elements.rmsNorm(cpu->pool, x, groups, size, weight, epsilon, add_one != 0, out);
  });
}

spinfer_cpu_status spinfer_cpu_layer_norm(spinfer_cpu* cpu, const float* x, int64_t groups,
                                          int64_t size, const float* weight, const float* bias,
                                          double epsilon, float* out) {
  return guarded(cpu != nullptr && x != nullptr && out != nullptr && isMatrix(groups, size), [&] {
    cpu->set.elements.layerNorm(cpu->pool, x, groups, size, weight, bias, epsilon, out);
  });
}

spinfer_cpu_status spinfer_cpu_rotary(spinfer_cpu* cpu, const float* x, int64_t tokens,
                                      int64_t length, int64_t heads, int64_t head_size,
                                      int64_t turned, const float* cosine, const float* sine,
                                      float* out) {
  const bool isValid = cpu != nullptr && x != nullptr && cosine != nullptr && sine != nullptr &&
                       out != nullptr && isSide(length) && isMatrix(heads, head_size) &&
                       isMatrix(tokens, heads * head_size) && turned > 0 && turned % 2 == 0 &&
                       turned <= head_size;
  return guarded(isValid, [&] {
    cpu->set.elements.rotary(cpu->pool, x, tokens, length, heads, head_size, turned, cosine, sine,
                             out);
  });
}

spinfer_cpu_status spinfer_cpu_attention(spinfer_cpu* cpu, const float* query, const float* key,
                                         const float* value, const spinfer_cpu_attention_spec* spec,
                                         float* out) {
  const bool isValid = cpu != nullptr && query != nullptr && key != nullptr && value != nullptr &&
                       spec != nullptr && out != nullptr && isAttention(*spec);
  return guarded(isValid,
                 [&] { cpu->set.attention.attention(cpu->pool, query, key, value, *spec, out); });
}

spinfer_cpu_status spinfer_cpu_activate(spinfer_cpu* cpu, const float* x, const float* factor,
                                        int64_t count, int32_t activation, float* out) {
  const bool isValid = cpu != nullptr && x != nullptr && out != nullptr && isMatrix(1, count) &&
                       activation >= SPINFER_CPU_SILU && activation <= SPINFER_CPU_RELU;
  return guarded(isValid,
                 [&] { cpu->set.elements.activate(cpu->pool, x, factor, count, activation, out); });
}

spinfer_cpu_status spinfer_cpu_combine(spinfer_cpu* cpu, const float* left, const float* right,
                                       int64_t count, int32_t operation, float* out) {
  const bool isValid = cpu != nullptr && left != nullptr && right != nullptr && out != nullptr &&
                       isMatrix(1, count) &&
                       (operation == SPINFER_CPU_ADD || operation == SPINFER_CPU_MULTIPLY);
  return guarded(isValid,
                 [&] { cpu->set.elements.combine(cpu->pool, left, right, count, operation, out); });
}

spinfer_cpu_status spinfer_cpu_scale(spinfer_cpu* cpu, const float* x, int64_t count, float scale,
                                     float softcap, float* out) {
  return guarded(cpu != nullptr && x != nullptr && out != nullptr && isMatrix(1, count) &&
                     std::isfinite(softcap),
                 [&] { cpu->set.elements.scale(cpu->pool, x, count, scale, softcap, out); });
}

spinfer_cpu_status spinfer_cpu_columns(spinfer_cpu* cpu, const float* x, int64_t groups,
                                       int64_t width, int64_t begin, int64_t end, float* out) {
  const bool isValid = cpu != nullptr && x != nullptr && out != nullptr &&
                       isMatrix(groups, width) && begin >= 0 && begin < end && end <= width;
  return guarded(isValid,
                 [&] { cpu->set.elements.columns(cpu->pool, x, groups, width, begin, end, out); });
}

spinfer_cpu_status spinfer_cpu_all_finite(spinfer_cpu* cpu, const float* x, int64_t count,
                                          int32_t* out) {
  return guarded(cpu != nullptr && x != nullptr && out != nullptr && isMatrix(1, count),
                 [&] { *out = cpu->set.elements.allFinite(cpu->pool, x, count) ? 1 : 0; });
}

spinfer_cpu_status spinfer_cpu_sums(spinfer_cpu* cpu, const float* x, int64_t rows, int64_t columns,
                                    double* sums, double* squares) {
  const bool isValid = cpu != nullptr && x != nullptr && sums != nullptr && squares != nullptr &&
                       isMatrix(rows, columns);
  return guarded(isValid,
                 [&] { cpu->set.elements.sums(cpu->pool, x, rows, columns, sums, squares); });
}

spinfer_cpu_status spinfer_cpu_gram(spinfer_cpu* cpu, const float* x, int64_t rows, int64_t columns,
                                    double* triangle) {
  const bool isValid =
      cpu != nullptr && x != nullptr && triangle != nullptr && isMatrix(rows, columns);
  return guarded(isValid, [&] { cpu->set.products.gram(cpu->pool, x, rows, columns, triangle); });
}

}  // extern "C"
