// CRC-32 by table, eight bytes a step.
#include "crc32.h"

#include <array>

namespace spinfer {
namespace {

constexpr int kSlices = 8;
using Tables = std::array<std::array<uint32_t, 256>, kSlices>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t rest = byte;
    for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ (rest & 1 ? 0xEDB88320u : 0);
    tables[0][byte] = rest;
  }
  for (int slice = 1; slice < kSlices; ++slice) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[slice - 1][byte];
      tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}
constexpr Tables kTables = make_tables();

}  // namespace

uint32_t crc32(uint32_t crc, const uint8_t* bytes, size_t count) {
  uint32_t rest = ~crc;
  for (; count >= kSlices; count -= kSlices, bytes += kSlices) {
    uint32_t next = 0;
    for (int i = 0; i < kSlices; ++i) {
      const uint32_t mixed = i < 4 ? (rest >> (8 * i)) & 0xff : 0;
      next ^= kTables[kSlices - 1 - i][bytes[i] ^ mixed];
    }
    rest = next;
  }
  for (; count > 0; --count) rest = (rest >> 8) ^ kTables[0][(rest ^ *bytes++) & 0xff];
  return ~rest;
}

}  // namespace spinfer
