// What was measured, as Markdown and JSON. Losses are printed like wins.
#pragma once

#include <string>
#include <vector>

#include "denseBaseline.h"
#include "options.h"

namespace spinfer::bench {

struct Measured {
  spinfer_geometry geometry;
  Timing alone, overlapped;  // without and with dependent launch
};

struct Cell {
  test::Shape shape;
  uint32_t n;
  int percent;
  Pattern pattern;
  uint64_t dense_bytes, sparse_bytes;  // of the weights; offsets included
  DenseResult dense;
  Timing stream;
  std::vector<Measured> measured;  // the table's choice alone, with overlap, then others

  // What the library does unasked; the fastest of what was measured.
  const Timing& alone() const { return measured[0].alone; }
  const Timing& overlapped() const { return measured[1].overlapped; }
  const Measured& best() const;
};

std::string name_of(const spinfer_geometry& geometry);
// GPU, clocks, driver, date and command, one line each.
std::string describe_machine(int argc, char** argv);
void write_markdown(std::FILE* file, const std::string& machine, const std::vector<Cell>& cells);
void write_json(std::FILE* file, const std::string& machine, const std::vector<Cell>& cells);

}  // namespace spinfer::bench
