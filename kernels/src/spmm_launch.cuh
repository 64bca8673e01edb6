// Launchers of every built geometry, for one dtype and number of token tiles.
//
// Included by one .cu file for each of these, so that they compile apart.
#pragma once

#include <atomic>

#include "device.h"
#include "geometry.h"
#include "spmm_kernel.cuh"

namespace spinfer {

struct Launch {
  SpmmArgs args;
  const CUtensorMap* input_map;  // for kBulkInputs
  uint32_t blocks;
  int device;
  bool overlap;
  cudaStream_t stream;
};
using Launcher = cudaError_t (*)(const Launch&);

// The geometries of so many tokens, in the order of geometry.h.
const Launcher* spmm_f16_8();
const Launcher* spmm_f16_16();
const Launcher* spmm_f16_32();
const Launcher* spmm_bf16_8();
const Launcher* spmm_bf16_16();
const Launcher* spmm_bf16_32();

template <bool kIsBf16, int kTokens, int kWarps, int kStages, int kBlocksPerSm, int kCluster,
          int kCopies>
cudaError_t launch_spmm(const Launch& launch) {
  constexpr int kTiles = kTokens / 8;
  const auto kernel = [] {
    if constexpr (kCopies == kBulkInputs) {
      return spmm_bulk_inputs<kIsBf16, kTiles, kWarps, kStages, kBlocksPerSm, kCluster>;
    } else if constexpr (kCopies == kBulkCopies) {
      return spmm_bulk<kIsBf16, kTiles, kWarps, kStages, kBlocksPerSm, kCluster>;
    } else {
      return spmm_async<kIsBf16, kTiles, kWarps, kStages, kBlocksPerSm>;
    }
  }();
  const uint32_t shared =
      spmm_shared_bytes(kTiles, kWarps, kStages, kCluster, kCopies, launch.args.stage_bytes);
  static std::atomic<uint32_t> allowed[kMostDevices];
  if (shared > allowed[launch.device].load(std::memory_order_relaxed)) {
    const cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
    if (error != cudaSuccess) return error;
    allowed[launch.device].store(shared, std::memory_order_relaxed);
  }
  cudaLaunchAttribute attributes[2];
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(launch.blocks * kCluster);
  config.blockDim = dim3(kWarps * kLanes);
  config.dynamicSmemBytes = shared;
  config.stream = launch.stream;
  config.attrs = attributes;
  if (kCluster > 1) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {kCluster, 1, 1};
  }
  if (launch.overlap) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  }
  if constexpr (kCopies == kBulkInputs) {
    return cudaLaunchKernelEx(&config, kernel, launch.args, *launch.input_map);
  } else {
    return cudaLaunchKernelEx(&config, kernel, launch.args);
  }
}

#define SPINFER_LAUNCHER(tokens, warps, stages, blocks, cluster, copies) \
  launch_spmm<kIsBf16, tokens, warps, stages, blocks, cluster, copies>,

}  // namespace spinfer
