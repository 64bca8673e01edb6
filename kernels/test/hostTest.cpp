// The host twin and the validator, without a GPU: g++ alone builds and runs this.
//
//   hostTest                                all cases
//   hostTest encode ROWS COLS DTYPE FLAGS   dense on stdin -> meta, then payload on stdout
//   hostTest decode META_BYTES              meta and payload on stdin -> dense on stdout
//
// The last two are for the TypeScript codec to be compared with.
#include <cstdlib>
#include <cstring>
#include <string>

#include "../src/crc32.h"
#include "../src/geometry.h"
#include "matrices.h"

namespace spinfer::test {
namespace {

void half_values_survive_the_way_to_double_and_back() {
  for (const HalfFormat format : {kFp16, kBf16}) {
    int wrong = 0;
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      const double value = half_to_double(static_cast<uint16_t>(bits), format);
      if (std::isnan(value)) continue;
      wrong += double_to_half(value, format) != bits;
    }
    check(wrong == 0, "%d-bit mantissa: %d patterns do not survive", format.mantissa_bits, wrong);
  }
  check(double_to_half(65520.0, kFp16) == 0x7c00, "65520 rounds to infinity in fp16");
  check(double_to_half(65519.0, kFp16) == 0x7bff, "65519 rounds to 65504 in fp16");
  check(double_to_half(std::ldexp(1.0, -25), kFp16) == 0, "half the least fp16 is a tie to zero");
}

void crc_matches_the_published_check_value() {
  const char* digits = "123456789";
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(digits);
  check(crc32(0, bytes, 9) == 0xCBF43926u, "CRC-32 of 123456789");
  check(crc32(crc32(0, bytes, 4), bytes + 4, 5) == 0xCBF43926u, "CRC-32 in two parts");
}

// Encodes, validates, decodes and compares; returns the container.
Container round_trip(const std::vector<uint16_t>& dense, Shape shape, uint8_t dtype) {
  const Container c = encode(dense, shape, dtype);
  spinfer_meta meta;
  if (check(validate(c, &meta, SPINFER_CHECK_CRC) == SPINFER_OK, "%u x %u: %s", shape.rows,
            shape.cols, spinfer_last_error())) {
    std::vector<uint16_t> back(dense.size(), 0xffff);
    spinfer_host_decode(&meta, c.offsets(), c.payload.data(), back.data());
    check(back == dense, "%u x %u decodes to other bits", shape.rows, shape.cols);
  }
  return c;
}

void every_pattern_of_16_bits_round_trips() {
  std::vector<uint16_t> dense(65536);
  for (uint32_t i = 0; i < dense.size(); ++i) dense[i] = static_cast<uint16_t>(i);
  for (const uint8_t dtype : {SPINFER_F16, SPINFER_BF16}) {
    for (const Shape shape : {Shape{256, 256}, Shape{1, 65536}, Shape{65536, 1}}) {
      round_trip(dense, shape, dtype);
    }
  }
}

void random_shapes_with_tails_round_trip() {
  Random random(4);
  for (int i = 0; i < 400; ++i) {
    const Shape shape{1 + random.below(100), 1 + random.below(200)};
    const Mask mask = static_cast<Mask>(random.below(5));
    const double sparsity = random.below(11) / 10.0;
    const uint8_t dtype = static_cast<uint8_t>(1 + random.below(2));
    const std::vector<uint16_t> dense = make_dense(random, shape, mask, sparsity, format_of(dtype));
    round_trip(dense, shape, dtype);
  }
}

// Value order, spelled out by hand for one chunk: independent of the functions of layout.h.
void a_full_chunk_is_stored_in_the_order_of_the_specification() {
  std::vector<uint16_t> dense(32 * 64);
  for (uint32_t i = 0; i < dense.size(); ++i) dense[i] = static_cast<uint16_t>(i + 1);
  const Container c = encode(dense, {32, 64}, SPINFER_F16);
  check(c.payload.size() == 4352, "a full chunk has %zu bytes, expected 4352", c.payload.size());
  uint32_t at = 256;
  int wrong = 0;
  for (int block = 0; block < 2; ++block)
    for (int m = 0; m < 8; ++m)
      for (int t = 0; t < 4; ++t)
        for (int g = 0; g < 8; ++g)
          for (int j = 0; j < 4; ++j, at += 2) {
            const int row = 16 * block + g + 8 * (j >> 1);
            const int col = 16 * t + 4 * (m >> 1) + 2 * (m & 1) + (j & 1);
            uint16_t value;
            std::memcpy(&value, &c.payload[at], 2);
            wrong += value != row * 64 + col + 1;
          }
  check(wrong == 0, "%d of 2048 values out of order", wrong);
}

void the_product_matches_a_plain_dense_one() {
  Random random(5);
  for (int i = 0; i < 60; ++i) {
    const Shape shape{1 + random.below(70), 1 + random.below(150)};
    const uint32_t n = 1 + random.below(5);
    const uint8_t dtype = static_cast<uint8_t>(1 + random.below(2));
    const HalfFormat format = format_of(dtype);
    const std::vector<uint16_t> dense = make_dense(random, shape, Mask::kRandom, 0.5, format);
    std::vector<uint16_t> x = make_inputs(random, static_cast<size_t>(n) * shape.cols, format);
    if (i % 10 == 0)
      x[random.below(static_cast<uint32_t>(x.size()))] = double_to_half(INFINITY, format);
    const Container c = encode(dense, shape, dtype);
    spinfer_meta meta;
    if (!check(validate(c, &meta) == SPINFER_OK, "%s", spinfer_last_error())) continue;
    std::vector<double> y(static_cast<size_t>(n) * shape.rows);
    spinfer_host_spmm(&meta, c.offsets(), c.payload.data(), x.data(), n, y.data(), nullptr);
    int wrong = 0;
    for (uint32_t token = 0; token < n; ++token) {
      for (uint32_t row = 0; row < shape.rows; ++row) {
        double sum = 0;
        for (uint32_t col = 0; col < shape.cols; ++col) {
          sum += half_to_double(dense[row * shape.cols + col], format) *
                 half_to_double(x[token * shape.cols + col], format);
        }
        const double found = y[token * shape.rows + row];
        wrong += std::isnan(sum)
                     ? !std::isnan(found)
                     : !(std::isinf(sum) ? found == sum : std::fabs(found - sum) < 1e-9);
      }
    }
    check(wrong == 0, "%u x %u, n %u: %d wrong sums", shape.rows, shape.cols, n, wrong);
  }
}

// TB-01 .. TB-08: one field at a time, the checksum made right again, the reason asserted.
void every_field_of_the_header_is_checked() {
  Random random(6);
  const Shape shape{70, 130};
  const std::vector<uint16_t> dense = make_dense(random, shape, Mask::kRandom, 0.5, kFp16);
  const Container good = encode(dense, shape, SPINFER_F16);
  struct Forgery {
    uint32_t at;
    uint8_t xor_with;
    const char* reason;
  };
  const uint32_t first_offset = header::kBytes;
  const uint32_t last_offset = header::kBytes + 4 * 9;
  const Forgery forgeries[] = {
      {0, 1, "magic"},
      {header::kVersionMajor, 3, "version"},
      {header::kVersionMinor, 1, "version"},
      {header::kValueDtype, 2, "dtype"},
      {header::kValueOrder, 3, "value order"},
      {header::kScaleKind, 1, "scale kind"},
      {header::kFlags, 2, "flags"},
      {header::kRows, 3, "outside the matrix"},
      {header::kRows + 1, 1, "chunks"},
      {header::kRows + 3, 0x80, "rows"},
      {header::kCols, 3, "outside the matrix"},
      {header::kCols + 2, 1, "chunks"},
      {header::kChunkRowsAt, 1, "chunks of"},
      {header::kChunkColsAt, 1, "chunks of"},
      {header::kHeaderBytes, 16, "header of"},
      {header::kNonzeros, 1, "the header says"},
      {header::kPayloadBytes, 16, "the header says"},
      {header::kChunks, 1, "chunks"},
      {header::kReserved, 1, "reserved"},
      {header::kPayloadCrc, 1, "CRC-32"},
      {first_offset, 1, "the first"},
      {first_offset + 4, 1, "bitmap"},
      {first_offset + 7, 0x80, "offsets"},
      {last_offset, 1, "offsets"},
      {last_offset + 4, 1, "padding"},
  };
  for (const Forgery& forgery : forgeries) {
    Container forged = good;
    forged.meta[forgery.at] ^= forgery.xor_with;
    rewrite_meta_crc(forged);
    spinfer_meta meta;
    const spinfer_status status = validate(forged, &meta, SPINFER_CHECK_CRC);
    check(status == SPINFER_BAD_MATRIX && std::strstr(spinfer_last_error(), forgery.reason),
          "byte %u of meta: status %d, \"%s\", expected \"%s\"", forgery.at, status,
          spinfer_last_error(), forgery.reason);
  }
  Container stale = good;
  stale.meta[header::kFlags] ^= 1;
  spinfer_meta meta;
  check(validate(stale, &meta) == SPINFER_BAD_MATRIX && std::strstr(spinfer_last_error(), "CRC-32"),
        "a changed header with the old checksum: %s", spinfer_last_error());
}

// GP-08 and TB-06: each single bit of bitmaps and padding.
void every_bit_of_the_bitmaps_and_of_the_padding_is_checked() {
  Random random(7);
  const Shape shape{40, 70};
  const std::vector<uint16_t> dense = make_dense(random, shape, Mask::kRandom, 0.6, kFp16);
  const Container good = encode(dense, shape, SPINFER_F16);
  spinfer_meta meta;
  int missed = 0, flips = 0;
  for (uint32_t chunk = 0; chunk < 4; ++chunk) {
    const uint32_t begin = good.offsets()[chunk] * 16, end = good.offsets()[chunk + 1] * 16;
    uint32_t values = 0;
    for (uint32_t i = 0; i < 256; ++i) values += __builtin_popcount(good.payload[begin + i]);
    for (uint32_t at = begin; at < end; ++at) {
      const bool is_value = at >= begin + 256 && at < begin + 256 + 2 * values;
      for (int bit = 0; bit < 8 && !is_value; ++bit) {
        Container flipped = good;
        flipped.payload[at] ^= static_cast<uint8_t>(1 << bit);
        missed += validate(flipped, &meta) != SPINFER_BAD_MATRIX;
        ++flips;
      }
    }
  }
  check(missed == 0 && flips > 8000, "%d of %d flipped bits were not noticed", missed, flips);
}

// 100,000 containers with random damage and a right checksum: each is rejected with a reason, or
// still is a well-formed container, which its decoder then stays inside of.
void damaged_containers_are_rejected_or_harmless() {
  Random random(8);
  int accepted = 0, rejected = 0, unexplained = 0;
  for (int matrix = 0; matrix < 100; ++matrix) {
    const Shape shape{1 + random.below(80), 1 + random.below(160)};
    const std::vector<uint16_t> dense =
        make_dense(random, shape, static_cast<Mask>(random.below(5)), 0.5, kFp16);
    const Container good = encode(dense, shape, SPINFER_F16);
    std::vector<uint16_t> back(dense.size());
    for (int round = 0; round < 1000; ++round) {
      const Container bad = damaged(random, good);
      spinfer_meta meta;
      const spinfer_status status = validate(bad, &meta);
      if (status == SPINFER_OK) {
        ++accepted;
        back.resize(static_cast<size_t>(meta.rows) * meta.cols);
        spinfer_host_decode(&meta, bad.offsets(), bad.payload.data(), back.data());
      } else {
        ++rejected;
        unexplained += status != SPINFER_BAD_MATRIX || std::strlen(spinfer_last_error()) < 10;
      }
    }
  }
  check(unexplained == 0, "%d rejections without a reason", unexplained);
  check(rejected > 50000, "only %d of 100000 rejected", rejected);
  std::printf("damaged containers: %d rejected, %d well formed\n", rejected, accepted);
}

void a_stored_zero_is_rejected() {
  Container c = encode({1, 2, 3, 4}, {1, 4}, SPINFER_F16);
  c.payload[256] = 0;
  spinfer_meta meta;
  check(
      validate(c, &meta) == SPINFER_BAD_MATRIX && std::strstr(spinfer_last_error(), "stored zero"),
      "a stored zero: %s", spinfer_last_error());
}

// Whatever the shape and the GPU, the table names a kernel that is built.
void every_choice_of_the_table_is_a_built_kernel() {
  int missing = 0;
  for (uint32_t rows = 1; rows < 100000; rows += 1 + rows / 8) {
    for (const uint32_t n : {1u, 8u, 9u, 16u, 17u, 32u, 33u, 1000u}) {
      for (const uint32_t sms : {20u, 108u, 132u, 148u}) {
        for (int kind = 0; kind < 4; ++kind) {
          const spinfer_geometry chosen =
              choose_geometry({rows, 4096, n, (kind & 1) != 0}, sms, (kind & 2) != 0);
          missing += find_geometry(chosen) < 0;
          missing += (kind & 2) == 0 && chosen.copies != kAsyncCopies;
        }
      }
    }
  }
  check(missing == 0, "%d choices are not in the list", missing);
  check(choose_geometry({4096, 4096, 8, false}, 132, true).warps == 16,
        "128 strips on 132 SMs: one block of 16 warps each");
  spinfer_geometry geometry;
  check(spinfer_list_geometry(-1, &geometry) == SPINFER_BAD_ARGUMENT, "geometry -1");
}

void arguments_are_checked() {
  spinfer_meta meta;
  uint8_t byte = 0;
  check(spinfer_validate(nullptr, 0, &byte, 1, 0, &meta) == SPINFER_BAD_ARGUMENT, "null meta");
  check(spinfer_validate(&byte, 1, &byte, 1, 0, &meta) == SPINFER_BAD_MATRIX, "one byte of meta");
  check(spinfer_validate(&byte, 1, &byte, 1, 8, &meta) == SPINFER_BAD_ARGUMENT, "unknown flag");
  uint16_t value = 1;
  uint64_t a = 0, b = 0;
  check(spinfer_host_encoded_bytes(&value, 0, 1, &a, &b) == SPINFER_BAD_ARGUMENT, "no rows");
  check(spinfer_host_encoded_bytes(&value, 0x7fffffff, 0x7fffffff, &a, &b) == SPINFER_UNSUPPORTED,
        "beyond 64 GiB");
  check(spinfer_abi_version() == SPINFER_ABI_VERSION, "ABI version");
}

std::vector<uint8_t> read_stdin() {
  std::vector<uint8_t> all;
  uint8_t part[65536];
  while (const size_t count = std::fread(part, 1, sizeof part, stdin)) {
    all.insert(all.end(), part, part + count);
  }
  return all;
}

int encode_stdin(Shape shape, uint8_t dtype, uint8_t flags) {
  const std::vector<uint8_t> bytes = read_stdin();
  std::vector<uint16_t> dense(static_cast<size_t>(shape.rows) * shape.cols);
  if (bytes.size() != 2 * dense.size()) return 2;
  std::memcpy(dense.data(), bytes.data(), bytes.size());
  const Container c = encode(dense, shape, dtype, flags);
  std::fwrite(c.meta.data(), 1, c.meta.size(), stdout);
  std::fwrite(c.payload.data(), 1, c.payload.size(), stdout);
  return score().failures == 0 ? 0 : 1;
}

int decode_stdin(size_t meta_bytes) {
  const std::vector<uint8_t> bytes = read_stdin();
  if (bytes.size() < meta_bytes) return 2;
  Container c;
  c.meta.assign(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(meta_bytes));
  c.payload.assign(bytes.begin() + static_cast<ptrdiff_t>(meta_bytes), bytes.end());
  spinfer_meta meta;
  if (validate(c, &meta, SPINFER_CHECK_CRC) != SPINFER_OK) {
    std::fprintf(stderr, "%s\n", spinfer_last_error());
    return 1;
  }
  std::vector<uint16_t> dense(static_cast<size_t>(meta.rows) * meta.cols);
  spinfer_host_decode(&meta, c.offsets(), c.payload.data(), dense.data());
  std::fwrite(dense.data(), 2, dense.size(), stdout);
  return 0;
}

}  // namespace
}  // namespace spinfer::test

int main(int argc, char** argv) {
  using namespace spinfer::test;
  const auto number = [&](int i) { return static_cast<uint32_t>(std::atol(argv[i])); };
  const std::string what = argc > 1 ? argv[1] : "";
  if (argc == 6 && what == "encode") {
    return encode_stdin({number(2), number(3)}, static_cast<uint8_t>(number(4)),
                        static_cast<uint8_t>(number(5)));
  }
  if (argc == 3 && what == "decode") return decode_stdin(number(2));
  if (argc > 1) {
    std::fprintf(stderr, "hostTest: expected encode ROWS COLS DTYPE FLAGS or decode META_BYTES\n");
    return 2;
  }
  half_values_survive_the_way_to_double_and_back();
  crc_matches_the_published_check_value();
  every_pattern_of_16_bits_round_trips();
  random_shapes_with_tails_round_trip();
  a_full_chunk_is_stored_in_the_order_of_the_specification();
  the_product_matches_a_plain_dense_one();
  every_field_of_the_header_is_checked();
  every_bit_of_the_bitmaps_and_of_the_padding_is_checked();
  damaged_containers_are_rejected_or_harmless();
  a_stored_zero_is_rejected();
  every_choice_of_the_table_is_a_built_kernel();
  arguments_are_checked();
  return report("hostTest");
}
