#include <array>
#include <cmath>
#include <ctime>
#include <map>

#include "report.h"

namespace spinfer::bench {
namespace {

// First line of a command's output, or nothing.
std::string first_line(const char* command) {
  char line[400] = "";
  if (std::FILE* pipe = popen(command, "r")) {
    if (std::fgets(line, sizeof line, pipe) == nullptr) line[0] = 0;
    pclose(pipe);
  }
  std::string text(line);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

struct Mean {
  double logs = 0;
  int count = 0;
  void add(double ratio) {
    logs += std::log(ratio);
    ++count;
  }
  double value() const { return count > 0 ? std::exp(logs / count) : 0; }
};

double ratio(const Cell& cell, const Timing& timing) { return cell.dense.best_us() / timing.us; }

}  // namespace

const Measured& Cell::best() const {
  return *std::min_element(
      measured.begin(), measured.end(),
      [](const Measured& a, const Measured& b) { return a.alone.us < b.alone.us; });
}

std::string name_of(const spinfer_geometry& g) {
  char text[80];
  std::snprintf(text, sizeof text, "t%dw%ds%do%dc%d%s%s", g.tokens, g.warps, g.stages,
                g.blocks_per_sm, g.cluster, g.round_robin ? "r" : "",
                g.copies == 2   ? "x"
                : g.copies == 1 ? ""
                                : " async");
  return text;
}

std::string describe_machine(int argc, char** argv) {
  char date[40];
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", std::gmtime(&now));
  std::string command;
  for (int i = 0; i < argc; ++i) command += (i > 0 ? " " : "") + std::string(argv[i]);
  return "GPU, driver, SM clock now, SM clock at most, power limit: " +
         first_line(
             "nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,"
             "power.limit --format=csv,noheader") +
         "\nDate: " + date + "\nCommand: " + command +
         "\nCold L2 (weights and offsets rotate over more than 220 MB), CUDA graph replays, median "
         "of 7. dense = the fastest of cuBLASLt's heuristics and cublasGemmEx, measured once a "
         "shape and N "
         "(its time does not depend on the zeros).\n";
}

void write_markdown(std::FILE* file, const std::string& machine, const std::vector<Cell>& cells) {
  std::fprintf(file, "%s\n", machine.c_str());
  std::fprintf(file,
               "| shape | N | zeros %% | pattern | dense us (Lt / Ex, heuristics) | sparse us | "
               "spread %% | GB/s | ratio | with overlap | stream limit | %% of limit | geometry | "
               "best ratio | best geometry |\n"
               "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | "
               "--- | --- |\n");
  std::map<std::pair<uint32_t, int>, std::array<Mean, 4>> means;
  for (const Cell& cell : cells) {
    const double limit = cell.stream.us > 0 ? ratio(cell, cell.stream) : 0;
    std::fprintf(file,
                 "| %ux%u | %u | %d | %s | %.2f (%.2f / %.2f, %d)%s | %.2f | %.1f | %.0f | %.2f | "
                 "%.2f | %.2f | %.0f | %s | %.2f | %s |\n",
                 cell.shape.rows, cell.shape.cols, cell.n, cell.percent, name_of(cell.pattern),
                 cell.dense.best_us(), cell.dense.lt.us, cell.dense.gemm.us, cell.dense.heuristics,
                 cell.dense.note.c_str(), cell.alone().us, 100 * cell.alone().spread,
                 cell.sparse_bytes / cell.alone().us / 1e3, ratio(cell, cell.alone()),
                 ratio(cell, cell.overlapped()), limit,
                 limit > 0 ? 100 * cell.stream.us / cell.alone().us : 0,
                 name_of(cell.measured[0].geometry).c_str(), ratio(cell, cell.best().alone),
                 name_of(cell.best().geometry).c_str());
    std::array<Mean, 4>& mean = means[{cell.n, cell.percent}];
    mean[0].add(ratio(cell, cell.alone()));
    mean[1].add(ratio(cell, cell.overlapped()));
    mean[2].add(limit > 0 ? limit : 1);
    mean[3].add(ratio(cell, cell.best().alone));
  }
  std::fprintf(file,
               "\n| geometric mean | zeros %% | cells | ratio | with overlap | stream limit | best "
               "ratio |\n| --- | --- | --- | --- | --- | --- | --- |\n");
  for (const auto& [key, mean] : means) {
    std::fprintf(file, "| N = %u | %d | %d | %.3f | %.3f | %.3f | %.3f |\n", key.first, key.second,
                 mean[0].count, mean[0].value(), mean[1].value(), mean[2].value(), mean[3].value());
  }
}

void write_json(std::FILE* file, const std::string& machine, const std::vector<Cell>& cells) {
  std::string escaped;
  for (const char c : machine) escaped += c == '\n' ? "\\n" : std::string(1, c);
  std::fprintf(file, "{\"machine\": \"%s\", \"cells\": [", escaped.c_str());
  for (size_t i = 0; i < cells.size(); ++i) {
    const Cell& cell = cells[i];
    std::fprintf(file,
                 "%s\n{\"rows\": %u, \"cols\": %u, \"n\": %u, \"sparsity\": %.2f, \"pattern\": "
                 "\"%s\", \"denseBytes\": %llu, \"sparseBytes\": %llu, \"ltUs\": %.3f, \"gemmUs\": "
                 "%.3f, \"heuristics\": %d, \"streamUs\": %.3f, \"kernels\": [",
                 i > 0 ? "," : "", cell.shape.rows, cell.shape.cols, cell.n, cell.percent / 100.0,
                 name_of(cell.pattern), static_cast<unsigned long long>(cell.dense_bytes),
                 static_cast<unsigned long long>(cell.sparse_bytes), cell.dense.lt.us,
                 cell.dense.gemm.us, cell.dense.heuristics, cell.stream.us);
    for (size_t j = 0; j < cell.measured.size(); ++j) {
      const Measured& m = cell.measured[j];
      std::fprintf(file,
                   "%s{\"geometry\": \"%s\", \"us\": %.3f, \"spread\": %.4f, "
                   "\"overlappedUs\": %.3f}",
                   j > 0 ? ", " : "", name_of(m.geometry).c_str(), m.alone.us, m.alone.spread,
                   m.overlapped.us);
    }
    std::fprintf(file, "]}");
  }
  std::fprintf(file, "\n]}\n");
}

}  // namespace spinfer::bench
