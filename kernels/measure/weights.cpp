#include "weights.h"

#include <algorithm>
#include <cstring>

#include "../src/layout.h"
#include "masks.h"

namespace spinfer {
namespace {

size_t round_up(size_t bytes) { return (bytes + 255) / 256 * 256; }

void repeat(const Buffer& buffer, size_t stride, int copies, cudaStream_t stream) {
  for (int i = 1; i < copies; ++i) {
    must(cudaMemcpyAsync(buffer.as<uint8_t>() + i * stride, buffer.as<>(), stride,
                         cudaMemcpyDeviceToDevice, stream),
         "copies of the weights");
  }
}

}  // namespace

Weights::Weights(uint32_t rows, uint32_t cols)
    : dense_stride_(round_up(static_cast<size_t>(rows) * cols * sizeof(uint16_t))),
      dense_copies_(copies_for(dense_stride_)),
      dense_(dense_stride_ * dense_copies_) {
  facts_.rows = rows;
  facts_.cols = cols;
  facts_.dense_bytes = static_cast<uint64_t>(rows) * cols * sizeof(uint16_t);
}

void Weights::place_container(size_t payload_bytes, uint32_t max_chunk_bytes,
                              uint8_t value_dtype) {
  const Grid grid = grid_of(facts_.rows, facts_.cols);
  facts_.payload_bytes = payload_bytes;
  facts_.offsets_bytes = sizeof(uint32_t) * (grid.chunks + 1);
  facts_.max_chunk_bytes = max_chunk_bytes;
  const size_t payload_stride = round_up(payload_bytes);
  const size_t offsets_stride = round_up(facts_.offsets_bytes);
  const int copies = copies_for(payload_stride);
  payload_ = Buffer(payload_stride * copies);
  offsets_ = Buffer(offsets_stride * copies);
  sparse_ = {{payload_.as<>(), offsets_.as<uint32_t>(), facts_.rows, facts_.cols, max_chunk_bytes,
              value_dtype, SPINFER_ORDER_NIBBLE_PLANES, 0},
             payload_stride,
             offsets_stride,
             copies};
}

void Weights::replicate(cudaStream_t stream) {
  repeat(dense_, dense_stride_, dense_copies_, stream);
  repeat(payload_, sparse_.payload_stride, sparse_.count, stream);
  repeat(offsets_, sparse_.offsets_stride, sparse_.count, stream);
  must(cudaStreamSynchronize(stream), "copies of the weights");
}

Weights Weights::draw(const spinfer_synthetic& r, cudaStream_t stream) {
  Weights w(r.rows, r.cols);
  draw_weights(w.dense_.as<uint16_t>(), r, stream);
  const Grid grid = grid_of(r.rows, r.cols);
  const Buffer first(sizeof(uint32_t) * (grid.chunks + 1));
  must(spinfer_encode_offsets(w.dense(), r.rows, r.cols, first.as<uint32_t>(), stream));
  must(cudaStreamSynchronize(stream), "encoding");
  const std::vector<uint32_t> starts = first.download<uint32_t>();
  uint32_t longest = 0;
  for (uint64_t i = 0; i < grid.chunks; ++i) {
    longest = std::max(longest, (starts[i + 1] - starts[i]) * kAlign);
  }
  w.place_container(static_cast<size_t>(starts[grid.chunks]) * kAlign, longest, r.value_dtype);
  must(cudaMemcpyAsync(w.offsets_.as<>(), first.as<>(), first.bytes(), cudaMemcpyDeviceToDevice,
                       stream),
       "offsets");
  must(spinfer_encode_payload(w.dense(), r.rows, r.cols, w.offsets_.as<uint32_t>(),
                              w.payload_.as<>(), stream));
  w.replicate(stream);
  std::vector<uint16_t> values(static_cast<size_t>(r.rows) * r.cols);
  must(cudaMemcpy(values.data(), w.dense(), values.size() * sizeof(uint16_t),
                  cudaMemcpyDeviceToHost),
       "counting");
  w.facts_.nonzeros =
      values.size() - static_cast<uint64_t>(std::count(values.begin(), values.end(), 0));
  return w;
}

Weights Weights::load(const void* meta_bytes_at, uint64_t meta_bytes, const void* payload,
                      uint64_t payload_bytes, cudaStream_t stream) {
  spinfer_meta meta;
  must(spinfer_validate(meta_bytes_at, meta_bytes, payload, payload_bytes, 0, &meta));
  Weights w(meta.rows, meta.cols);
  w.place_container(payload_bytes, std::max(meta.max_chunk_bytes, kChunkBitmapBytes),
                    meta.value_dtype);
  w.facts_.nonzeros = meta.nonzeros;
  w.payload_.upload(payload, payload_bytes);
  w.offsets_.upload(static_cast<const uint8_t*>(meta_bytes_at) + meta.offsets_at,
                    w.facts_.offsets_bytes);
  must(cudaDeviceSynchronize(), "upload");  // the session's stream does not wait for copies
  must(spinfer_decode(&w.sparse_.first, w.dense_.as<>(), stream));
  w.replicate(stream);
  return w;
}

}  // namespace spinfer
