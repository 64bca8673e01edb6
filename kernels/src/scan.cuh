// Where a lane's values are: prefix sums over a block's bitmap, on the tensor cores.
//
// A block's values lie in value order (plane m, then t, then g, then j), so lane (g, t) finds the
// values of its nibble m behind those of all planes before m, all t' < t of this plane and all
// g' < g of this (plane, t). Ten integer mma count these; no shuffles:
//   totals  T[t][m], the values of column-plane (t, m): ones times the transposed nibble counts
//   bases   of (plane, t): sums of whole column-planes, plus the byte address of the first value
//   starts  p: base + 2 sum over g' < g, by a triangular A
//   middles m (behind j = 0, 1) and ends e (behind all four): p + 2 count, by a diagonal A
// The values of a nibble then are at p, m - 2, m, e - 2: no pointer arithmetic. The counts are u8
// and fit: a nibble has at most 4, a column-plane 32; sums are s32.
#pragma once

#include "ptx.cuh"

namespace spinfer {

// Constants of a lane. `zero` must be 0 and unknown to the compiler, which would otherwise build
// the constants anew for every chunk (8 moves of 300 instructions).
struct ScanLane {
  uint32_t triangle0, triangle1;  // 2 where row 2t, 2t + 1 lies before row g; << 8 for rows g + 8
  uint32_t diagonal0, diagonal1;  // 2 where it is row g
  uint32_t before0, before1;      // 2 where a byte of the window counts towards plane h', column t
  uint32_t low0, low1, high0, high1;

  __device__ __forceinline__ ScanLane(uint32_t lane, uint32_t zero) {
    const uint32_t g = lane >> 2, t = lane & 3, half = g & 1, column = g >> 1;
    triangle0 = (2 * t < g ? 2u : 0u) | (2 * t + 1 < g ? 0x20000u : 0u);
    triangle1 = triangle0 << 8;
    diagonal0 = (2 * t == g ? 2u : 0u) | (2 * t + 1 == g ? 0x20000u : 0u);
    diagonal1 = diagonal0 << 8;
    before0 = 0x020202u | (half || t < column ? 0x02000000u : 0u);
    before1 = half ? 0x020202u | (t < column ? 0x02000000u : 0u) : 0u;
    low0 = 0x00010001u + zero;
    low1 = 0x01000100u + zero;
    high0 = 0x00F000F0u + zero;  // 240 hi + (lo + 16 hi) = lo + 256 hi
    high1 = 0xF000F000u + zero;
    asm volatile(""
                 : "+r"(triangle0), "+r"(triangle1), "+r"(diagonal0), "+r"(diagonal1),
                   "+r"(before0), "+r"(before1), "+r"(low0), "+r"(low1), "+r"(high0), "+r"(high1));
  }
};

// Byte offsets of a lane's eight nibbles: [0] planes 0, 4, 2, 6 and [1] planes 1, 5, 3, 7.
struct ScanResult {
  ptx::Int4 start[2], middle[2], end[2];

  template <int kPlane>
  static __device__ __forceinline__ uint32_t pick(const ptx::Int4 (&of)[2]) {
    return static_cast<uint32_t>(of[kPlane & 1].v[(kPlane & 2) + (kPlane >> 2)]);
  }
};

// Offsets in bytes from the block's first value, for this lane's bitmap word.
__device__ __forceinline__ ScanResult scan_block(uint32_t word, const ScanLane& k) {
  using namespace ptx;
  const Int4 zero{{0, 0, 0, 0}};
  // Transposed, lane (g, t) holds 16-bit half g & 1 of rows 2t, 2t + 1 of column g >> 1: operand B.
  const uint32_t turned = movmatrix(word);
  const uint32_t pairs = turned - ((turned >> 1) & 0x55555555u);
  const uint32_t nibbles = pairs - 3u * ((pairs >> 2) & 0x33333333u);
  const uint32_t odd = (nibbles >> 4) & 0x0F0F0F0Fu, even = nibbles & 0x0F0F0F0Fu;

  const Int4 totals = mma_u8_k32(k.low0, k.low1, k.high0, k.high1, nibbles, odd, zero);
  const uint32_t low = __byte_perm(totals.v[0], totals.v[2], 0x5410);   // T of planes 0 to 3
  const uint32_t high = __byte_perm(totals.v[1], totals.v[3], 0x5410);  // T of planes 4 to 7
  const uint32_t first = static_cast<uint32_t>(totals.v[0]);
  const Int4 base_even = mma_u8_k32(first << 24, low << 8, __byte_perm(low, high, 0x4321),
                                    __byte_perm(low, high, 0x6543), k.before0, k.before1, zero);
  const Int4 base_odd = mma_u8_k32(first << 16, low, __byte_perm(low, high, 0x5432), high,
                                   k.before0, k.before1, zero);

  ScanResult r;
  r.start[0] = mma_u8_k16(k.triangle0, k.triangle1, even, base_even);
  r.start[1] = mma_u8_k16(k.triangle0, k.triangle1, odd, base_odd);
  r.middle[0] = mma_u8_k16(k.diagonal0, k.diagonal1, pairs & 0x03030303u, r.start[0]);
  r.middle[1] = mma_u8_k16(k.diagonal0, k.diagonal1, (pairs >> 4) & 0x03030303u, r.start[1]);
  r.end[0] = mma_u8_k16(k.diagonal0, k.diagonal1, even, r.start[0]);
  r.end[1] = mma_u8_k16(k.diagonal0, k.diagonal1, odd, r.start[1]);
  return r;
}

// Values of a block; every lane gets the sum.
__device__ __forceinline__ uint32_t count_values(uint32_t word) {
  return __reduce_add_sync(~0u, static_cast<unsigned>(__popc(word)));
}

}  // namespace spinfer
