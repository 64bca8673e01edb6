// A warp's ring of chunks in shared memory: filled by copies that run ahead of the decoder.
//
// Both rings have the same steps: the constructor starts the first kStages copies, wait() gives the
// address of the oldest chunk once it is there, advance() leaves it, refill(i) hands the place left
// last on to a later chunk, i being the number of the one that lay there. The warp must be
// converged before each step, and done with the chunk before refill().
#pragma once

#include "layout.h"
#include "ptx.cuh"

namespace spinfer {

// The chunks a warp takes of its strip: first, first + step, ... `count` of them, all moved `turn`
// chunks to the right, around the end of the strip's `chunks`.
struct ChunkRun {
  uint32_t first, step;
  int count;
  uint32_t turn = 0, chunks = ~0u;

  // Where in the strip the chunk of that index lies.
  __device__ __forceinline__ uint32_t column(uint32_t index) const {
    const uint32_t chunk = first + index * step + turn;
    return chunk < chunks ? chunk : chunk - chunks;
  }
};

// Offsets of the next 32 chunks of a run, one a lane: a copy needs no load of its own.
class OffsetWindow {
 public:
  __device__ __forceinline__ OffsetWindow(const uint32_t* strip_offsets, const ChunkRun& run,
                                          uint32_t lane)
      : offsets_(strip_offsets), run_(run), lane_(lane) {
    load(0);
  }
  // Waits for the loads; before the first use of what they bring.
  __device__ __forceinline__ void settle() { bytes_ = (bytes_ - start_) * kAlign; }

  __device__ __forceinline__ void load(int index) {
    if (index + static_cast<int>(lane_) >= run_.count) return;
    const uint32_t chunk = run_.column(index + lane_);
    start_ = ptx::load_global(offsets_ + chunk);
    bytes_ = ptx::load_global(offsets_ + chunk + 1);
  }
  // The window moves on when `index` enters a new group of 32; indices must rise one by one.
  __device__ __forceinline__ void reach(int index) {
    if (index % 32 != 0) return;
    load(index);
    settle();
  }
  __device__ __forceinline__ uint64_t byte_offset(int index) const {
    return static_cast<uint64_t>(__shfl_sync(~0u, start_, index & 31)) * kAlign;
  }
  __device__ __forceinline__ uint32_t bytes(int index) const {
    return __shfl_sync(~0u, bytes_, index & 31);
  }

 private:
  const uint32_t* offsets_;
  ChunkRun run_;
  uint32_t lane_;
  uint32_t start_ = 0, bytes_ = 0;
};

// sm_90: one bulk copy a chunk, an mbarrier a stage.
//
// With kTokens > 0 a second copy on the same barrier brings the inputs of the chunk's columns:
// kTokens rows of 64 values, 128 bytes each, zeros beyond the tensor. Their 16-byte pieces are
// swizzled by row: piece p of row r lies at p ^ (r mod 8), so that a warp's reads meet no bank
// conflict.
template <int kStages, int kTokens>
class BulkRing {
 public:
  static constexpr uint32_t kInputBytes = kTokens * kChunkCols * 2;

  // `stages`, `barriers`: shared addresses of this warp's kStages places and 8-byte barriers.
  __device__ __forceinline__ BulkRing(const uint8_t* payload, const uint32_t* strip_offsets,
                                      const ChunkRun& run, uint32_t stages, uint32_t barriers,
                                      uint32_t stage_bytes, uint32_t lane)
      : payload_(payload),
        window_(strip_offsets, run, lane),
        run_(run),
        stage_bytes_(stage_bytes),
        lane_(lane),
        stages_(stages),
        barriers_(barriers) {
    if (lane == 0) {
#pragma unroll
      for (int i = 0; i < kStages; ++i) ptx::barrier_init(barriers_ + 8 * i, 1);
      ptx::barrier_init_fence();
    }
    __syncwarp();
    window_.settle();
#pragma unroll
    for (int i = 0; i < kStages; ++i) {
      if (i < run_.count) fill_weights(i, stages_ + i * stage_bytes_, barriers_ + 8 * i);
    }
    asm volatile("" : "+r"(stages_), "+r"(barriers_), "+r"(lane_));
    place_ = stages_;
    barrier_ = barriers_;
  }

  // Starts the copies of the inputs; what writes x must be done. inputs: shared address of this
  // warp's kStages places of kInputBytes, a multiple of 1024.
  __device__ __forceinline__ void start_inputs(const void* tensor_map, uint32_t first_token,
                                               uint32_t inputs) {
    tensor_map_ = tensor_map;
    first_token_ = first_token;
    inputs_ = input_place_ = inputs;
    if (lane_ == 0) {
#pragma unroll
      for (int i = 0; i < kStages; ++i) {
        if (i < run_.count) fill_inputs(i, inputs + i * kInputBytes, barriers_ + 8 * i);
      }
    }
    __syncwarp();
  }

  __device__ __forceinline__ uint32_t wait() {
    ptx::barrier_wait(barrier_, parity_);
    return place_;
  }
  // Where the inputs of the chunk waited for are.
  __device__ __forceinline__ uint32_t inputs() const { return input_place_; }

  __device__ __forceinline__ void refill(int index) {
    const int next = index + kStages;
    if (next < run_.count) {
      window_.reach(next);
      fill_weights(next, done_place_, done_barrier_);
      if (kTokens > 0 && lane_ == 0) fill_inputs(next, done_input_place_, done_barrier_);
    }
  }
  __device__ __forceinline__ void advance() {
    done_place_ = place_;
    done_input_place_ = input_place_;
    done_barrier_ = barrier_;
    ++stage_;
    place_ += stage_bytes_;
    input_place_ += kInputBytes;
    barrier_ += 8;
    if (stage_ == kStages) {
      stage_ = 0;
      parity_ ^= 1;
      place_ = stages_;
      input_place_ = inputs_;
      barrier_ = barriers_;
    }
  }

 private:
  __device__ __forceinline__ void fill_weights(int index, uint32_t place, uint32_t barrier) {
    const uint64_t at = window_.byte_offset(index);
    const uint32_t bytes = window_.bytes(index);
    if (lane_ == 0) {
      ptx::barrier_expect(barrier, bytes + kInputBytes);
      ptx::copy_bulk(place, payload_ + at, bytes, barrier);
    }
  }
  __device__ __forceinline__ void fill_inputs(int index, uint32_t place, uint32_t barrier) {
    ptx::copy_tensor(place, tensor_map_, run_.column(index) * kChunkCols,
                     first_token_, barrier);
  }

  const uint8_t* payload_;
  OffsetWindow window_;
  ChunkRun run_;
  uint32_t stage_bytes_, lane_;
  uint32_t stages_, barriers_, place_, barrier_, done_place_, done_barrier_, done_input_place_;
  const void* tensor_map_ = nullptr;
  uint32_t first_token_ = 0, inputs_ = 0, input_place_ = 0;
  int stage_ = 0;
  uint32_t parity_ = 0;
};

// sm_80: 16-byte copies by all lanes, one commit group a chunk (an empty one past the end).
template <int kStages>
class AsyncRing {
 public:
  __device__ __forceinline__ AsyncRing(const uint8_t* payload, const uint32_t* strip_offsets,
                                       const ChunkRun& run, uint32_t stages, uint32_t,
                                       uint32_t stage_bytes, uint32_t lane)
      : payload_(payload),
        window_(strip_offsets, run, lane),
        count_(run.count),
        stage_bytes_(stage_bytes),
        lane_(lane),
        stages_(stages),
        place_(stages) {
    window_.settle();
#pragma unroll
    for (int i = 0; i < kStages; ++i) fill(i, stages_ + i * stage_bytes_);
  }

  __device__ __forceinline__ uint32_t wait() {
    ptx::copy_async_wait<kStages - 1>();
    __syncwarp();
    return place_;
  }
  __device__ __forceinline__ void refill(int index) {
    const int next = index + kStages;
    if (next < count_) window_.reach(next);
    fill(next, done_place_);
  }
  __device__ __forceinline__ void advance() {
    done_place_ = place_;
    place_ += stage_bytes_;
    if (++stage_ == kStages) {
      stage_ = 0;
      place_ = stages_;
    }
  }

 private:
  __device__ __forceinline__ void fill(int index, uint32_t place) {
    if (index < count_) {
      const uint8_t* from = payload_ + window_.byte_offset(index);
      const uint32_t bytes = window_.bytes(index);
      for (uint32_t at = lane_ * 16; at < bytes; at += 16 * kLanes) {
        ptx::copy_async_16(place + at, from + at);
      }
    }
    ptx::copy_async_commit();
  }

  const uint8_t* payload_;
  OffsetWindow window_;
  int count_;
  uint32_t stage_bytes_, lane_;
  uint32_t stages_, place_, done_place_;
  int stage_ = 0;
};

}  // namespace spinfer
