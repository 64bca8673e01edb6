// Norms, rotary embedding, activations and sums of columns.
#include <atomic>
#include <cmath>
#include <cstring>

#include "kernels.h"
#include "vectorMath.h"
#include "vectorParts.h"

namespace spinfer::cpu::SPINFER_CPU_SET {
namespace {

// Values of a task: enough to be worth handing out, few enough to stay in a core's cache.
constexpr int64_t kGrain = 32768;

int64_t rowsOfGrain(int64_t columns) { return columns < kGrain ? kGrain / columns : 1; }

// Calls whole(i) for each vector of [begin, end), and part(i, count) for what remains.
template <typename Whole, typename Part>
void eachVector(int64_t begin, int64_t end, Whole&& whole, Part&& part) {
  int64_t i = begin;
  for (; i + kWidth <= end; i += kWidth) whole(i);
  if (i < end) part(i, end - i);
}

// out[i] = change(inputs[i]...).
template <typename Change, typename... Inputs>
void mapRun(int64_t begin, int64_t end, float* out, Change change, Inputs... inputs) {
  eachVector(
      begin, end, [&](int64_t i) { store(out + i, change(load(inputs + i)...)); },
      [&](int64_t i, int64_t count) {
        storeFirst(out + i, count, change(loadFirst(inputs + i, count)...));
      });
}

template <typename Change, typename... Inputs>
void map(Pool& pool, int64_t count, float* out, Change change, Inputs... inputs) {
  pool.ranges(count, kGrain,
              [&](int64_t begin, int64_t end, int) { mapRun(begin, end, out, change, inputs...); });
}

// Sum of change(x) in float64; change takes a vector or a value.
template <typename Change>
double sumOf(const float* x, int64_t size, Change change) {
  DoubleVec sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * kHalfWidth <= size; i += 4 * kHalfWidth) {
    for (int part = 0; part < 4; part++)
      sums[part] += change(loadDoubles(x + i + part * kHalfWidth));
  }
  double sum = total((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < size; i++) sum += change(static_cast<double>(x[i]));
  return sum;
}

// 1 / sqrt(mean + epsilon) as the sum of two float32. Rounded to one, its error would be that of
// all values of a row, which blocks with a very large activation make a hundred times larger.
struct Factor {
  float whole, rest;
  Factor(double mean, double epsilon) {
    const double factor = 1 / std::sqrt(mean + epsilon);
    whole = static_cast<float>(factor);
    rest = static_cast<float>(factor - whole);
  }
  Vec operator()(Vec value) const {
    const Vec little = value * rest;
    return value * whole + little;
  }
};

void rmsNorm(Pool& pool, const float* x, int64_t groups, int64_t size, const float* weight,
             double epsilon, bool addOne, float* out) {
  const float more = addOne ? 1.0f : 0.0f;
  const auto normalise = [&](int64_t group) {
    const float* row = x + group * size;
    const double squares = sumOf(row, size, [](auto value) { return value * value; });
    const Factor factor(squares / size, epsilon);
    mapRun(
        0, size, out + group * size,
        [=](Vec value, Vec scale) { return factor(value) * (scale + more); }, row, weight);
  };
  pool.ranges(groups, rowsOfGrain(size), [&](int64_t begin, int64_t end, int) {
    for (int64_t group = begin; group < end; group++) normalise(group);
  });
}

// A mean in two float32: values much smaller than their mean are not lost.
struct Moments {
  float mean, meanRest;
  Factor factor;
};

Moments momentsOf(const float* x, int64_t size, double epsilon) {
  const double mean = sumOf(x, size, [](auto value) { return value; }) / size;
  const double squares =
      sumOf(x, size, [=](auto value) { return (value - mean) * (value - mean); });
  const float rounded = static_cast<float>(mean);
  return {rounded, static_cast<float>(mean - rounded), Factor(squares / size, epsilon)};
}

void layerNormOne(const float* x, int64_t size, const float* weight, const float* bias,
                  double epsilon, float* out) {
  const Moments moments = momentsOf(x, size, epsilon);
  const auto normed = [=](Vec value) {
    return moments.factor((value - moments.mean) - moments.meanRest);
  };
  if (weight != nullptr && bias != nullptr) {
    mapRun(
        0, size, out, [=](Vec value, Vec scale, Vec more) { return normed(value) * scale + more; },
        x, weight, bias);
  } else if (weight != nullptr) {
    mapRun(
        0, size, out, [=](Vec value, Vec scale) { return normed(value) * scale; }, x, weight);
  } else if (bias != nullptr) {
    mapRun(
        0, size, out, [=](Vec value, Vec more) { return normed(value) + more; }, x, bias);
  } else {
    mapRun(0, size, out, normed, x);
  }
}

void layerNorm(Pool& pool, const float* x, int64_t groups, int64_t size, const float* weight,
               const float* bias, double epsilon, float* out) {
  pool.ranges(groups, rowsOfGrain(size), [&](int64_t begin, int64_t end, int) {
    for (int64_t group = begin; group < end; group++)
      layerNormOne(x + group * size, size, weight, bias, epsilon, out + group * size);
  });
}

void turnHead(const float* x, int64_t headSize, int64_t turned, const float* cosine,
              const float* sine, float* out) {
  const int64_t pairs = turned / 2;
  mapRun(
      0, pairs, out, [](Vec first, Vec second, Vec c, Vec s) { return first * c - second * s; }, x,
      x + pairs, cosine, sine);
  mapRun(
      0, pairs, out + pairs,
      [](Vec first, Vec second, Vec c, Vec s) { return second * c + first * s; }, x, x + pairs,
      cosine, sine);
  if (turned < headSize) std::memcpy(out + turned, x + turned, (headSize - turned) * sizeof(float));
}

void rotary(Pool& pool, const float* x, int64_t tokens, int64_t length, int64_t heads,
            int64_t headSize, int64_t turned, const float* cosine, const float* sine, float* out) {
  const int64_t pairs = turned / 2;
  const int64_t columns = heads * headSize;
  pool.ranges(tokens, rowsOfGrain(columns), [&](int64_t begin, int64_t end, int) {
    for (int64_t token = begin; token < end; token++) {
      const int64_t turn = token % length * pairs;
      for (int64_t at = token * columns; at < (token + 1) * columns; at += headSize)
        turnHead(x + at, headSize, turned, cosine + turn, sine + turn, out + at);
    }
  });
}

struct Silu {
  Vec operator()(Vec x) const { return x / (1.0f + exp(-x)); }
};

// x times the share of the normal distribution below x, from the tail that has its last places.
struct Gelu {
  Vec operator()(Vec x) const {
    const Vec tail = 0.5f * erfcOfPositive(magnitude(x) * 0.707106781f);
    return x * (x < 0.0f ? tail : 1.0f - tail);
  }
};

// (1 + tanh(y)) / 2 = 1 / (1 + exp(-2 y)); 2 sqrt(2 / pi) = 1.59576912.
struct GeluTanh {
  Vec operator()(Vec x) const {
    const Vec twice = x * (x * x * (1.59576912f * 0.044715f) + 1.59576912f);
    return x / (1.0f + exp(-twice));
  }
};

// Of NaN, NaN.
struct Relu {
  Vec operator()(Vec x) const { return x < 0.0f ? Vec{} : x; }
};

template <typename Activation>
void activateBy(Pool& pool, const float* x, const float* factor, int64_t count, float* out) {
  const Activation activation{};
  if (factor == nullptr) {
    map(pool, count, out, activation, x);
  } else {
    map(
        pool, count, out, [=](Vec value, Vec times) { return activation(value) * times; }, x,
        factor);
  }
}

void activate(Pool& pool, const float* x, const float* factor, int64_t count, int32_t activation,
              float* out) {
  switch (activation) {
    case SPINFER_CPU_SILU:
      return activateBy<Silu>(pool, x, factor, count, out);
    case SPINFER_CPU_GELU:
      return activateBy<Gelu>(pool, x, factor, count, out);
    case SPINFER_CPU_GELU_TANH:
      return activateBy<GeluTanh>(pool, x, factor, count, out);
    default:
      return activateBy<Relu>(pool, x, factor, count, out);
  }
}

void combine(Pool& pool, const float* left, const float* right, int64_t count, int32_t operation,
             float* out) {
  if (operation == SPINFER_CPU_ADD) {
    map(
        pool, count, out, [](Vec first, Vec second) { return first + second; }, left, right);
  } else {
    map(
        pool, count, out, [](Vec first, Vec second) { return first * second; }, left, right);
  }
}

void scaleBy(Pool& pool, const float* x, int64_t count, float scale, float softcap, float* out) {
  if (softcap == 0) {
    map(
        pool, count, out, [=](Vec value) { return value * scale; }, x);
  } else {
    const float inner = scale / softcap;
    map(
        pool, count, out, [=](Vec value) { return softcap * tanh(value * inner); }, x);
  }
}

void columnsOf(Pool& pool, const float* x, int64_t groups, int64_t width, int64_t begin,
               int64_t end, float* out) {
  const int64_t taken = end - begin;
  pool.ranges(groups, rowsOfGrain(width), [&](int64_t first, int64_t last, int) {
    for (int64_t group = first; group < last; group++)
      std::memcpy(out + group * taken, x + group * width + begin, taken * sizeof(float));
  });
}

// Columns of a task of `sums`, whole cache lines of each row, and rows that it takes at a time:
// they stay in the nearest cache while one column after the other is added up.
constexpr int64_t kStrip = 64;
constexpr int64_t kStripRows = 64;
// Vectors of float64 that are added up together, so that one addition need not wait for another.
constexpr int kTogether = 4;

// Rows of a part of a matrix, and the sums of its columns.
struct Strip {
  const float* x;
  int64_t rows, columns;
  double *sums, *squares;
};

void addTogether(const Strip& strip, int64_t column) {
  DoubleVec sum[kTogether] = {}, square[kTogether] = {};
  for (int64_t row = 0; row < strip.rows; row++) {
    const float* const at = strip.x + row * strip.columns + column;
    for (int i = 0; i < kTogether; i++) {
      const DoubleVec value = loadDoubles(at + i * kHalfWidth);
      sum[i] += value;
      square[i] += value * value;
    }
  }
  for (int i = 0; i < kTogether; i++) {
    addTo(strip.sums + column + i * kHalfWidth, sum[i]);
    addTo(strip.squares + column + i * kHalfWidth, square[i]);
  }
}

void addOne(const Strip& strip, int64_t column) {
  for (int64_t row = 0; row < strip.rows; row++) {
    const double value = strip.x[row * strip.columns + column];
    strip.sums[column] += value;
    strip.squares[column] += value * value;
  }
}

void addStrip(const Strip& strip, int64_t begin, int64_t end) {
  int64_t column = begin;
  for (; column + kTogether * kHalfWidth <= end; column += kTogether * kHalfWidth)
    addTogether(strip, column);
  for (; column < end; column++) addOne(strip, column);
}

void sumColumns(Pool& pool, const float* x, int64_t rows, int64_t columns, double* sums,
                double* squares) {
  pool.ranges(columns, kStrip, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = 0; row < rows; row += kStripRows) {
      const int64_t taken = row + kStripRows < rows ? kStripRows : rows - row;
      addStrip({x + row * columns, taken, columns, sums, squares}, begin, end);
    }
  });
}

// A value times 0 is 0, or NaN where it is not finite.
bool allFinite(Pool& pool, const float* x, int64_t count) {
  std::atomic<bool> isFinite{true};
  pool.ranges(count, kGrain, [&](int64_t begin, int64_t end, int) {
    Vec zeros[4] = {};
    int64_t i = begin;
    for (; i + 4 * kWidth <= end; i += 4 * kWidth)
      for (int part = 0; part < 4; part++) zeros[part] += load(x + i + part * kWidth) * 0.0f;
    Vec zero = (zeros[0] + zeros[1]) + (zeros[2] + zeros[3]);
    eachVector(
        i, end, [&](int64_t at) { zero += load(x + at) * 0.0f; },
        [&](int64_t at, int64_t rest) { zero += loadFirst(x + at, rest) * 0.0f; });
    if (anyLane(zero != Vec{})) isFinite.store(false, std::memory_order_relaxed);
  });
  return isFinite.load();
}

}  // namespace

const ElementKernels kElements = {rmsNorm, layerNorm, rotary,    activate,  combine,
                                  scaleBy, columnsOf, allFinite, sumColumns};

}  // namespace spinfer::cpu::SPINFER_CPU_SET
