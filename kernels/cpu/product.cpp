// Products of packed panels: a task takes some panels of the input through some of the weight, and
// finishes each block of results while it is in the first cache.
#include "product.h"

#include "kernels.h"
#include "vectorMath.h"
#ifdef SPINFER_CPU_TILES
#include "tiles.h"
#else
#include "fma.h"
#endif

namespace spinfer::cpu::SPINFER_CPU_SET {
namespace {

// Inputs after which results are added to the output: the task's rows stay in the second cache.
constexpr int64_t kDepthRun = 1536;

const char* panelOf(const Buffer& panels, int64_t index, int64_t bytes) {
  return static_cast<const char*>(panels.data()) + index * bytes;
}

// A block of results: where it lies in the product, how much of it is not padding.
struct Block {
  float* values;  // [kPanelRows, kPanelColumns]
  int64_t row, column;
  int64_t rows, columns;
  bool isFirst;  // of the runs of inputs that add up to the result
};

struct Task {
  int64_t rowBegin, rowEnd;        // panels of the input
  int64_t columnBegin, columnEnd;  // panels of the weight
};

// Panels of the input that a task takes: as many as stay in the second cache.
int64_t rowPanelsOf(int64_t depth) {
  return most(1, kTaskBytes / inputPanelBytes(least(depth, kDepthRun)));
}

// Takes the panels of a task through each other. What is done with a block of results:
//   target.needs(block)  whether it is wanted at all
//   target.begins(block) what it is added to; null: nothing
//   target.ends(block)   where it goes, which may be block.values
//   target.finish(block) after it is there
template <typename Target>
void runTask(const Input& input, const Weight& weight, const Task& task, int64_t depthRun,
             const Target& target) {
  const TileUnit unit;
  alignas(64) float values[kPanelRows * kPanelColumns];
  const int64_t depth = input.columns;
  const int64_t inputBytes = inputPanelBytes(depth);
  const int64_t weightBytes = weightPanelBytes(depth, weight.parts);
  for (int64_t begin = 0; begin < depth; begin += depthRun) {
    const int64_t end = least(begin + depthRun, depth);
    for (int64_t column = task.columnBegin; column < task.columnEnd; column++) {
      for (int64_t row = task.rowBegin; row < task.rowEnd; row++) {
        const Block block = {values,
                             row * kPanelRows,
                             column * kPanelColumns,
                             least(kPanelRows, input.rows - row * kPanelRows),
                             least(kPanelColumns, weight.outputs - column * kPanelColumns),
                             begin == 0};
        if (!target.needs(block)) continue;
        multiplyPanels(panelOf(input.panels, row, inputBytes),
                       panelOf(weight.panels, column, weightBytes), begin, end, weight.parts,
                       target.begins(block), target.ends(block));
        target.finish(block);
      }
    }
  }
}

// Results that are used where they are made.
template <typename Finish>
struct InPlace {
  Finish finish;
  bool needs(const Block&) const { return true; }
  Place<const float> begins(const Block&) const { return {nullptr, 0}; }
  Place<float> ends(const Block& block) const { return {block.values, kPanelColumns}; }
};
template <typename Finish>
InPlace(Finish) -> InPlace<Finish>;

// Tasks of a product: rows first, and columns in parts where rows alone do not keep all threads
// busy to the end.
struct Tasks {
  int64_t rowPanels, columnPanels;  // of the product
  int64_t rowRun, columnRun;        // of a task

  Tasks(int64_t rows, int64_t outputs, int64_t depth, int threads)
      : rowPanels(divideUp(rows, kPanelRows)),
        columnPanels(divideUp(outputs, kPanelColumns)),
        rowRun(divideUp(rowPanels, divideUp(rowPanels, rowPanelsOf(depth)))) {
    const int64_t wanted = threads == 1 ? 1 : 6 * threads;
    const int64_t parts = divideUp(wanted, divideUp(rowPanels, rowRun));
    columnRun = divideUp(columnPanels, least(parts, columnPanels));
  }

  int64_t count() const { return divideUp(rowPanels, rowRun) * divideUp(columnPanels, columnRun); }

  Task at(int64_t index) const {
    const int64_t across = divideUp(columnPanels, columnRun);
    const int64_t row = index / across * rowRun;
    const int64_t column = index % across * columnRun;
    return {row, least(row + rowRun, rowPanels), column, least(column + columnRun, columnPanels)};
  }
};

// Parts that hold every value exactly.
template <typename Value>
int partsOfAll(Pool& pool, const Value* values, int64_t count) {
  constexpr int64_t kGrain = 1 << 16;
  std::atomic<int> parts{1};
  pool.ranges(count, kGrain, [&](int64_t begin, int64_t end, int) {
    int before = parts.load(std::memory_order_relaxed);
    const int found = partsOf(values + begin, end - begin, before);
    while (before < found && !parts.compare_exchange_weak(before, found)) {
    }
  });
  return parts.load();
}

template <typename Value>
void packValues(Pool& pool, const Value* values, const Matrix& matrix, Weight& weight) {
  const int64_t outputs = matrix.outputs, inputs = matrix.inputs;
  weight.outputs = outputs;
  weight.inputs = inputs;
  weight.parts = partsOfAll(pool, values, outputs * inputs);
  const int64_t bytes = weightPanelBytes(inputs, weight.parts);
  const int64_t panels = divideUp(outputs, kPanelColumns);
  char* data = static_cast<char*>(weight.panels.reserve(panels * bytes));
  pool.each(panels, [&](int64_t panel, int) {
    const int64_t output = panel * kPanelColumns;
    const int64_t count = least(kPanelColumns, outputs - output);
    char* to = data + panel * bytes;
    if (matrix.layout == SPINFER_CPU_OUT_IN)
      packOutIn(values + output * inputs, count, inputs, weight.parts, to);
    else
      packInOut(values + output, count, inputs, outputs, weight.parts, to);
  });
}

void packWeight(Pool& pool, const Matrix& matrix, Weight& weight) {
  if (matrix.type == SPINFER_CPU_F16)
    packValues(pool, static_cast<const F16*>(matrix.values), matrix, weight);
  else if (matrix.type == SPINFER_CPU_BF16)
    packValues(pool, static_cast<const Bf16*>(matrix.values), matrix, weight);
  else
    packValues(pool, static_cast<const float*>(matrix.values), matrix, weight);
}

void packInput(Pool& pool, const float* x, int64_t rows, int64_t columns, Input& input) {
  const int64_t bytes = inputPanelBytes(columns);
  const int64_t panels = divideUp(rows, kPanelRows);
  char* data = static_cast<char*>(input.panels.reserve(panels * bytes));
  input.rows = rows;
  input.columns = columns;
  pool.each(panels, [&](int64_t panel, int) {
    const int64_t row = panel * kPanelRows;
    packInputPanel(x + row * columns, least(kPanelRows, rows - row), columns, data + panel * bytes);
  });
}

// A vector of a row of a block, and where it belongs; the last one of a row may be cut.
template <typename Each>
inline void eachVector(const Block& block, Each&& each) {
  for (int64_t row = 0; row < block.rows; row++) {
    for (int64_t column = 0; column < block.columns; column += kWidth) {
      each(block.row + row, block.column + column,
           load(block.values + row * kPanelColumns + column),
           least(kWidth, block.columns - column));
    }
  }
}

// The output of a linear layer. Whole blocks go to it as they are made; others are cut to fit.
struct Output {
  const float *bias, *added;
  float* out;
  int64_t columns;

  bool needs(const Block&) const { return true; }

  bool isDirect(const Block& block) const {
    return block.rows == kPanelRows && block.columns == kPanelColumns &&
           (bias == nullptr || !block.isFirst);
  }

  Place<const float> begins(const Block& block) const {
    if (!isDirect(block)) return {nullptr, 0};
    const float* const from = block.isFirst ? added : out;
    return {from == nullptr ? nullptr : from + block.row * columns + block.column, columns};
  }

  Place<float> ends(const Block& block) const {
    if (!isDirect(block)) return {block.values, kPanelColumns};
    return {out + block.row * columns + block.column, columns};
  }

  void finish(const Block& block) const {
    if (isDirect(block)) return;
    eachVector(block, [&](int64_t row, int64_t column, Vec sum, int64_t count) {
      const int64_t at = row * columns + column;
      if (!block.isFirst) {
        sum += loadUpTo(out + at, count);
      } else {
        if (bias != nullptr) sum += loadUpTo(bias + column, count);
        if (added != nullptr) sum += loadUpTo(added + at, count);
      }
      storeUpTo(out + at, count, sum);
    });
  }
};

void linear(Pool& pool, const Input& input, const Weight& weight, const float* bias,
            const float* added, float* out) {
  const Tasks tasks(input.rows, weight.outputs, input.columns, pool.threads());
  const Output output = {bias, added, out, weight.outputs};
  pool.each(tasks.count(), [&](int64_t index, int) {
    runTask(input, weight, tasks.at(index), kDepthRun, output);
  });
}

// Σ exp(logit − largest) of one row over some logits, apart in the lanes of a vector.
struct Softmax {
  Vec largest, total;
};

struct RowPart {
  double largest, total;
};

constexpr float kLowest = -3.0e38f;

inline void addLogits(Softmax& state, Vec logits) {
  const IntVec isLarger = logits > state.largest;
  if (anyLane(isLarger)) {
    const Vec larger = isLarger ? logits : state.largest;
    state.total *= exp(state.largest - larger);
    state.largest = larger;
  }
  state.total += exp(logits - state.largest);
}

RowPart joined(const Softmax& state) {
  RowPart all = {kLowest, 0};
  for (int lane = 0; lane < kWidth; lane++)
    if (state.largest[lane] > all.largest) all.largest = state.largest[lane];
  for (int lane = 0; lane < kWidth; lane++)
    all.total += state.total[lane] * __builtin_exp(state.largest[lane] - all.largest);
  return all;
}

void losses(Pool& pool, const Input& input, const Weight& weight, const float* bias, float softcap,
            const int32_t* targets, double* out) {
  constexpr int64_t kColumnRun = 64;  // panels of a task
  const int64_t rowPanels = divideUp(input.rows, kPanelRows);
  const int64_t rowRun = least(rowPanels, rowPanelsOf(input.columns));
  const int64_t columnPanels = divideUp(weight.outputs, kPanelColumns);
  const int64_t across = divideUp(columnPanels, kColumnRun);
  const int64_t runRows = rowRun * kPanelRows;
  Buffer stateBuffer, partBuffer, targetBuffer;
  Softmax* const states =
      static_cast<Softmax*>(stateBuffer.reserve(pool.threads() * runRows * sizeof(Softmax)));
  RowPart* const parts =
      static_cast<RowPart*>(partBuffer.reserve(across * input.rows * sizeof(RowPart)));
  float* const wanted = static_cast<float*>(targetBuffer.reserve(input.rows * sizeof(float)));

  pool.each(divideUp(rowPanels, rowRun) * across, [&](int64_t index, int thread) {
    const int64_t rowPanel = index / across * rowRun;
    const int64_t columnPanel = index % across * kColumnRun;
    const Task task = {rowPanel, least(rowPanel + rowRun, rowPanels), columnPanel,
                       least(columnPanel + kColumnRun, columnPanels)};
    const int64_t firstRow = rowPanel * kPanelRows;
    Softmax* const mine = states + thread * runRows;
    for (int64_t row = 0; row < runRows; row++) mine[row] = {splat(kLowest), Vec{}};
    const auto finish = [&](const Block& block) {
      eachVector(block, [&](int64_t row, int64_t column, Vec logits, int64_t count) {
        if (bias != nullptr) logits += loadUpTo(bias + column, count);
        if (softcap != 0) logits = softcap * tanh(logits / softcap);
        const int64_t target = targets[row] - column;
        if (target >= 0 && target < count) wanted[row] = logits[target];
        for (int64_t lane = count; lane < kWidth; lane++) logits[lane] = kLowest;
        addLogits(mine[row - firstRow], logits);
      });
    };
    runTask(input, weight, task, input.columns, InPlace{finish});
    const int64_t end = least(firstRow + runRows, input.rows);
    for (int64_t row = firstRow; row < end; row++)
      parts[row * across + index % across] = joined(mine[row - firstRow]);
  });

  for (int64_t row = 0; row < input.rows; row++) {
    const RowPart* const own = parts + row * across;
    double largest = own[0].largest;
    for (int64_t i = 1; i < across; i++)
      largest = own[i].largest > largest ? own[i].largest : largest;
    double total = 0;
    for (int64_t i = 0; i < across; i++)
      total += own[i].total * __builtin_exp(own[i].largest - largest);
    out[row] = targets[row] < 0 ? __builtin_nan("") : largest + __builtin_log(total) - wanted[row];
  }
}

void transpose(Pool& pool, const float* x, int64_t rows, int64_t columns, float* out) {
  constexpr int64_t kSide = 32;
  pool.each(divideUp(columns, kSide), [&](int64_t run, int) {
    const int64_t begin = run * kSide;
    const int64_t end = least(begin + kSide, columns);
    for (int64_t first = 0; first < rows; first += kSide)
      for (int64_t column = begin; column < end; column++)
        for (int64_t row = first; row < least(first + kSide, rows); row++)
          out[column * rows + row] = x[row * columns + column];
  });
}

// The lower triangle of a symmetric product.
struct Triangle {
  double* values;

  bool needs(const Block& block) const { return block.column < block.row + block.rows; }
  Place<const float> begins(const Block&) const { return {nullptr, 0}; }
  Place<float> ends(const Block& block) const { return {block.values, kPanelColumns}; }
  void finish(const Block& block) const {
    for (int64_t row = 0; row < block.rows; row++) {
      const int64_t i = block.row + row;
      double* const to = values + i * (i + 1) / 2;
      const int64_t end = least(block.columns, i + 1 - block.column);
      for (int64_t column = 0; column < end; column++)
        to[block.column + column] += block.values[row * kPanelColumns + column];
    }
  }
};

void gram(Pool& pool, const float* x, int64_t rows, int64_t columns, double* triangle) {
  Buffer turned;
  Input left;
  Weight right;
  float* const values = static_cast<float*>(turned.reserve(rows * columns * sizeof(float)));
  transpose(pool, x, rows, columns, values);
  packInput(pool, values, columns, rows, left);
  packWeight(pool, {values, SPINFER_CPU_F32, columns, rows, SPINFER_CPU_OUT_IN}, right);
  const Tasks tasks(columns, columns, rows, pool.threads());
  pool.each(tasks.count(), [&](int64_t index, int) {
    runTask(left, right, tasks.at(index), kDepthRun, Triangle{triangle});
  });
}

}  // namespace

const ProductKernels kProducts = {packWeight, packInput, linear, losses, gram};

}  // namespace spinfer::cpu::SPINFER_CPU_SET
