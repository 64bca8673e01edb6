// The decode benchmark: sparse products against the best dense one on the same shape.
#include <array>
#include <cstring>
#include <map>

#include "report.h"
#include "streamLimit.cuh"

namespace spinfer::bench {
namespace {

using test::error_bound;
using test::Shape;

__global__ void count_wrong(const uint16_t* y, const double* sums, const double* sizes,
                            uint64_t count, uint32_t cols, uint8_t dtype, uint32_t* wrong) {
  uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const HalfFormat format = dtype == SPINFER_BF16 ? HalfFormat{7, 8} : HalfFormat{10, 5};
  for (; i < count; i += static_cast<uint64_t>(gridDim.x) * blockDim.x) {
    const double found = dtype == SPINFER_BF16 ? test::widen<true>(y[i]) : test::widen<false>(y[i]);
    if (!(fabs(found - sums[i]) <= error_bound(sums[i], sizes[i], cols, format))) {
      atomicAdd(wrong, 1u);
    }
  }
}

// What is expected of y for one weight matrix and one x, kept on the device.
class Judge {
 public:
  Judge(const uint16_t* dense, const uint16_t* x, Shape shape, uint32_t n, uint8_t dtype)
      : count_(static_cast<uint64_t>(n) * shape.rows),
        cols_(shape.cols),
        dtype_(dtype),
        sums_(count_ * 8),
        sizes_(count_ * 8),
        wrong_(4) {
    const auto kernel =
        dtype == SPINFER_BF16 ? test::dense_product<true> : test::dense_product<false>;
    kernel<<<dim3((shape.rows + 7) / 8, n), 256>>>(dense, x, sums_.as<double>(),
                                                   sizes_.as<double>(), shape.rows, shape.cols, n);
    must(cudaGetLastError(), "dense_product");
    must(cudaDeviceSynchronize(), "dense_product");
  }
  bool accepts(const uint16_t* y) const {
    must(cudaMemset(wrong_.as<>(), 0, 4), "memset");
    count_wrong<<<256, 256>>>(y, sums_.as<double>(), sizes_.as<double>(), count_, cols_, dtype_,
                              wrong_.as<uint32_t>());
    return wrong_.download<uint32_t>()[0] == 0;
  }

 private:
  uint64_t count_;
  uint32_t cols_;
  uint8_t dtype_;
  Buffer sums_, sizes_, wrong_;
};

size_t round_up(size_t bytes) { return (bytes + 255) / 256 * 256; }

// Copies of a buffer's first part behind one another.
void replicate(const Buffer& buffer, size_t stride, int copies) {
  for (int i = 1; i < copies; ++i) {
    must(cudaMemcpy(buffer.as<uint8_t>() + i * stride, buffer.as<>(), stride,
                    cudaMemcpyDeviceToDevice),
         "replicate");
  }
}

// Dense weights and their tile-bitmap, each in enough copies to stay out of the cache.
struct Weights {
  Shape shape;
  size_t dense_stride, payload_stride, offsets_stride, payload_bytes, offsets_bytes;
  int dense_copies, sparse_copies;
  Buffer dense, offsets, payload;
  spinfer_matrix matrix;
};

Weights make_weights(Shape shape, Pattern pattern, double sparsity, uint8_t dtype) {
  const size_t dense_bytes = static_cast<size_t>(shape.rows) * shape.cols * 2;
  const size_t dense_stride = round_up(dense_bytes);
  const int dense_copies = copies_for(dense_stride);
  Buffer dense(dense_stride * dense_copies);
  fill_pruned(dense.as<uint16_t>(), shape, pattern, sparsity, dtype, 77, nullptr);
  replicate(dense, dense_stride, dense_copies);

  const Grid grid = grid_of(shape.rows, shape.cols);
  const size_t offsets_bytes = 4 * (grid.chunks + 1);
  const size_t offsets_stride = round_up(offsets_bytes);
  const Buffer first(offsets_stride);
  must(spinfer_encode_offsets(dense.as<>(), shape.rows, shape.cols, first.as<uint32_t>(), nullptr),
       "encode_offsets");
  const std::vector<uint32_t> starts = first.download<uint32_t>();
  const size_t payload_bytes = static_cast<size_t>(starts[grid.chunks]) * kAlign;
  const size_t payload_stride = round_up(payload_bytes);
  const int sparse_copies = copies_for(payload_stride);
  Buffer offsets(offsets_stride * sparse_copies), payload(payload_stride * sparse_copies);
  must(cudaMemcpy(offsets.as<>(), first.as<>(), offsets_bytes, cudaMemcpyDeviceToDevice), "copy");
  must(spinfer_encode_payload(dense.as<>(), shape.rows, shape.cols, offsets.as<uint32_t>(),
                              payload.as<>(), nullptr),
       "encode_payload");
  replicate(offsets, offsets_stride, sparse_copies);
  replicate(payload, payload_stride, sparse_copies);
  uint32_t longest = 0;
  for (uint64_t i = 0; i < grid.chunks; ++i) {
    longest = std::max(longest, (starts[i + 1] - starts[i]) * kAlign);
  }
  const spinfer_matrix matrix{
      payload.as<>(), offsets.as<uint32_t>(),      shape.rows, shape.cols, longest,
      dtype,          SPINFER_ORDER_NIBBLE_PLANES, 0};
  return {shape,
          dense_stride,
          payload_stride,
          offsets_stride,
          payload_bytes,
          offsets_bytes,
          dense_copies,
          sparse_copies,
          std::move(dense),
          std::move(offsets),
          std::move(payload),
          matrix};
}

spinfer_matrix copy_of(const Weights& w, int copy) {
  spinfer_matrix matrix = w.matrix;
  matrix.payload = static_cast<const uint8_t*>(matrix.payload) + copy * w.payload_stride;
  matrix.offsets += copy * w.offsets_stride / 4;
  return matrix;
}

// The table's choices first: without and with overlap.
std::vector<Measured> geometries_for(const Weights& w, uint32_t n, bool all) {
  std::vector<Measured> list(2);
  must(spinfer_choose_geometry(&w.matrix, n, 0, &list[0].geometry), "choose_geometry");
  must(spinfer_choose_geometry(&w.matrix, n, SPINFER_OVERLAP, &list[1].geometry),
       "choose_geometry");
  const auto is_listed = [&](const spinfer_geometry& geometry) {
    return std::any_of(list.begin(), list.end(), [&](const Measured& m) {
      return std::memcmp(&m.geometry, &geometry, sizeof geometry) == 0;
    });
  };
  Measured other{};
  for (int i = 0; all && spinfer_list_geometry(i, &other.geometry) == SPINFER_OK; ++i) {
    for (const int round_robin : {0, 1}) {
      other.geometry.round_robin = round_robin;
      const uint32_t tokens = static_cast<uint32_t>(other.geometry.tokens);
      const bool fits = (tokens < 2 * n || tokens == 8) && (2 * tokens >= n || tokens == 32);
      const bool narrow = tokens == 8 && n > 8;
      if (fits && !narrow && !is_listed(other.geometry)) list.push_back(other);
    }
  }
  return list;
}

// Checks, then times; a wrong product ends the program. False where the geometry does not fit.
bool measure(Measured* m, const Weights& w, const Buffer& x, uint32_t n, const Buffer& y,
             const Judge& judge, cudaStream_t stream) {
  if (spinfer_spmm(&w.matrix, x.as<>(), n, y.as<>(), &m->geometry, nullptr, 0, 0, stream) ==
      SPINFER_UNSUPPORTED) {
    return false;
  }
  for (const uint32_t flags : {0u, static_cast<uint32_t>(SPINFER_OVERLAP)}) {
    const auto call = [&](int copy) {
      const spinfer_matrix matrix = copy_of(w, copy);
      must(spinfer_spmm(&matrix, x.as<>(), n, y.as<>(), &m->geometry, nullptr, 0, flags, stream),
           "spmm");
    };
    must(cudaMemsetAsync(y.as<>(), 0xff, y.bytes(), stream), "poison");
    call(w.sparse_copies - 1);
    must(cudaStreamSynchronize(stream), "spmm");
    if (!judge.accepts(y.as<uint16_t>())) {
      std::printf("FATAL wrong product: %ux%u, n %u, %s, flags %u\n", w.shape.rows, w.shape.cols, n,
                  name_of(m->geometry).c_str(), flags);
      std::exit(1);
    }
    (flags == 0 ? m->alone : m->overlapped) =
        time_call(call, w.sparse_copies, w.payload_stride / 2.6e6, stream);
  }
  return true;
}

// dense: measured by an earlier cell of this shape and n, or null.
Cell measure_cell(const Weights& w, uint32_t n, uint8_t dtype, bool all, DenseBaseline& baseline,
                  const DenseResult* dense, cudaStream_t stream) {
  Cell cell{};
  cell.shape = w.shape;
  cell.n = n;
  cell.dense_bytes = static_cast<uint64_t>(w.shape.rows) * w.shape.cols * 2;
  cell.sparse_bytes = w.payload_bytes + w.offsets_bytes;
  const Buffer x(static_cast<size_t>(n) * w.shape.cols * 2);
  const Buffer y(static_cast<size_t>(n) * w.shape.rows * 2);
  fill_inputs(x.as<uint16_t>(), x.bytes() / 2, dtype, 99 + n, nullptr);
  must(cudaDeviceSynchronize(), "inputs");
  const Judge judge(w.dense.as<uint16_t>(), x.as<uint16_t>(), w.shape, n, dtype);
  cell.dense = dense != nullptr
                   ? *dense
                   : baseline.measure({w.shape.rows, w.shape.cols, n, dtype, w.dense.as<>(),
                                       w.dense_stride, w.dense_copies, x.as<>(), y.as<>()},
                                      stream, [&] { return judge.accepts(y.as<uint16_t>()); });
  cell.measured = geometries_for(w, n, all);
  for (size_t i = 0; i < cell.measured.size(); ++i) {
    if (measure(&cell.measured[i], w, x, n, y, judge, stream)) continue;
    cell.measured.erase(cell.measured.begin() + static_cast<ptrdiff_t>(i--));
  }
  return cell;
}

std::FILE* open_file(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) usage("cannot write " + path);
  return file;
}

void save(const Options& options, const std::string& machine, const std::vector<Cell>& cells) {
  if (!options.markdown.empty()) {
    std::FILE* file = open_file(options.markdown);
    write_markdown(file, machine, cells);
    std::fclose(file);
  }
  if (!options.json.empty()) {
    std::FILE* file = open_file(options.json);
    write_json(file, machine, cells);
    std::fclose(file);
  }
}

int run(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  must(spinfer_check_device(), "device");
  cudaStream_t stream;
  must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  DenseBaseline baseline;
  std::vector<Cell> cells;
  for (const Shape& shape : options.shapes) {
    std::map<uint32_t, DenseResult> dense;
    for (const Pattern pattern : options.patterns) {
      for (const int percent : options.percent) {
        const Weights w = make_weights(shape, pattern, percent / 100.0, options.dtype);
        Timing stream_us;
        if (options.stream_limit) {
          stream_us =
              stream_limit({w.matrix, w.payload_stride, w.offsets_stride, w.sparse_copies}, stream);
        }
        for (const uint32_t n : options.tokens) {
          const DenseResult* known = dense.count(n) > 0 ? &dense[n] : nullptr;
          Cell cell =
              measure_cell(w, n, options.dtype, options.all_geometries, baseline, known, stream);
          dense[n] = cell.dense;
          cell.percent = percent;
          cell.pattern = pattern;
          cell.stream = stream_us;
          cells.push_back(cell);
        }
      }
    }
    std::fprintf(stderr, "measured %ux%u\n", shape.rows, shape.cols);
    save(options, describe_machine(argc, argv), cells);  // a run cut short leaves what it has
  }
  write_markdown(stdout, describe_machine(argc, argv), cells);
  return 0;
}

}  // namespace
}  // namespace spinfer::bench

int main(int argc, char** argv) { return spinfer::bench::run(argc, argv); }
