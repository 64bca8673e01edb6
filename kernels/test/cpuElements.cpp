// Norms, rotary embedding, activations, sums and the other functions of single values.
//
// Bounds are a few roundings of float32 (2^-24 each): exp, tanh and erfc are good to two units in
// the last place, which is four; where an argument is itself computed, its error counts by as much
// as the function is steep.
#include <utility>

#include "cpuEngines.h"

namespace spinfer::test {
namespace {

// Shorter and longer than vectors of 8 and 16, and than the runs that threads take.
constexpr int64_t kCounts[] = {1, 7, 8, 9, 15, 16, 17, 33, 1000, 32768, 70003};

// Of all sizes, with what is not finite among them.
std::vector<float> make_mixed(Random& random, int64_t count) {
  std::vector<float> values;
  constexpr Kind kKinds[] = {Kind::kPlain, Kind::kWide, Kind::kTiny};
  for (int64_t i = 0; i < count; ++i) {
    const float value = make_floats(random, 1, kKinds[random.below(3)])[0];
    values.push_back(random.below(2) == 0 ? value : value * 12);
  }
  if (count > 5) values[2] = NAN;
  if (count > 8) values[count - 1] = INFINITY;
  if (count > 9) values[count - 2] = -INFINITY;
  return values;
}

struct Bent {
  double value, relative;  // error
};

Bent bend(int32_t activation, double x) {
  const double twice = std::sqrt(8 / M_PI) * (x + 0.044715 * x * x * x);
  switch (activation) {
    case SPINFER_CPU_SILU:
      return {x / (1 + std::exp(-x)), rounded(10)};
    case SPINFER_CPU_GELU:
      return {x / 2 * std::erfc(-x / std::sqrt(2.0)), rounded(16 + 4 * x * x)};
    case SPINFER_CPU_GELU_TANH:
      return {x / (1 + std::exp(-twice)), rounded(10 + 5 * std::abs(twice))};
    default:
      return {x < 0 ? 0 : x, 0};
  }
}

// Where a result goes: a buffer of its own, or one of two inputs.
enum class Out { kApart, kFirst, kSecond };
constexpr Out kOuts[] = {Out::kApart, Out::kFirst, Out::kSecond};

// `call` is given both inputs, of which one may be `out`.
template <typename Call>
void in_each_place(const std::string& name, const Expected& expected,
                   const std::vector<float>& first, const std::vector<float>& second, Call&& call) {
  const Guarded<float> left(first), right(second);
  for (const Out place : kOuts) {
    const std::vector<float> start = place == Out::kFirst    ? first
                                     : place == Out::kSecond ? second
                                                             : std::vector<float>(first.size(), -1);
    everywhere(text("%s, place %d", name.c_str(), static_cast<int>(place)), expected, start,
               [&](spinfer_cpu* cpu, float* out) {
                 return call(cpu, place == Out::kFirst ? out : left.data(),
                             place == Out::kSecond ? out : right.data(), out);
               });
  }
}

void activations_are_right(int64_t count) {
  Random random(5);
  const std::vector<float> x = make_mixed(random, count);
  const std::vector<float> factor = make_floats(random, count, Kind::kPlain);
  const Guarded<float> given(x);
  for (int32_t activation = SPINFER_CPU_SILU; activation <= SPINFER_CPU_RELU; ++activation) {
    Expected alone, gated;
    for (int64_t i = 0; i < count; ++i) {
      const auto [value, relative] = bend(activation, x[i]);
      alone.add(value, relative * std::abs(value) + kNothing);
      gated.add(value * factor[i], (relative + rounded(2)) * std::abs(value) + kNothing);
    }
    const std::string name = text("activation %d of %ld", activation, count);
    in_each_place(name, gated, x, factor,
                  [=](spinfer_cpu* cpu, const float* left, const float* right, float* out) {
                    return spinfer_cpu_activate(cpu, left, right, count, activation, out);
                  });
    everywhere(name + " alone", alone, std::vector<float>(count, -1),
               [&](spinfer_cpu* cpu, float* out) {
                 return spinfer_cpu_activate(cpu, given.data(), nullptr, count, activation, out);
               });
    everywhere(name + " alone in place", alone, x, [=](spinfer_cpu* cpu, float* out) {
      return spinfer_cpu_activate(cpu, out, nullptr, count, activation, out);
    });
  }
}

// One rounding, which float64 does the same way: there is nothing to allow for.
void combinations_are_exact(int64_t count) {
  Random random(6);
  const std::vector<float> left = make_mixed(random, count);
  const std::vector<float> right = make_floats(random, count, Kind::kTiny);
  for (const int32_t operation : {SPINFER_CPU_ADD, SPINFER_CPU_MULTIPLY}) {
    Expected expected;
    for (int64_t i = 0; i < count; ++i) {
      const double a = left[i], b = right[i];
      expected.add(static_cast<float>(operation == SPINFER_CPU_ADD ? a + b : a * b), 0);
    }
    in_each_place(text("combine %d of %ld", operation, count), expected, left, right,
                  [=](spinfer_cpu* cpu, const float* first, const float* second, float* out) {
                    return spinfer_cpu_combine(cpu, first, second, count, operation, out);
                  });
  }
}

void scales_are_right(int64_t count) {
  Random random(7);
  const std::vector<float> x = make_mixed(random, count);
  const Guarded<float> given(x);
  constexpr float kScale = -0.3f;
  for (const float softcap : {0.0f, 2.5f}) {
    Expected expected;
    for (int64_t i = 0; i < count; ++i) {
      const double scaled = static_cast<double>(kScale) * x[i];
      const double value = softcap == 0 ? scaled : softcap * std::tanh(scaled / softcap);
      expected.add(value, rounded(softcap == 0 ? 1 : 10) * std::abs(value) + kNothing);
    }
    const std::string name = text("scale of %ld, cap %g", count, softcap);
    everywhere(name, expected, std::vector<float>(count, -1), [&](spinfer_cpu* cpu, float* out) {
      return spinfer_cpu_scale(cpu, given.data(), count, kScale, softcap, out);
    });
    everywhere(name + ", in place", expected, x, [=](spinfer_cpu* cpu, float* out) {
      return spinfer_cpu_scale(cpu, out, count, kScale, softcap, out);
    });
  }
}

struct Groups {
  int64_t groups, size;
};
constexpr Groups kGroups[] = {{1, 1},  {3, 7},    {2, 8},     {5, 15},   {4, 16},
                              {3, 17}, {700, 64}, {9, 40000}, {40000, 1}};
constexpr double kEpsilon = 1e-6;

// A row of each kind, one of values that differ little from each other, and one with a NaN in it.
std::vector<float> make_rows(Random& random, Groups shape) {
  std::vector<float> x;
  for (int64_t group = 0; group < shape.groups; ++group) {
    constexpr Kind kKinds[] = {Kind::kPlain, Kind::kWide, Kind::kTiny};
    std::vector<float> row = make_floats(random, shape.size, kKinds[group % 3]);
    if (group % 4 == 3)
      for (float& value : row) value = 1000 + value / 128;
    if (group == 2) row[shape.size - 1] = NAN;
    x.insert(x.end(), row.begin(), row.end());
  }
  return x;
}

void norms_of_squares_are_right(Groups shape) {
  Random random(8);
  const std::vector<float> x = make_rows(random, shape);
  const std::vector<float> weight = make_floats(random, shape.size, Kind::kPlain);
  const Guarded<float> given(x), scale(weight);
  for (const int32_t add_one : {0, 1}) {
    Expected expected;
    for (int64_t group = 0; group < shape.groups; ++group) {
      const float* const row = &x[group * shape.size];
      double squares = 0;
      for (int64_t i = 0; i < shape.size; ++i) squares += static_cast<double>(row[i]) * row[i];
      const double factor = 1 / std::sqrt(squares / shape.size + kEpsilon);
      for (int64_t i = 0; i < shape.size; ++i) {
        const double normed = row[i] * factor;
        expected.add(normed * (weight[i] + add_one), rounded(5) * std::abs(normed) + kNothing);
      }
    }
    everywhere(text("norm of squares %ld x %ld, %d", shape.groups, shape.size, add_one), expected,
               std::vector<float>(x.size(), -1), [&](spinfer_cpu* cpu, float* out) {
                 return spinfer_cpu_rms_norm(cpu, given.data(), shape.groups, shape.size,
                                             scale.data(), kEpsilon, add_one, out);
               });
  }
}

void layer_norms_are_right(Groups shape) {
  Random random(9);
  const std::vector<float> x = make_rows(random, shape);
  const std::vector<float> weight = make_floats(random, shape.size, Kind::kPlain);
  const std::vector<float> bias = make_floats(random, shape.size, Kind::kPlain);
  const Guarded<float> given(x), scale(weight), more(bias);
  for (int has = 0; has < 4; ++has) {
    Expected expected;
    for (int64_t group = 0; group < shape.groups; ++group) {
      const float* const row = &x[group * shape.size];
      double mean = 0, squares = 0;
      for (int64_t i = 0; i < shape.size; ++i) mean += row[i];
      mean /= shape.size;
      for (int64_t i = 0; i < shape.size; ++i) squares += (row[i] - mean) * (row[i] - mean);
      const double factor = 1 / std::sqrt(squares / shape.size + kEpsilon);
      for (int64_t i = 0; i < shape.size; ++i) {
        const double normed = (row[i] - mean) * factor;
        const double value = normed * (has & 1 ? weight[i] : 1) + (has & 2 ? bias[i] : 0);
        // the mean, in two float32, is good to 2^-48
        const double lost = 0x1p-47 * std::abs(mean) * factor;
        expected.add(value, rounded(6) * std::abs(normed) + rounded(1) + lost);
      }
    }
    everywhere(text("layer norm %ld x %ld, %d", shape.groups, shape.size, has), expected,
               std::vector<float>(x.size(), -1), [&](spinfer_cpu* cpu, float* out) {
                 return spinfer_cpu_layer_norm(cpu, given.data(), shape.groups, shape.size,
                                               has & 1 ? scale.data() : nullptr,
                                               has & 2 ? more.data() : nullptr, kEpsilon, out);
               });
  }
}

struct Turn {
  int64_t tokens, length, heads, head_size, turned;
};

void rotations_are_right(Turn turn) {
  Random random(10);
  const int64_t columns = turn.heads * turn.head_size, pairs = turn.turned / 2;
  const std::vector<float> x = make_mixed(random, turn.tokens * columns);
  const std::vector<float> cosine = make_floats(random, turn.length * pairs, Kind::kPlain);
  const std::vector<float> sine = make_floats(random, turn.length * pairs, Kind::kPlain);
  Expected expected;
  for (int64_t at = 0; at < turn.tokens * columns; ++at) {
    const int64_t i = at % turn.head_size, angle = at / columns % turn.length * pairs + i % pairs;
    if (i >= turn.turned) {
      expected.add(x[at], 0);
      continue;
    }
    const double other = i < pairs ? -x[at + pairs] : x[at - pairs];
    const double kept = static_cast<double>(x[at]) * cosine[angle], moved = other * sine[angle];
    expected.add(kept + moved, rounded(2) * (std::abs(kept) + std::abs(moved)) + kNothing);
  }
  const Guarded<float> given(x), cosines(cosine), sines(sine);
  everywhere(text("rotary %ld x %ld x %ld", turn.tokens, turn.heads, turn.head_size), expected,
             std::vector<float>(x.size(), -1), [&](spinfer_cpu* cpu, float* out) {
               return spinfer_cpu_rotary(cpu, given.data(), turn.tokens, turn.length, turn.heads,
                                         turn.head_size, turn.turned, cosines.data(), sines.data(),
                                         out);
             });
}

struct Cut {
  int64_t groups, width, begin, end;
};

void columns_are_copied(Cut cut) {
  Random random(11);
  const std::vector<float> x = make_mixed(random, cut.groups * cut.width);
  Expected expected;
  for (int64_t group = 0; group < cut.groups; ++group)
    for (int64_t i = cut.begin; i < cut.end; ++i) expected.add(x[group * cut.width + i], 0);
  const Guarded<float> given(x);
  everywhere(text("columns %ld to %ld of %ld x %ld", cut.begin, cut.end, cut.groups, cut.width),
             expected, std::vector<float>(expected.values.size(), -1),
             [&](spinfer_cpu* cpu, float* out) {
               return spinfer_cpu_columns(cpu, given.data(), cut.groups, cut.width, cut.begin,
                                          cut.end, out);
             });
}

// The additions of float64 may come in another order.
void sums_are_added_to_what_was_there(Groups shape) {
  Random random(12);
  const auto [rows, columns] = shape;
  std::vector<float> x = make_floats(random, rows * columns, Kind::kTiny);
  if (columns > 2) x[columns - 2] = NAN;
  std::vector<double> start;
  for (int64_t i = 0; i < 2 * columns; ++i) start.push_back(random.unit());
  Expected expected;
  for (int64_t i = 0; i < 2 * columns; ++i) {
    double sum = start[i], size = start[i];
    for (int64_t row = 0; row < rows; ++row) {
      const double value = x[row * columns + i % columns];
      sum += i < columns ? value : value * value;
      size += std::abs(i < columns ? value : value * value);
    }
    expected.add(sum, static_cast<double>(rows + 1) * 0x1p-52 * size);
  }
  const Guarded<float> given(x);
  everywhere(text("sums %ld x %ld", rows, columns), expected, start,
             [&, rows = rows, columns = columns](spinfer_cpu* cpu, double* out) {
               return spinfer_cpu_sums(cpu, given.data(), rows, columns, out, out + columns);
             });
}

// Wherever it stands, one value that is not finite is seen.
void finite_values_are_told_apart(int64_t count) {
  Random random(13);
  std::vector<float> x = make_floats(random, count, Kind::kWide);
  const auto is_finite = [&](const Engine& engine) {
    const Guarded<float> given(x);
    int32_t said = -1;
    check(spinfer_cpu_all_finite(engine.cpu, given.data(), count, &said) == SPINFER_CPU_OK,
          "all_finite of %ld", static_cast<long>(count));
    return said;
  };
  for (const Engine& engine : engines) {
    check(is_finite(engine) == 1, "%s: %ld finite values", engine.set.c_str(), long(count));
    for (const int64_t at : {int64_t{0}, count / 2, count - 1}) {
      for (const float value : {NAN, INFINITY, -INFINITY}) {
        const float before = std::exchange(x[at], value);
        check(is_finite(engine) == 0, "%s: %g at %ld of %ld", engine.set.c_str(), value, long(at),
              long(count));
        x[at] = before;
      }
    }
  }
}

}  // namespace

void test_elements() {
  for (const int64_t count : kCounts) {
    if (is_brief && count != 17 && count != 70003) continue;
    activations_are_right(count);
    combinations_are_exact(count);
    scales_are_right(count);
    finite_values_are_told_apart(count);
  }
  for (const Groups shape : kGroups) {
    if (is_brief && shape.groups != 700) continue;
    norms_of_squares_are_right(shape);
    layer_norms_are_right(shape);
  }
  rotations_are_right({1, 1, 1, 2, 2});
  rotations_are_right({6, 3, 3, 10, 6});
  rotations_are_right({33, 33, 2, 40, 40});
  rotations_are_right({200, 7, 9, 66, 34});
  columns_are_copied({1, 1, 0, 1});
  columns_are_copied({7, 5, 2, 5});
  columns_are_copied({3000, 33, 1, 18});
  columns_are_copied({3, 40000, 0, 39999});
  for (const Groups shape : {Groups{1, 1}, Groups{3, 5}, Groups{65, 33}, Groups{200, 257}})
    sums_are_added_to_what_was_there(shape);
}

}  // namespace spinfer::test
