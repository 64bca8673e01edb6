// Contexts and weights that come and go, threads, and a lack of memory.
#include <sys/resource.h>

#include <algorithm>
#include <climits>
#include <thread>

#include "cpuEngines.h"

namespace spinfer::test {
namespace {

void the_best_instruction_set_is_the_one_of_no_name() {
  check(spinfer_cpu_abi_version() == SPINFER_CPU_ABI_VERSION, "the version is another");
  const std::string best = spinfer_cpu_best();
  check(engines.empty() ? best.empty() : best == engines.back().set, "the best is %s",
        best.c_str());
  spinfer_cpu* cpu = nullptr;
  const auto status = spinfer_cpu_open(1, nullptr, &cpu);
  check(status == (engines.empty() ? SPINFER_CPU_UNSUPPORTED : SPINFER_CPU_OK), "no name: %d",
        status);
  if (cpu != nullptr) spinfer_cpu_close(cpu);
}

void what_cannot_be_opened_is_refused() {
  spinfer_cpu* const none = reinterpret_cast<spinfer_cpu*>(8);
  spinfer_cpu* cpu = none;
  for (const char* set : {"avx2", "avx512", "amx", "", "AVX2", "avx2 ", "sse2"}) {
    const auto is_set = [=](const Engine& engine) { return engine.set == set; };
    if (std::any_of(engines.begin(), engines.end(), is_set)) continue;
    const auto status = spinfer_cpu_open(2, set, &cpu);
    check(status == SPINFER_CPU_UNSUPPORTED && cpu == none, "%s: status %d", set, status);
  }
  for (const int32_t threads : {0, -1, 1025, INT_MIN, INT_MAX}) {
    const auto status = spinfer_cpu_open(threads, nullptr, &cpu);
    check(status == SPINFER_CPU_BAD_ARGUMENT && cpu == none, "%d threads: %d", threads, status);
  }
  check(spinfer_cpu_open(1, nullptr, nullptr) == SPINFER_CPU_BAD_ARGUMENT, "open to null");
}

void contexts_come_and_go() {
  for (const Engine& engine : engines) {
    for (int i = 0; i < (is_brief ? 10 : 60); ++i) {
      spinfer_cpu* cpu = nullptr;
      if (!check(spinfer_cpu_open(engine.threads, engine.set.c_str(), &cpu) == SPINFER_CPU_OK,
                 "%s: does not open again", engine.set.c_str()))
        return;
      // with workers that wait, that work, and that were never needed
      std::vector<float> x(i % 3 * 40000 + 1, 1);
      if (i % 4 != 0)
        spinfer_cpu_scale(cpu, x.data(), static_cast<int64_t>(x.size()), 2, 0, x.data());
      spinfer_cpu_close(cpu);
    }
  }
}

void weights_are_dropped_in_any_order() {
  Random random(20);
  for (const Engine& engine : engines) {
    constexpr int64_t kOutputs = 5, kInputs = 40;
    std::vector<Packed*> packed;
    std::vector<std::vector<float>> wanted;
    check(set_input(engine.cpu, make_floats(random, kInputs, Kind::kPlain), 1, kInputs) == 0,
          "the input");
    for (int i = 0; i < 12; ++i) {
      const auto values = make_floats(random, kOutputs * kInputs, Kind::kPlain);
      packed.push_back(new Packed(engine.cpu, values, kOutputs, kInputs));
      wanted.emplace_back(kOutputs);
      spinfer_cpu_linear(engine.cpu, packed[i]->weight, nullptr, nullptr, wanted[i].data());
    }
    while (!packed.empty()) {
      const uint32_t i = random.below(static_cast<uint32_t>(packed.size()));
      std::vector<float> out(kOutputs);
      spinfer_cpu_linear(engine.cpu, packed[i]->weight, nullptr, nullptr, out.data());
      check(out == wanted[i], "%s: a weight changed", engine.set.c_str());
      delete packed[i];
      packed.erase(packed.begin() + i);
      wanted.erase(wanted.begin() + i);
    }
  }
}

// One after the other: a worker that is late for one must not take part in the next.
void many_short_loops(const Engine& engine, int loops) {
  Random random(21);
  std::vector<float> x(100001, 1);
  int wrong = 0;
  for (int i = 0; i < loops; ++i) {
    const int64_t count = random.below(2) == 0 ? 1 + random.below(40) : 32768 + random.below(67000);
    spinfer_cpu_scale(engine.cpu, x.data(), count, -2, 0, x.data());
    for (int64_t at = 0; at < count; at += 64) wrong += x[at] != -2;
    wrong += x[count - 1] != -2 || x[count] != 1;
    std::fill(x.begin(), x.begin() + count, 1);
  }
  check(wrong == 0, "%s, %d threads: %d values of many loops are wrong", engine.set.c_str(),
        engine.threads, wrong);
}

void loops_do_not_mix() {
  for (const Engine& engine : engines) many_short_loops(engine, is_brief ? 40 : 400);
  // contexts at the same time
  std::vector<std::thread> callers;
  if (!engines.empty()) many_short_loops(engines[0], 1);
  std::vector<int> wrong(engines.size());
  for (size_t i = 0; i < engines.size(); i += 4) {
    callers.emplace_back([i, &wrong] {
      std::vector<float> x(70000, 1);
      for (int loop = 0; loop < (is_brief ? 20 : 200); ++loop) {
        spinfer_cpu_combine(engines[i].cpu, x.data(), x.data(), 70000, SPINFER_CPU_MULTIPLY,
                            x.data());
        spinfer_cpu_scale(engines[i].cpu, x.data(), 70000, -1, 0, x.data());
      }
      for (const float value : x) wrong[i] += value != -1;
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const int count : wrong) check(count == 0, "%d values of one of two contexts", count);
}

// Memory that there is not: an input that was not taken is no input.
void a_lack_of_memory_is_said() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  rlimit before;
  getrlimit(RLIMIT_AS, &before);
  const rlimit less = {rlim_t{1} << 40, before.rlim_max};
  setrlimit(RLIMIT_AS, &less);
#endif
  for (const Engine& engine : engines) {
    const std::vector<float> x(512, 1);
    std::vector<float> out(1, 5);
    const Packed packed(engine.cpu, x, 1, 512);
    check(set_input(engine.cpu, x, 1, 512) == SPINFER_CPU_OK, "the input");
    const auto lacking = spinfer_cpu_set_input(engine.cpu, x.data(), INT32_MAX, 512);
    check(lacking == SPINFER_CPU_MEMORY, "%s: 4 TiB: %d", engine.set.c_str(), lacking);
    const auto linear = spinfer_cpu_linear(engine.cpu, packed.weight, nullptr, nullptr, out.data());
    check(linear == SPINFER_CPU_BAD_ARGUMENT && out[0] == 5, "%s: no input: %d", engine.set.c_str(),
          linear);
  }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  setrlimit(RLIMIT_AS, &before);
#endif
}

}  // namespace

void test_contexts() {
  the_best_instruction_set_is_the_one_of_no_name();
  what_cannot_be_opened_is_refused();
  contexts_come_and_go();
  weights_are_dropped_in_any_order();
  loops_do_not_mix();
  a_lack_of_memory_is_said();
}

}  // namespace spinfer::test
