// Arguments that are refused.
#include <climits>
#include <utility>

#include "cpuEngines.h"

namespace spinfer::test {
namespace {

// Sizes that are none, and sizes whose bytes cannot be counted.
constexpr int64_t kBadSizes[] = {0,         -1,        (int64_t{1} << 31) + 1, int64_t{1} << 40,
                                 INT64_MAX, INT64_MIN, -(int64_t{1} << 40)};

// Arguments of which each call spoils one; what all of them could write to stays as it is.
class Refusals {
 public:
  explicit Refusals(const Engine& engine)
      : cpu_(engine.cpu), where_(engine.set), packed_(cpu_, std::vector<float>(12, 1), 3, 4) {
    check(set_input(cpu_, std::vector<float>(8, 1), 2, 4) == SPINFER_CPU_OK, "the input");
  }

  void run() {
    weights_and_inputs();
    products();
    norms();
    turns();
    attention();
    elements();
    sums();
    check(floats_.values() == std::vector<float>(64, 1), "%s: floats were written", name());
    check(doubles_.values() == std::vector<double>(64, 1), "%s: doubles were written", name());
    check(weight_ == nullptr, "%s: a weight was made", name());
  }

 private:
  const char* name() const { return where_.c_str(); }
  void is(bool holds, const char* what) { check(holds, "%s: %s is not refused", name(), what); }
  static bool bad(spinfer_cpu_status status) { return status == SPINFER_CPU_BAD_ARGUMENT; }

  // Calls with each pointer in turn null.
  template <typename Call, typename... Pointers>
  void nulls(const char* what, Call&& call, Pointers*... pointers) {
    nulls_at(std::index_sequence_for<Pointers...>{}, what, call, pointers...);
  }
  template <size_t... at, typename Call, typename... Pointers>
  void nulls_at(std::index_sequence<at...>, const char* what, Call& call, Pointers*... pointers) {
    for (size_t spoilt = 0; spoilt < sizeof...(pointers); ++spoilt)
      is(bad(call((at == spoilt ? nullptr : pointers)...)), what);
  }
  // Calls with each bad size.
  template <typename Call>
  void sizes(const char* what, Call&& call) {
    for (const int64_t size : kBadSizes) is(bad(call(size)), what);
  }

  void weights_and_inputs() {
    nulls(
        "null to pack_weight",
        [](auto cpu, auto x, auto out) { return spinfer_cpu_pack_weight(cpu, x, 0, 3, 4, 0, out); },
        cpu_, x_, &weight_);
    const auto pack = [&](int64_t outputs, int64_t inputs, int32_t layout, int32_t type = 0) {
      return spinfer_cpu_pack_weight(cpu_, x_, type, outputs, inputs, layout, &weight_);
    };
    sizes("outputs", [&](int64_t size) { return pack(size, 4, 0); });
    sizes("inputs", [&](int64_t size) { return pack(3, size, 0); });
    is(bad(pack(int64_t{1} << 31, int64_t{1} << 31, 0)), "a huge weight");
    for (const int32_t layout : {-1, 2, INT_MAX}) is(bad(pack(3, 4, layout)), "a layout");
    for (const int32_t type : {-1, 3, INT_MAX}) is(bad(pack(3, 4, 0, type)), "a type");
    nulls(
        "null to set_input", [](auto cpu, auto x) { return spinfer_cpu_set_input(cpu, x, 2, 4); },
        cpu_, x_);
    sizes("rows", [&](int64_t size) { return spinfer_cpu_set_input(cpu_, x_, size, 4); });
    sizes("columns", [&](int64_t size) { return spinfer_cpu_set_input(cpu_, x_, 2, size); });
  }

  void products() {
    nulls(
        "null to linear",
        [](auto cpu, auto weight, auto out) {
          return spinfer_cpu_linear(cpu, weight, nullptr, nullptr, out);
        },
        cpu_, packed_.weight, x_);
    std::vector<int32_t> targets = {0, 2};
    const auto losses = [&](float softcap) {
      return spinfer_cpu_losses(cpu_, packed_.weight, nullptr, softcap, targets.data(), y_);
    };
    nulls(
        "null to losses",
        [](auto cpu, auto weight, auto wanted, auto out) {
          return spinfer_cpu_losses(cpu, weight, nullptr, 0, wanted, out);
        },
        cpu_, packed_.weight, targets.data(), y_);
    for (const float cap : {NAN, INFINITY, -INFINITY}) is(bad(losses(cap)), "a cap");
    for (const int32_t target : {3, INT_MAX}) {
      targets = {0, target};
      is(bad(losses(0)), "a target");
    }
    const Packed wider(cpu_, std::vector<float>(15, 1), 3, 5);
    is(bad(spinfer_cpu_linear(cpu_, wider.weight, nullptr, nullptr, x_)), "a weight of 5 inputs");
    targets = {0, 0};
    is(bad(spinfer_cpu_losses(cpu_, wider.weight, nullptr, 0, targets.data(), y_)),
       "a weight of 5 inputs to losses");
    for (const Engine& other : engines) {
      if (other.set == where_) continue;
      const Packed foreign(other.cpu, std::vector<float>(12, 1), 3, 4);
      is(bad(spinfer_cpu_linear(cpu_, foreign.weight, nullptr, nullptr, x_)),
         "a weight that was packed for another instruction set");
    }
  }

  void norms() {
    const auto squares = [&](int64_t groups, int64_t size) {
      return spinfer_cpu_rms_norm(cpu_, x_, groups, size, x_, 1, 0, x_ + 32);
    };
    const auto layer = [&](int64_t groups, int64_t size) {
      return spinfer_cpu_layer_norm(cpu_, x_, groups, size, x_, x_, 1, x_ + 32);
    };
    sizes("groups of squares", [&](int64_t size) { return squares(size, 4); });
    sizes("size of squares", [&](int64_t size) { return squares(2, size); });
    sizes("groups of a layer", [&](int64_t size) { return layer(size, 4); });
    sizes("size of a layer", [&](int64_t size) { return layer(2, size); });
    nulls(
        "null to rms_norm",
        [](auto cpu, auto x, auto weight, auto out) {
          return spinfer_cpu_rms_norm(cpu, x, 2, 4, weight, 1, 0, out);
        },
        cpu_, x_, x_, x_ + 32);
    nulls(
        "null to layer_norm",
        [](auto cpu, auto x, auto out) {
          return spinfer_cpu_layer_norm(cpu, x, 2, 4, nullptr, nullptr, 1, out);
        },
        cpu_, x_, x_ + 32);
  }

  void turns() {
    struct Sizes {
      int64_t tokens = 2, length = 2, heads = 2, size = 4, turned = 2;
    };
    const auto turn = [&](auto&& spoil) {
      Sizes of;
      spoil(of);
      return spinfer_cpu_rotary(cpu_, x_, of.tokens, of.length, of.heads, of.size, of.turned, x_,
                                x_, x_ + 32);
    };
    sizes("tokens", [&](int64_t bad) { return turn([=](Sizes& of) { of.tokens = bad; }); });
    sizes("length", [&](int64_t bad) { return turn([=](Sizes& of) { of.length = bad; }); });
    sizes("heads", [&](int64_t bad) { return turn([=](Sizes& of) { of.heads = bad; }); });
    sizes("size", [&](int64_t bad) { return turn([=](Sizes& of) { of.size = bad; }); });
    sizes("turned", [&](int64_t bad) { return turn([=](Sizes& of) { of.turned = bad; }); });
    for (const int64_t turned : {1, 3, 5, 6})
      is(bad(turn([=](Sizes& of) { of.turned = turned; })), "turned columns");
    nulls(
        "null to rotary",
        [](auto cpu, auto x, auto cosine, auto sine, auto out) {
          return spinfer_cpu_rotary(cpu, x, 2, 2, 2, 4, 2, cosine, sine, out);
        },
        cpu_, x_, x_, x_, x_ + 32);
  }

  void attention() {
    using Spec = spinfer_cpu_attention_spec;
    constexpr Spec kSpec = {2, 2, 2, 2, 4, 0, 1, 0};
    const auto attend = [&](auto&& spoil) {
      Spec spec = kSpec;
      spoil(spec);
      return spinfer_cpu_attention(cpu_, x_, x_, x_, &spec, x_ + 32);
    };
    sizes("tokens", [&](int64_t bad) { return attend([=](Spec& of) { of.tokens = bad; }); });
    sizes("length", [&](int64_t bad) { return attend([=](Spec& of) { of.length = bad; }); });
    sizes("heads", [&](int64_t bad) { return attend([=](Spec& of) { of.heads = bad; }); });
    sizes("key heads", [&](int64_t bad) { return attend([=](Spec& of) { of.key_heads = bad; }); });
    sizes("size", [&](int64_t bad) { return attend([=](Spec& of) { of.head_size = bad; }); });
    // products of sizes that wrap around to small ones
    constexpr int64_t kHalf = int64_t{1} << 31;
    is(bad(attend([](Spec& of) { of.heads = of.key_heads = of.head_size = kHalf; })), "heads");
    is(bad(attend([](Spec& of) { of.tokens = of.length = of.heads = of.key_heads = kHalf; })),
       "tokens of heads");
    is(bad(attend([](Spec& of) { of.length = 4; })), "a part of a window");
    is(bad(attend([](Spec& of) { of.heads = 3; })), "heads that key heads do not divide");
    is(bad(attend([](Spec& of) { of.key_heads = 3; })), "more key heads than heads");
    is(bad(attend([](Spec& of) { of.window = -1; })), "a window");
    is(bad(attend([](Spec& of) { of.window = INT64_MIN; })), "a window");
    for (const float number : {NAN, INFINITY, -INFINITY}) {
      is(bad(attend([=](Spec& of) { of.scale = number; })), "a scale");
      is(bad(attend([=](Spec& of) { of.softcap = number; })), "a cap");
    }
    nulls(
        "null to attention",
        [](auto cpu, auto query, auto key, auto value, auto spec, auto out) {
          return spinfer_cpu_attention(cpu, query, key, value, spec, out);
        },
        cpu_, x_, x_, x_, &kSpec, x_ + 32);
  }

  void elements() {
    float* const out = x_ + 32;
    sizes("activate", [&](int64_t n) { return spinfer_cpu_activate(cpu_, x_, x_, n, 0, out); });
    sizes("combine", [&](int64_t n) { return spinfer_cpu_combine(cpu_, x_, x_, n, 0, out); });
    sizes("scale", [&](int64_t n) { return spinfer_cpu_scale(cpu_, x_, n, 2, 0, out); });
    for (const float cap : {NAN, INFINITY})
      is(bad(spinfer_cpu_scale(cpu_, x_, 4, 2, cap, out)), "a cap");
    for (const int32_t code : {-1, 4, INT_MAX, INT_MIN})
      is(bad(spinfer_cpu_activate(cpu_, x_, x_, 4, code, out)), "an activation");
    for (const int32_t code : {-1, 2, INT_MAX, INT_MIN})
      is(bad(spinfer_cpu_combine(cpu_, x_, x_, 4, code, out)), "an operation");
    nulls(
        "null to activate",
        [](auto cpu, auto x, auto to) { return spinfer_cpu_activate(cpu, x, nullptr, 4, 0, to); },
        cpu_, x_, out);
    nulls(
        "null to combine",
        [](auto cpu, auto left, auto right, auto to) {
          return spinfer_cpu_combine(cpu, left, right, 4, 0, to);
        },
        cpu_, x_, x_, out);
    nulls(
        "null to scale",
        [](auto cpu, auto x, auto to) { return spinfer_cpu_scale(cpu, x, 4, 2, 0, to); }, cpu_, x_,
        out);
  }

  void sums() {
    const auto cut = [&](int64_t groups, int64_t width, int64_t begin, int64_t end) {
      return spinfer_cpu_columns(cpu_, x_, groups, width, begin, end, x_ + 32);
    };
    sizes("groups", [&](int64_t size) { return cut(size, 4, 0, 1); });
    sizes("width", [&](int64_t size) { return cut(2, size, 0, 1); });
    is(bad(cut(2, 4, -1, 2)), "a beginning");
    is(bad(cut(2, 4, 0, 5)), "an end");
    is(bad(cut(2, 4, 2, 2)) && bad(cut(2, 4, 3, 2)), "no columns");
    is(bad(cut(2, 4, INT64_MIN, INT64_MAX)), "all columns that can be counted");
    int32_t said;
    sizes("count", [&](int64_t n) { return spinfer_cpu_all_finite(cpu_, x_, n, &said); });
    nulls(
        "null to all_finite",
        [](auto cpu, auto x, auto out) { return spinfer_cpu_all_finite(cpu, x, 4, out); }, cpu_, x_,
        &said);
    sizes("rows", [&](int64_t n) { return spinfer_cpu_sums(cpu_, x_, n, 4, y_, y_ + 4); });
    sizes("columns", [&](int64_t n) { return spinfer_cpu_sums(cpu_, x_, 2, n, y_, y_ + 4); });
    sizes("rows", [&](int64_t n) { return spinfer_cpu_gram(cpu_, x_, n, 4, y_); });
    sizes("columns", [&](int64_t n) { return spinfer_cpu_gram(cpu_, x_, 2, n, y_); });
    nulls(
        "null to columns",
        [](auto cpu, auto x, auto out) { return spinfer_cpu_columns(cpu, x, 2, 4, 0, 1, out); },
        cpu_, x_, x_ + 32);
    nulls(
        "null to sums",
        [](auto cpu, auto x, auto of, auto squares) {
          return spinfer_cpu_sums(cpu, x, 2, 4, of, squares);
        },
        cpu_, x_, y_, y_ + 4);
    nulls(
        "null to gram",
        [](auto cpu, auto x, auto out) { return spinfer_cpu_gram(cpu, x, 2, 4, out); }, cpu_, x_,
        y_);
  }

  spinfer_cpu* const cpu_;
  const std::string where_;
  const Packed packed_;
  spinfer_cpu_weight* weight_ = nullptr;
  const Guarded<float> floats_{std::vector<float>(64, 1)};
  const Guarded<double> doubles_{std::vector<double>(64, 1)};
  float* const x_ = floats_.data();
  double* const y_ = doubles_.data();
};

}  // namespace

void test_refusals() {
  for (const Engine& engine : engines) Refusals(engine).run();
}

}  // namespace spinfer::test
