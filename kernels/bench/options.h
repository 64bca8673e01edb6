// The benchmark's command line.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "pruned.cuh"

namespace spinfer::bench {

// The decode shapes of common models.
constexpr const char* kDecodeShapes =
    "4096x4096,11008x4096,14336x4096,4096x11008,4096x14336,5120x5120,13824x5120,8192x8192,"
    "28672x8192,8192x28672,1024x4096,7168x7168,28672x7168,7168x28672";

struct Options {
  std::vector<test::Shape> shapes;
  std::vector<uint32_t> tokens;
  std::vector<int> percent;  // sparsities
  std::vector<Pattern> patterns;
  uint8_t dtype = SPINFER_F16;
  bool all_geometries = false;
  bool stream_limit = true;
  std::string json, markdown;
};

inline std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::stringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

[[noreturn]] inline void usage(const std::string& problem) {
  std::fprintf(stderr,
               "bench: %s\n"
               "  --shapes MxK,...   outputs x inputs (the decode shapes)\n"
               "  --n 1,8,16         tokens\n"
               "  --sparsity 50,60   percent\n"
               "  --pattern random,wanda,columns,2:4,strips\n"
               "  --dtype f16|bf16\n"
               "  --geometries table|all\n"
               "  --no-stream-limit\n"
               "  --json FILE --md FILE\n",
               problem.c_str());
  std::exit(2);
}

inline Pattern pattern_of(const std::string& name) {
  for (int i = 0; i < 5; ++i) {
    if (name == name_of(static_cast<Pattern>(i))) return static_cast<Pattern>(i);
  }
  usage("no pattern " + name);
}

inline Options parse_options(int argc, char** argv) {
  std::string shapes = kDecodeShapes, tokens = "1,8,16", percent = "50,60,70", patterns = "random";
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--no-stream-limit") {
      options.stream_limit = false;
      continue;
    }
    if (i + 1 == argc) usage(flag + " needs a value");
    const std::string value = argv[++i];
    if (flag == "--shapes")
      shapes = value;
    else if (flag == "--n")
      tokens = value;
    else if (flag == "--sparsity")
      percent = value;
    else if (flag == "--pattern")
      patterns = value;
    else if (flag == "--dtype" && value == "f16")
      options.dtype = SPINFER_F16;
    else if (flag == "--dtype" && value == "bf16")
      options.dtype = SPINFER_BF16;
    else if (flag == "--geometries")
      options.all_geometries = value == "all";
    else if (flag == "--json")
      options.json = value;
    else if (flag == "--md")
      options.markdown = value;
    else
      usage("no option " + flag + " " + value);
  }
  for (const std::string& shape : split(shapes)) {
    unsigned rows = 0, cols = 0;
    if (std::sscanf(shape.c_str(), "%ux%u", &rows, &cols) != 2) usage("bad shape " + shape);
    if (cols % 64 != 0) usage("columns of " + shape + " are not a multiple of 64");
    options.shapes.push_back({rows, cols});
  }
  for (const std::string& n : split(tokens)) options.tokens.push_back(std::atoi(n.c_str()));
  for (const std::string& p : split(percent)) options.percent.push_back(std::atoi(p.c_str()));
  for (const std::string& p : split(patterns)) options.patterns.push_back(pattern_of(p));
  return options;
}

}  // namespace spinfer::bench
