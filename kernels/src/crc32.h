// CRC-32 of zlib and PNG (reflected polynomial 0xEDB88320).
#pragma once

#include <cstddef>
#include <cstdint>

namespace spinfer {

// Continues `crc` (0 to start) over the bytes.
uint32_t crc32(uint32_t crc, const uint8_t* bytes, size_t count);

}  // namespace spinfer
