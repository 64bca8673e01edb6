// spinfer_spmm: checks, chooses a geometry, realigns x where its rows are not, launches.
#include <algorithm>

#include "spmm_launch.cuh"

namespace spinfer {
namespace {

constexpr uint32_t kRealignThreads = 256;

// Rows of x, padded with zeros to whole chunks: to[n][stride]. Eight values a thread.
__global__ void __launch_bounds__(kRealignThreads)
    realign_rows(const uint16_t* __restrict__ x, uint16_t* __restrict__ to, uint32_t cols,
                 uint32_t stride, uint32_t rows) {
  ptx::launch_dependents();
  ptx::wait_for_previous_kernel();
  const uint64_t places = static_cast<uint64_t>(rows) * (stride / 8);
  uint64_t place = static_cast<uint64_t>(blockIdx.x) * kRealignThreads + threadIdx.x;
  for (; place < places; place += static_cast<uint64_t>(gridDim.x) * kRealignThreads) {
    const uint64_t row = place / (stride / 8);
    const uint32_t col = static_cast<uint32_t>(place % (stride / 8)) * 8;
#pragma unroll
    for (uint32_t i = 0; i < 8; ++i) {
      to[row * stride + col + i] = col + i < cols ? x[row * cols + col + i] : 0;
    }
  }
}

struct Call {
  const char* name;
  const spinfer_matrix* w;
  const void* x;
  uint32_t n;

  uint32_t stride() const { return grid_of(w->rows, w->cols).chunks_per_strip * kChunkCols; }
  // The kernel reads whole chunks of x by 16 bytes.
  bool needs_realign() const {
    return w->cols % kChunkCols != 0 || reinterpret_cast<uintptr_t>(x) % 16 != 0;
  }
  uint64_t workspace_bytes() const {
    return needs_realign() ? static_cast<uint64_t>(n) * stride() * sizeof(uint16_t) : 0;
  }
};

spinfer_status check_call(const Call& call) {
  const spinfer_status status = check_matrix(call.name, call.w);
  if (status != SPINFER_OK) return status;
  SPINFER_REQUIRE(call.n >= 1 && call.n <= kMaxSide, "%s: n is %u, expected 1 to %u", call.name,
                  call.n, kMaxSide);
  SPINFER_REQUIRE(call.x != nullptr && reinterpret_cast<uintptr_t>(call.x) % 2 == 0,
                  "%s: x must not be null and must be 2-byte aligned", call.name);
  return SPINFER_OK;
}

cudaError_t realign(const Call& call, uint16_t* to, uint32_t sms, bool overlap,
                    cudaStream_t stream) {
  const uint64_t places = static_cast<uint64_t>(call.n) * (call.stride() / 8);
  cudaLaunchAttribute attribute;
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<uint32_t>(
      std::min<uint64_t>((places + kRealignThreads - 1) / kRealignThreads, 8ull * sms)));
  config.blockDim = dim3(kRealignThreads);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = overlap ? 1 : 0;
  return cudaLaunchKernelEx(&config, realign_rows, static_cast<const uint16_t*>(call.x), to,
                            call.w->cols, call.stride(), call.n);
}

// The longest chunk, on the 128 bytes that a place in the ring starts at.
uint32_t stage_bytes(const spinfer_matrix& w) { return (w.max_chunk_bytes + 127) / 128 * 128; }

Launcher launcher(const Call& call, const spinfer_geometry& geometry) {
  const bool is_bf16 = call.w->value_dtype == SPINFER_BF16;
  const Launcher* all = geometry.tokens == 8    ? (is_bf16 ? spmm_bf16_8() : spmm_f16_8())
                        : geometry.tokens == 16 ? (is_bf16 ? spmm_bf16_16() : spmm_f16_16())
                                                : (is_bf16 ? spmm_bf16_32() : spmm_f16_32());
  return all[find_geometry(geometry) - first_with_tokens(geometry.tokens)];
}

spinfer_status check_geometry(const Call& call, const spinfer_geometry& geometry,
                              const DeviceFacts& device) {
  SPINFER_REQUIRE(find_geometry(geometry) >= 0,
                  "%s: no kernel of %d tokens, %d warps, %d stages, %d blocks an SM, cluster %d, "
                  "copies %d",
                  call.name, geometry.tokens, geometry.warps, geometry.stages,
                  geometry.blocks_per_sm, geometry.cluster, geometry.copies);
  if (geometry.copies != kAsyncCopies && device.major < 9) {
    return fail(SPINFER_UNSUPPORTED, "%s: bulk copies need sm_90, GPU %d is sm_%d%d", call.name,
                device.index, device.major, device.minor);
  }
  const uint32_t shared =
      spmm_shared_bytes(geometry.tokens / 8, geometry.warps, geometry.stages, geometry.cluster,
                        geometry.copies, stage_bytes(*call.w));
  if (shared > device.shared_per_block) {
    return fail(SPINFER_UNSUPPORTED,
                "%s: the geometry needs %u bytes of shared memory, GPU %d has %u", call.name,
                shared, device.index, device.shared_per_block);
  }
  return SPINFER_OK;
}

using EncodeTiled = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*,
                                 const cuuint64_t*, const cuuint64_t*, const cuuint32_t*,
                                 const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                                 CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

// The driver's function, found through the runtime: nothing links to libcuda.
EncodeTiled encode_tiled() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result;
  const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function,
                                                             12000, cudaEnableDefault, &result);
  return error == cudaSuccess ? reinterpret_cast<EncodeTiled>(function) : nullptr;
}

// x as a tensor whose boxes are the inputs of one chunk: `tokens` rows of 64 values.
spinfer_status map_inputs(const Call& call, const uint16_t* x, uint32_t tokens, CUtensorMap* map) {
  static const EncodeTiled encode = encode_tiled();
  if (encode == nullptr) {
    return fail(SPINFER_UNSUPPORTED, "%s: the driver has no cuTensorMapEncodeTiled", call.name);
  }
  const cuuint64_t sides[] = {call.stride(), call.n};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(call.stride()) * sizeof(uint16_t)};
  const cuuint32_t box[] = {kChunkCols, tokens};
  const cuuint32_t steps[] = {1, 1};
  const CUresult result =
      encode(map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 2, const_cast<uint16_t*>(x), sides, strides, box,
             steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    return fail(SPINFER_CUDA, "%s: cuTensorMapEncodeTiled: error %d", call.name, result);
  }
  return SPINFER_OK;
}

spinfer_status launch(const Call& call, const spinfer_geometry& geometry, void* y, void* workspace,
                      uint32_t flags, const DeviceFacts& device, cudaStream_t stream) {
  const Grid grid = grid_of(call.w->rows, call.w->cols);
  const uint32_t tokens = static_cast<uint32_t>(geometry.tokens);
  const uint32_t groups = (call.n + tokens - 1) / tokens;
  const uint64_t blocks = static_cast<uint64_t>(grid.strips) * groups;
  if (blocks * geometry.cluster > kMaxSide) {
    return fail(SPINFER_UNSUPPORTED, "%s: %llu blocks, a launch has at most %u", call.name,
                static_cast<unsigned long long>(blocks * geometry.cluster), kMaxSide);
  }
  const bool overlap = (flags & SPINFER_OVERLAP) != 0 && device.major >= 9;
  const uint16_t* x = static_cast<const uint16_t*>(call.x);
  if (call.needs_realign()) {
    uint16_t* aligned = static_cast<uint16_t*>(workspace);
    const cudaError_t error = realign(call, aligned, device.sms, overlap, stream);
    if (error != cudaSuccess) return check_cuda(call.name, error);
    x = aligned;
  }
  SpmmArgs args = {};
  args.payload = static_cast<const uint8_t*>(call.w->payload);
  args.offsets = call.w->offsets;
  args.x = x;
  args.y = static_cast<uint16_t*>(y);
  args.x_stride = call.stride();
  args.rows = call.w->rows;
  args.chunks_per_strip = grid.chunks_per_strip;
  args.n = call.n;
  args.token_groups = groups;
  args.stage_bytes = stage_bytes(*call.w);
  args.round_robin = geometry.round_robin != 0;
  // Two blocks of eight warps on a multiprocessor stay in step and find each other's inputs in L1:
  // that is worth more to them.
  args.turn = geometry.blocks_per_sm == 2 ? 0 : 0x9E3779B9u;
  CUtensorMap input_map = {};
  if (geometry.copies == kBulkInputs) {
    const spinfer_status status = map_inputs(call, x, tokens, &input_map);
    if (status != SPINFER_OK) return status;
  }
  return check_cuda(call.name,
                    launcher(call, geometry)({args, &input_map, static_cast<uint32_t>(blocks),
                                              device.index, overlap, stream}));
}

}  // namespace
}  // namespace spinfer

extern "C" spinfer_status spinfer_choose_geometry(const spinfer_matrix* w, uint32_t n,
                                                  uint32_t flags, spinfer_geometry* out) {
  using namespace spinfer;
  constexpr const char* kName = "spinfer_choose_geometry";
  spinfer_status status = check_matrix(kName, w);
  if (status != SPINFER_OK) return status;
  SPINFER_REQUIRE(out != nullptr && n >= 1, "%s: n is %u and out must not be null", kName, n);
  SPINFER_REQUIRE((flags & ~static_cast<uint32_t>(SPINFER_OVERLAP)) == 0, "%s: unknown flags 0x%x",
                  kName, flags);
  DeviceFacts device;
  status = current_device(kName, &device);
  if (status == SPINFER_OK) {
    *out = choose_geometry({w->rows, w->cols, n, (flags & SPINFER_OVERLAP) != 0}, device.sms,
                           device.major >= 9);
  }
  return status;
}

extern "C" spinfer_status spinfer_spmm_workspace(const spinfer_matrix* w, const void* x, uint32_t n,
                                                 uint64_t* bytes) {
  using namespace spinfer;
  const Call call{"spinfer_spmm_workspace", w, x, n};
  const spinfer_status status = check_call(call);
  if (status != SPINFER_OK) return status;
  SPINFER_REQUIRE(bytes != nullptr, "%s: bytes must not be null", call.name);
  *bytes = call.workspace_bytes();
  return SPINFER_OK;
}

extern "C" spinfer_status spinfer_spmm(const spinfer_matrix* w, const void* x, uint32_t n, void* y,
                                       const spinfer_geometry* geometry, void* workspace,
                                       uint64_t workspace_bytes, uint32_t flags, void* stream) {
  using namespace spinfer;
  const Call call{"spinfer_spmm", w, x, n};
  spinfer_status status = check_call(call);
  if (status != SPINFER_OK) return status;
  SPINFER_REQUIRE(y != nullptr && reinterpret_cast<uintptr_t>(y) % 2 == 0,
                  "%s: y must not be null and must be 2-byte aligned", call.name);
  SPINFER_REQUIRE((flags & ~static_cast<uint32_t>(SPINFER_OVERLAP)) == 0, "%s: unknown flags 0x%x",
                  call.name, flags);
  const uint64_t needed = call.workspace_bytes();
  SPINFER_REQUIRE(needed == 0 || (workspace != nullptr && workspace_bytes >= needed &&
                                  reinterpret_cast<uintptr_t>(workspace) % 16 == 0),
                  "%s: needs a 16-byte aligned workspace of %llu bytes, got %llu", call.name,
                  static_cast<unsigned long long>(needed),
                  static_cast<unsigned long long>(workspace_bytes));
  DeviceFacts device;
  status = current_device(call.name, &device);
  if (status != SPINFER_OK) return status;
  const spinfer_geometry chosen =
      geometry != nullptr ? *geometry
                          : choose_geometry({w->rows, w->cols, n, (flags & SPINFER_OVERLAP) != 0},
                                            device.sms, device.major >= 9);
  status = check_geometry(call, chosen, device);
  if (status != SPINFER_OK) return status;
  return launch(call, chosen, y, workspace, flags, device, static_cast<cudaStream_t>(stream));
}
