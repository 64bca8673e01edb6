// Products of bfloat16 parts on the tile unit (AMX-BF16). A float32 is the sum of three bfloat16
// values of falling size, exactly; of the products of parts, those that lie within 24 bits of the
// largest are added up in float32: (0,0) (0,1) (1,0) (1,1) (0,2) (2,0). The method is that of
// oneMKL's compute mode BF16X3; error analysis: Henry, Tang and Heinecke, "Leveraging the bfloat16
// artificial intelligence datatype for higher-precision computations", ARITH 2019.
#pragma once

#include <atomic>
#include <cstring>

#include "stored.h"

namespace spinfer::cpu::SPINFER_CPU_SET {

constexpr int kTile = 16;                 // rows of a tile
constexpr int kTileBytes = kTile * 64;    // 16 rows of 32 bfloat16
constexpr int kDepth = 32;                // values of each row that a tile holds
constexpr int kPanelRows = 2 * kTile;     // of the input
constexpr int kPanelColumns = 2 * kTile;  // outputs of the weight
constexpr int kInputParts = 3;
constexpr int64_t kPairBytes = 2 * kTileBytes;
// Bytes of the input's panels of a task: processors with tiles have a second cache of 2 MiB.
constexpr int64_t kTaskBytes = 1200 << 10;

inline int64_t depthSteps(int64_t depth) { return divideUp(depth, kDepth); }
inline int64_t inputPanelBytes(int64_t columns) {
  return depthSteps(columns) * kInputParts * kPairBytes;
}
inline int64_t weightPanelBytes(int64_t inputs, int parts) {
  return depthSteps(inputs) * parts * kPairBytes;
}

// Tiles are a state of the thread: set up where a task begins, given back where it ends.
class TileUnit {
 public:
  TileUnit() {
    struct alignas(64) {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t rowBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {kTile, kTile, kTile, kTile, kTile, kTile, kTile, kTile};
    } const shape;
    _tile_loadconfig(&shape);
  }
  ~TileUnit() { _tile_release(); }
  TileUnit(const TileUnit&) = delete;
  TileUnit& operator=(const TileUnit&) = delete;
};

// 32 values as bfloat16, and what is left of them.
struct Values {
  __m512 low, high;
};

inline __m512i takePart(Values& values) {
  const __m512i part = (__m512i)_mm512_cvtne2ps_pbh(values.high, values.low);
  const auto asFloat = [](__m256i half) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  };
  values.low = _mm512_sub_ps(values.low, asFloat(_mm512_castsi512_si256(part)));
  values.high = _mm512_sub_ps(values.high, asFloat(_mm512_extracti64x4_epi64(part, 1)));
  return part;
}

template <typename Value>
inline Values loadValues(const Value* at, int64_t count) {
  return {loadUpTo(at, count), loadUpTo(at + kWidth, count - kWidth)};
}

// Rows of x, `count` of them, in the form of the first operand: tiles of 16 rows, 32 columns each.
inline void packRows(Place<const float> x, int64_t count, int64_t columns, void* panel) {
  char* to = static_cast<char*>(panel);
  for (int64_t column = 0; column < columns; column += kDepth) {
    for (int row = 0; row < kPanelRows; row++) {
      Values values = {};
      if (row < count) values = loadValues(x.at + row * x.stride + column, columns - column);
      char* at = to + row / kTile * kTileBytes + row % kTile * 64;
      for (int part = 0; part < kInputParts; part++)
        _mm512_store_si512(at + part * kPairBytes, takePart(values));
    }
    to += kInputParts * kPairBytes;
  }
}

inline void packInputPanel(const float* x, int64_t count, int64_t columns, void* panel) {
  packRows({x, columns}, count, columns, panel);
}

// Rows of 16 values of 32 bits become columns.
inline void turn(__m512i rows[16]) {
  __m512i half[16];
  for (int i = 0; i < 16; i += 2) {
    half[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    half[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(half[i], half[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(half[i], half[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(half[i + 1], half[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(half[i + 1], half[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    const __m512i a = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
    const __m512i b = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
    const __m512i c = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
    const __m512i d = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
    half[i] = _mm512_shuffle_i32x4(a, c, 0x88);
    half[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88);
    half[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
    half[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
  std::memcpy(rows, half, sizeof half);
}

// A tile of the second operand: row r holds, of each of 16 outputs, the values of inputs 2r and
// 2r + 1. rows: for each output its 32 values.
inline void storeTurned(__m512i rows[16], char* tile) {
  turn(rows);
  for (int row = 0; row < kTile; row++) _mm512_store_si512(tile + row * 64, rows[row]);
}

template <typename Value>
inline void packOutIn(const Value* values, int64_t count, int64_t inputs, int parts, char* to) {
  for (int64_t input = 0; input < inputs; input += kDepth) {
    for (int tile = 0; tile < 2; tile++) {
      Values rows[kTile] = {};
      for (int row = 0; row < kTile && tile * kTile + row < count; row++)
        rows[row] = loadValues(values + (tile * kTile + row) * inputs + input, inputs - input);
      for (int part = 0; part < parts; part++) {
        __m512i taken[kTile];
        for (int row = 0; row < kTile; row++) taken[row] = takePart(rows[row]);
        storeTurned(taken, to + part * kPairBytes + tile * kTileBytes);
      }
    }
    to += parts * kPairBytes;
  }
}

// Pairs of values lie side by side that were in the first and in the second half of a vector.
inline __m512i interleave(__m512i part) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, part);
}

// values: [inputs, outputs] from this panel's first output on.
template <typename Value>
inline void packInOut(const Value* values, int64_t count, int64_t inputs, int64_t outputs,
                      int parts, char* to) {
  for (int64_t input = 0; input < inputs; input += kDepth) {
    for (int tile = 0; tile < 2; tile++) {
      const int64_t lanes = count - tile * kTile;
      for (int row = 0; row < kTile; row++) {
        const int64_t even = input + 2 * row;
        const Value* at = values + even * outputs + tile * kTile;
        Values pair = {_mm512_setzero_ps(), _mm512_setzero_ps()};
        if (even < inputs) pair.low = loadUpTo(at, lanes);
        if (even + 1 < inputs) pair.high = loadUpTo(at + outputs, lanes);
        for (int part = 0; part < parts; part++)
          _mm512_store_si512(to + part * kPairBytes + tile * kTileBytes + row * 64,
                             interleave(takePart(pair)));
      }
    }
    to += parts * kPairBytes;
  }
}

// Parts that hold `count` values exactly, at least `known` of at most three.
inline int partsOf(const float* values, int64_t count, int known) {
  for (int64_t at = 0; at < count && known < 3; at += kDepth) {
    Values rest = loadValues(values + at, count - at);
    for (int part = 0; part < known; part++) takePart(rest);
    const __m512 zero = _mm512_setzero_ps();
    // not equal, or NaN
    while (known < 3 && (_mm512_cmp_ps_mask(rest.low, zero, _CMP_NEQ_UQ) |
                         _mm512_cmp_ps_mask(rest.high, zero, _CMP_NEQ_UQ))) {
      known++;
      takePart(rest);
    }
  }
  return known;
}
// 11 bits are those of two bfloat16.
inline int partsOf(const F16*, int64_t, int) { return 2; }
inline int partsOf(const Bf16*, int64_t, int) { return 1; }

// Asks for a pair of tiles that the next step reads: the first cache's own guesses come too late.
inline void fetchPair(const char* at) {
#pragma GCC unroll 32
  for (int line = 0; line < kPairBytes / 64; line++) __builtin_prefetch(at + line * 64);
}

// Adds to the four tiles of the result the products of two pairs of tiles.
#define SPINFER_CPU_INPUT(part)                  \
  _tile_loadd(4, input + (part)*kPairBytes, 64); \
  _tile_loadd(5, input + (part)*kPairBytes + kTileBytes, 64)
#define SPINFER_CPU_WEIGHT(part)                  \
  _tile_loadd(6, weight + (part)*kPairBytes, 64); \
  _tile_loadd(7, weight + (part)*kPairBytes + kTileBytes, 64)
#define SPINFER_CPU_MULTIPLY() \
  _tile_dpbf16ps(0, 4, 6);     \
  _tile_dpbf16ps(1, 4, 7);     \
  _tile_dpbf16ps(2, 5, 6);     \
  _tile_dpbf16ps(3, 5, 7)

// Nothing to be done between multiplications.
struct Nothing {
  void operator()() const {}
};

template <int parts, typename Between>
inline void addSteps(const char* input, const char* weight, int64_t steps, Between& between) {
  for (int64_t step = 0; step < steps; step++) {
    const char* const nextInput = input + kInputParts * kPairBytes;
    const char* const nextWeight = weight + parts * kPairBytes;
    fetchPair(nextInput);
    if constexpr (parts > 1) {
      SPINFER_CPU_INPUT(0);
    }
    if constexpr (parts == 3) {
      SPINFER_CPU_WEIGHT(2);
      SPINFER_CPU_MULTIPLY();
      between();
      fetchPair(nextWeight + 2 * kPairBytes);
    }
    if constexpr (parts > 1) {
      SPINFER_CPU_WEIGHT(1);
      SPINFER_CPU_MULTIPLY();
      between();
      fetchPair(nextWeight + kPairBytes);
      SPINFER_CPU_INPUT(1);
      SPINFER_CPU_MULTIPLY();
      between();
      SPINFER_CPU_WEIGHT(0);
      SPINFER_CPU_MULTIPLY();
      between();
    } else {
      SPINFER_CPU_WEIGHT(0);
      SPINFER_CPU_INPUT(1);
      SPINFER_CPU_MULTIPLY();
      between();
    }
    fetchPair(nextWeight);
    fetchPair(nextInput + kPairBytes);
    SPINFER_CPU_INPUT(2);
    SPINFER_CPU_MULTIPLY();
    between();
    fetchPair(nextInput + 2 * kPairBytes);
    SPINFER_CPU_INPUT(0);
    SPINFER_CPU_MULTIPLY();
    between();
    input = nextInput;
    weight = nextWeight;
  }
}
#undef SPINFER_CPU_INPUT
#undef SPINFER_CPU_WEIGHT
#undef SPINFER_CPU_MULTIPLY

// to [32, 32] = from + the product of a panel of the input and a panel of the weight over the
// inputs from `begin` to `end`; begin is a multiple of 32. Nothing is added where `from` is null.
// between() is called after each pair of parts of 32 inputs: vectors are worked on while the tile
// unit multiplies.
template <typename Between = Nothing>
inline void multiplyPanels(const void* inputPanel, const void* weightPanel, int64_t begin,
                           int64_t end, int parts, const Place<const float> from,
                           const Place<float> to, Between between = {}) {
  // GCC's tile loads do not say that they read memory.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const int64_t first = begin / kDepth;
  const int64_t steps = depthSteps(end) - first;
  const char* input = static_cast<const char*>(inputPanel) + first * kInputParts * kPairBytes;
  const char* weight = static_cast<const char*>(weightPanel) + first * parts * kPairBytes;
  if (from.at == nullptr) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    const int64_t stride = from.stride * sizeof(float);
    _tile_loadd(0, from.at, stride);
    _tile_loadd(1, from.at + kTile, stride);
    _tile_loadd(2, from.at + kTile * from.stride, stride);
    _tile_loadd(3, from.at + kTile * from.stride + kTile, stride);
  }
  if (parts == 1)
    addSteps<1>(input, weight, steps, between);
  else if (parts == 2)
    addSteps<2>(input, weight, steps, between);
  else
    addSteps<3>(input, weight, steps, between);
  const int64_t stride = to.stride * sizeof(float);
  _tile_stored(0, to.at, stride);
  _tile_stored(1, to.at + kTile, stride);
  _tile_stored(2, to.at + kTile * to.stride, stride);
  _tile_stored(3, to.at + kTile * to.stride + kTile, stride);
}

}  // namespace spinfer::cpu::SPINFER_CPU_SET
