// Products with weights, losses and x^T x.
//
// The bound of a product is 1e-6 of the sum of its terms' sizes, and a tenth of that in the mean:
// each of a result's few thousand additions in float32 is off by at most 2^-24 = 6e-8 of the sum so
// far, to either side, and the parts of bfloat16 that the tile unit leaves out are below 2^-24 of a
// term. It takes values and products below 2^-126 for zero: of each of the parts of a term, that
// much.
#include "cpuEngines.h"

namespace spinfer::test {
namespace {

constexpr double kProductBound = 1e-6;
constexpr double kProductMean = 0.1;
constexpr double kFlushed = 0x1p-125;

struct Shape {
  int64_t rows, outputs, inputs;
};

// A sum of products, and of the sizes of its terms with what is lost of each.
struct Sum {
  double value = 0, size = 0, lost = 0;
  void add(double left, double right) {
    value += left * right;
    size += std::abs(left * right);
    lost += kFlushed * (std::abs(left) + std::abs(right) + 8);
  }
  void add(double term) {
    value += term;
    size += std::abs(term);
  }
  double bound(double share = kProductBound) const { return share * size + lost; }
};

Sum dot(const float* x, const float* w, int64_t inputs) {
  Sum sum;
  for (int64_t i = 0; i < inputs; ++i) sum.add(x[i], w[i]);
  return sum;
}

std::vector<float> turned(const std::vector<float>& values, int64_t rows, int64_t columns) {
  std::vector<float> out(values.size());
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column)
      out[column * rows + row] = values[row * columns + column];
  return out;
}

// What a linear layer adds to its product, and where `added` is.
struct Extras {
  const char* name;
  bool has_bias, has_added, is_in_place;
};
constexpr Extras kExtras[] = {
    {"alone", false, false, false},        {"bias", true, false, false},
    {"added", false, true, false},         {"bias and added", true, true, false},
    {"added in place", false, true, true}, {"bias, and added in place", true, true, true}};

struct Linear {
  Shape shape;
  std::vector<float> x, weight, bias, added;  // the weight: [outputs, inputs]
};

Linear make_linear(Random& random, Shape shape, Kind x_kind, Kind weight_kind) {
  return {shape, make_floats(random, shape.rows * shape.inputs, x_kind),
          make_floats(random, shape.outputs * shape.inputs, weight_kind),
          make_floats(random, shape.outputs, Kind::kPlain),
          make_floats(random, shape.rows * shape.outputs, Kind::kPlain)};
}

void linear_is_right(const std::string& name, const Linear& given, const Extras& extras,
                     Form form) {
  const auto [rows, outputs, inputs] = given.shape;
  Expected expected;
  expected.mean_share = kProductMean;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t output = 0; output < outputs; ++output) {
      Sum sum = dot(&given.x[row * inputs], &given.weight[output * inputs], inputs);
      if (extras.has_bias) sum.add(given.bias[output]);
      if (extras.has_added) sum.add(given.added[row * outputs + output]);
      expected.add(sum.value, sum.bound());
    }
  }
  const std::vector<float> weight =
      form.layout == SPINFER_CPU_OUT_IN ? given.weight : turned(given.weight, outputs, inputs);
  const Guarded<float> bias(given.bias), added(given.added);
  const std::vector<float> start =
      extras.is_in_place ? given.added : std::vector<float>(rows * outputs, NAN);
  everywhere(name, expected, start, [&, inputs = inputs](spinfer_cpu* cpu, float* out) {
    const Packed packed(cpu, weight, given.shape.outputs, inputs, form);
    if (const auto status = set_input(cpu, given.x, given.shape.rows, inputs)) return status;
    const float* const before = extras.is_in_place ? out : added.data();
    return spinfer_cpu_linear(cpu, packed.weight, extras.has_bias ? bias.data() : nullptr,
                              extras.has_added ? before : nullptr, out);
  });
}

// Around the sides of panels (6, 14, 16, 32), tiles (32 inputs) and runs of inputs (1536); rows
// that make several tasks.
constexpr Shape kShapes[] = {{1, 1, 1},     {1, 17, 2},     {13, 16, 31},  {14, 15, 32},
                             {15, 33, 33},  {6, 16, 63},    {5, 31, 64},   {7, 32, 65},
                             {31, 31, 95},  {32, 32, 96},   {28, 64, 7},   {33, 64, 1535},
                             {29, 7, 1536}, {14, 33, 1537}, {65, 3, 3100}, {140, 40, 1600},
                             {97, 100, 40}, {300, 5, 20},   {1, 500, 70},  {5, 1030, 33}};

int32_t type_of(Kind kind) {
  if (kind == Kind::kF16) return SPINFER_CPU_F16;
  return kind == Kind::kBf16 ? SPINFER_CPU_BF16 : SPINFER_CPU_F32;
}

void linear_of_every_shape() {
  constexpr Kind kKinds[] = {Kind::kPlain, Kind::kBf16, Kind::kF16, Kind::kWide, Kind::kTiny};
  constexpr Kind kInputs[] = {Kind::kPlain, Kind::kTiny, Kind::kWide};
  Random random(1);
  // 5 kinds and 6 extras have no divisor in common, so that all pairs come up
  int turn = 0;
  for (const Shape shape : kShapes) {
    for (const Kind kind : kKinds) {
      ++turn;
      if (is_brief && turn % 7 != 0) continue;
      const Kind input = kInputs[turn / 6 % 3];
      const Linear given = make_linear(random, shape, input, kind);
      for (const int32_t layout : {SPINFER_CPU_OUT_IN, SPINFER_CPU_IN_OUT}) {
        const Extras& extras = kExtras[(turn + layout) % 6];
        // values of 16 bits as they are and as float32
        for (const int32_t type : {int32_t{SPINFER_CPU_F32}, type_of(kind)}) {
          linear_is_right(text("linear %ld x %ld x %ld, %s by %s, %s, layout %d, type %d",
                               shape.rows, shape.outputs, shape.inputs, name_of(input),
                               name_of(kind), extras.name, layout, type),
                          given, extras, {layout, type});
          if (type_of(kind) == SPINFER_CPU_F32) break;
        }
      }
    }
  }
}

void what_is_not_finite_shows_where_it_belongs() {
  Random random(2);
  for (const Shape shape : {Shape{33, 40, 70}, Shape{3, 5, 3}, Shape{40, 33, 1600}}) {
    Linear given = make_linear(random, shape, Kind::kPlain, Kind::kPlain);
    given.x[0 * shape.inputs + shape.inputs - 1] = NAN;
    given.x[2 * shape.inputs] = -INFINITY;
    given.weight[1 * shape.inputs + 1] = INFINITY;
    given.weight[4 * shape.inputs + shape.inputs - 1] = NAN;
    given.bias[3] = NAN;
    for (const int32_t layout : {SPINFER_CPU_OUT_IN, SPINFER_CPU_IN_OUT})
      for (const Extras& extras : kExtras)
        linear_is_right(
            text("not finite, %ld inputs, %s, layout %d", shape.inputs, extras.name, layout), given,
            extras, {layout});
  }
}

// The error of a loss is at most that of its target's logit and the largest of the others'.
void losses_are_right(Random& random, Shape shape, float softcap, bool has_bias) {
  const auto [rows, outputs, inputs] = shape;
  const Linear given = make_linear(random, shape, Kind::kPlain, Kind::kBf16);
  std::vector<int32_t> targets;
  Expected expected;
  expected.mean_share = kProductMean;
  for (int64_t row = 0; row < rows; ++row) {
    const auto outside = static_cast<uint32_t>(outputs);
    const bool is_none = row % 5 == 4;
    const int32_t last = static_cast<int32_t>(outputs) - 1;
    targets.push_back(is_none ? -1 - row : row % 5 == 0 ? last : random.below(outside));
    std::vector<double> logits;
    double most = -INFINITY, bound = 0, total = 0;
    for (int64_t output = 0; output < outputs; ++output) {
      Sum sum = dot(&given.x[row * inputs], &given.weight[output * inputs], inputs);
      if (has_bias) sum.add(given.bias[output]);
      const double logit = softcap == 0 ? sum.value : softcap * std::tanh(sum.value / softcap);
      logits.push_back(logit);
      most = std::max(most, logit);
      bound = std::max(bound, sum.bound() + rounded(8) * std::abs(logit));
    }
    for (const double logit : logits) total += std::exp(logit - most);
    const double loss = is_none ? NAN : most + std::log(total) - logits[targets[row]];
    expected.add(loss, 2 * bound + rounded(16));
  }
  const Guarded<float> bias(given.bias);
  const Guarded<int32_t> wanted(targets);
  const std::string name = text("losses %ld x %ld x %ld, cap %g", rows, outputs, inputs, softcap);
  const std::vector<double> start(rows, -1);
  everywhere(name, expected, start, [&, inputs = inputs](spinfer_cpu* cpu, double* out) {
    const Packed packed(cpu, given.weight, shape.outputs, inputs);
    if (const auto status = set_input(cpu, given.x, shape.rows, inputs)) return status;
    return spinfer_cpu_losses(cpu, packed.weight, has_bias ? bias.data() : nullptr, softcap,
                              wanted.data(), out);
  });
}

void losses_of_every_shape() {
  Random random(3);
  constexpr Shape kLossShapes[] = {{1, 1, 1},    {5, 2, 5},     {15, 33, 17},  {100, 47, 70},
                                   {9, 1000, 9}, {7, 31, 1600}, {33, 2100, 40}};
  for (const Shape shape : kLossShapes) {
    for (const float softcap : {0.0f, 1.5f, 30.0f}) {
      losses_are_right(random, shape, softcap, softcap != 30);
      if (is_brief) break;
    }
  }
}

// The terms of a column's square have one sign, so that the sum so far is large all the way:
// roundings to either side of a run of 1536 inputs come to sqrt(1536) 2^-24. Runs are added up in
// float64.
constexpr double kGramBound = 2.5e-6;

void gram_is_added_to_what_was_there() {
  Random random(4);
  constexpr int64_t kGrams[][2] = {{1, 1},   {5, 3},     {31, 17},  {70, 33},
                                   {40, 97}, {1600, 40}, {3100, 9}, {64, 130}};
  for (const auto& [rows, columns] : kGrams) {
    if (is_brief && columns == 40) continue;
    for (const Kind kind : {Kind::kPlain, Kind::kTiny}) {
      std::vector<float> x = make_floats(random, rows * columns, kind);
      if (columns == 33) x[11 * columns + 20] = NAN;
      const std::vector<float> columns_of_x = turned(x, rows, columns);
      Expected expected;
      expected.mean_share = kProductMean;
      std::vector<double> start;
      for (int64_t i = 0; i < columns; ++i) {
        for (int64_t j = 0; j <= i; ++j) {
          const Sum sum = dot(&columns_of_x[i * rows], &columns_of_x[j * rows], rows);
          start.push_back(1e-3 * random.unit());
          expected.add(start.back() + sum.value, sum.bound(kGramBound) + 0x1p-50 * start.back());
        }
      }
      const Guarded<float> given(x);
      everywhere(text("gram %ld x %ld, %s", rows, columns, name_of(kind)), expected, start,
                 [&, rows = rows, columns = columns](spinfer_cpu* cpu, double* out) {
                   return spinfer_cpu_gram(cpu, given.data(), rows, columns, out);
                 });
    }
  }
}

}  // namespace

void test_products() {
  linear_of_every_shape();
  what_is_not_finite_shows_where_it_belongs();
  losses_of_every_shape();
  gram_is_added_to_what_was_there();
}

}  // namespace spinfer::test
