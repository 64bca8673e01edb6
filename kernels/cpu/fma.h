// Products in float32 with fused multiply-add: a block of results stays in registers while the
// inputs pass, as in Goto and van de Geijn, "Anatomy of high-performance matrix multiplication",
// ACM TOMS 34(3), 2008.
#pragma once

#include "stored.h"

namespace spinfer::cpu::SPINFER_CPU_SET {

// 32 registers hold 14 x 2 results, 2 vectors of the weight and one input; 16 hold 6 x 2.
constexpr int kPanelRows = kWidth == 16 ? 14 : 6;
constexpr int kVectors = 2;
constexpr int kPanelColumns = kVectors * kWidth;
// Inputs whose weights are asked for before they are multiplied.
constexpr int kAhead = 12;
// Bytes of the input's panels of a task: they stay in a second cache of 512 KiB and more.
constexpr int64_t kTaskBytes = 300 << 10;

inline int64_t inputPanelBytes(int64_t columns) { return columns * kPanelRows * sizeof(float); }
inline int64_t weightPanelBytes(int64_t inputs, int) {
  return inputs * kPanelColumns * sizeof(float);
}

struct TileUnit {
  TileUnit() {}
  ~TileUnit() {}
};

// One after the other, of each column the values of all rows.
inline void packInputPanel(const float* x, int64_t count, int64_t columns, void* panel) {
  float* to = static_cast<float*>(panel);
  for (int64_t column = 0; column < columns; column++, to += kPanelRows) {
#pragma GCC unroll 14
    for (int row = 0; row < kPanelRows; row++)
      to[row] = row < count ? x[row * columns + column] : 0;
  }
}

// One after the other, of each input the values of all outputs.
template <typename Value>
inline void packOutIn(const Value* values, int64_t count, int64_t inputs, int, char* panel) {
  float* to = reinterpret_cast<float*>(panel);
  for (int64_t begin = 0; begin < inputs; begin += kWidth) {
    const int64_t run = begin + kWidth < inputs ? kWidth : inputs - begin;
    for (int output = 0; output < kPanelColumns; output++) {
      const Vec read = output < count ? loadUpTo(values + output * inputs + begin, run) : Vec{};
      for (int64_t input = 0; input < run; input++)
        to[(begin + input) * kPanelColumns + output] = read[input];
    }
  }
}

template <typename Value>
inline void packInOut(const Value* values, int64_t count, int64_t inputs, int64_t outputs, int,
                      char* panel) {
  float* to = reinterpret_cast<float*>(panel);
  for (int64_t input = 0; input < inputs; input++) {
    const Value* const at = values + input * outputs;
    store(to + input * kPanelColumns, loadUpTo(at, count));
    store(to + input * kPanelColumns + kWidth, loadUpTo(at + kWidth, count - kWidth));
  }
}

template <typename Value>
inline int partsOf(const Value*, int64_t, int known) {
  return known;
}

// to [kPanelRows, kPanelColumns] = from + the product of a panel of the input and a panel of the
// weight over the inputs from `begin` to `end`. Nothing is added where `from` is null.
inline void multiplyPanels(const void* inputPanel, const void* weightPanel, int64_t begin,
                           int64_t end, int, const Place<const float> from, const Place<float> to) {
  const float* input = static_cast<const float*>(inputPanel) + begin * kPanelRows;
  const float* weight = static_cast<const float*>(weightPanel) + begin * kPanelColumns;
  Vec sums[kPanelRows][kVectors] = {};
  if (from.at != nullptr) {
    for (int row = 0; row < kPanelRows; row++) {
      sums[row][0] = load(from.at + row * from.stride);
      sums[row][1] = load(from.at + row * from.stride + kWidth);
    }
  }
  for (int64_t depth = begin; depth < end; depth++) {
    __builtin_prefetch(weight + kAhead * kPanelColumns);
    __builtin_prefetch(weight + kAhead * kPanelColumns + kWidth);
    const Vec left = load(weight);
    const Vec right = load(weight + kWidth);
#pragma GCC unroll 14
    for (int row = 0; row < kPanelRows; row++) {
      const Vec factor = splat(input[row]);
      sums[row][0] += factor * left;
      sums[row][1] += factor * right;
    }
    input += kPanelRows;
    weight += kPanelColumns;
  }
  for (int row = 0; row < kPanelRows; row++) {
    store(to.at + row * to.stride, sums[row][0]);
    store(to.at + row * to.stride + kWidth, sums[row][1]);
  }
}

}  // namespace spinfer::cpu::SPINFER_CPU_SET
