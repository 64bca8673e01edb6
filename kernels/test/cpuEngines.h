// The CPU library's contexts, and what their results are compared with.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "../include/spinfer_cpu.h"
#include "check.h"
#include "guarded.h"

namespace spinfer::test {

// Case names, and the one that runs: a signal handler prints it.
__attribute__((format(printf, 1, 2))) std::string text(const char* format, ...);
extern char running[160];

// With the thread sanitizer, a few cases of each kind.
extern bool is_brief;

struct Engine {
  std::string set;
  int threads;
  spinfer_cpu* cpu;
};
// One for each instruction set of this processor and 1, 2 and 3 threads, in this order.
extern std::vector<Engine> engines;

enum class Kind {
  kPlain,  // in (-1, 1)
  kBf16,
  kF16,
  kWide,  // exponents from 2^-30 to 2^30
  kTiny   // a third of them zeros of both signs, a third denormal
};
const char* name_of(Kind kind);
std::vector<float> make_floats(Random& random, int64_t count, Kind kind);

// What a result must be; where a value is not finite, the result must not be finite either.
struct Expected {
  std::vector<double> values, bounds;
  double mean_share = 1;  // bound of the mean of errors over their bounds
  void add(double value, double bound) {
    values.push_back(value);
    bounds.push_back(bound);
  }
};

// Relative error of a result that is rounded `roundings` times.
constexpr double rounded(double roundings) { return roundings * 0x1p-24; }
// Functions take what is this small for zero, or give zero for it.
constexpr double kNothing = 0x1p-110;

// The most error over its bound, and the mean; infinite where one is finite and the other not.
struct Errors {
  double most = 0, mean = 0;
};
template <typename Value>
Errors errors_of(const std::vector<Value>& values, const Expected& expected) {
  Errors errors;
  for (size_t i = 0; i < values.size(); ++i) {
    const double wanted = expected.values[i];
    double share = 0;
    if (std::isfinite(wanted) != std::isfinite(values[i])) {
      share = INFINITY;
    } else if (std::isfinite(wanted)) {
      const double error = std::abs(values[i] - wanted);
      share = error == 0 ? 0 : error / expected.bounds[i];
    }
    errors.most = std::max(errors.most, share);
    errors.mean += share / static_cast<double>(values.size());
  }
  return errors;
}

// Runs compute(cpu, out) on each engine, `out` holding `start`, and compares what is there then:
// with what is expected, and with what one thread made, bit for bit.
template <typename Value, typename Compute>
void everywhere(const std::string& name, const Expected& expected, const std::vector<Value>& start,
                Compute&& compute) {
  std::vector<Value> of_one;
  for (const Engine& engine : engines) {
    std::snprintf(running, sizeof running, "%s, %s, %d threads", name.c_str(), engine.set.c_str(),
                  engine.threads);
    const Guarded<Value> out(start);
    const spinfer_cpu_status status = compute(engine.cpu, out.data());
    if (!check(status == SPINFER_CPU_OK, "%s: status %d", running, status)) continue;
    const std::vector<Value> values = out.values();
    const Errors errors = errors_of(values, expected);
    check(errors.most <= 1, "%s: an error %g times its bound", running, errors.most);
    check(errors.mean <= expected.mean_share, "%s: a mean error of %g bounds", running,
          errors.mean);
    if (engine.threads == 1) of_one = values;
    check(std::memcmp(values.data(), of_one.data(), values.size() * sizeof(Value)) == 0,
          "%s: other bits than with one thread", running);
  }
}

// How a weight is handed over; with 16 bits, its values are of that type.
struct Form {
  int32_t layout = SPINFER_CPU_OUT_IN;
  int32_t type = SPINFER_CPU_F32;
};

// The library needs neither the weight nor the input once they are arranged: both go away.
struct Packed {
  Packed(spinfer_cpu* cpu, const std::vector<float>& values, int64_t outputs, int64_t inputs,
         Form form = {});
  ~Packed();
  Packed(const Packed&) = delete;
  Packed& operator=(const Packed&) = delete;
  spinfer_cpu_weight* weight = nullptr;
};
spinfer_cpu_status set_input(spinfer_cpu* cpu, const std::vector<float>& x, int64_t rows,
                             int64_t columns);

// The cases, in files of their names.
void test_products();
void test_elements();
void test_attention();
void test_contexts();
void test_refusals();

}  // namespace spinfer::test
