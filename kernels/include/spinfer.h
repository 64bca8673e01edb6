/* C ABI of the kernel library. Plain C: no exceptions, no C++ types, no Node, no Python.
 *
 * A pointer marked [device] is device memory, [host] host memory; the caller owns it and keeps it
 * alive until the stream has run. Device functions enqueue and return: none of them synchronizes or
 * allocates. Every function checks its arguments and returns a status; spinfer_last_error() then
 * says what was wrong, with the numbers.
 *
 * Trust: a tile-bitmap matrix comes from a file. spinfer_validate() must have accepted its bytes on
 * the host before they are uploaded; device code relies on that and checks nothing. */
#ifndef SPINFER_H
#define SPINFER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPINFER_API __attribute__((visibility("default")))

/* Raised by every change to a struct or a signature below. */
#define SPINFER_ABI_VERSION 2

typedef int32_t spinfer_status;
enum {
  SPINFER_OK = 0,
  SPINFER_BAD_ARGUMENT = 1, /* a null pointer, a shape, a size, a flag */
  SPINFER_BAD_MATRIX = 2,   /* the bytes of a container break its specification */
  SPINFER_UNSUPPORTED = 3,  /* well formed, but not for this build or this GPU */
  SPINFER_CUDA = 4,         /* the CUDA runtime refused; after a fault the process is lost */
  SPINFER_MEMORY = 5,       /* not enough device memory */
  SPINFER_WRONG = 6,        /* a measured product is wrong: see spinfer_measure.h */
  SPINFER_MISSING = 7,      /* a library that is opened at run time is not there */
  SPINFER_NO_GPU = 8        /* no driver, one too old for this build, or no GPU that it shows */
};

/* Codes of the container's header fields. */
enum { SPINFER_F16 = 1, SPINFER_BF16 = 2 };
enum { SPINFER_ORDER_NIBBLE_PLANES = 1 };

/* What a container header says, after every check. */
typedef struct {
  uint32_t rows, cols;      /* of the stored matrix: outputs, inputs */
  uint32_t chunks;          /* 32 x 64 chunks, strip by strip */
  uint32_t max_chunk_bytes; /* measured from the offsets, never read from the file */
  uint64_t nonzeros;        /* stored values */
  uint64_t payload_bytes;
  uint64_t offsets_at; /* byte in the meta tensor where the chunks + 1 offsets start */
  uint8_t value_dtype, value_order, flags, reserved;
} spinfer_meta;

/* A tile-bitmap matrix on the device: the container's own bytes, not repacked. */
typedef struct {
  const void* payload;     /* [device] 16-byte aligned */
  const uint32_t* offsets; /* [device] chunks + 1 starts in 16-byte units, 4-byte aligned */
  uint32_t rows, cols;
  uint32_t max_chunk_bytes; /* from spinfer_meta */
  uint8_t value_dtype, value_order;
  uint16_t reserved; /* 0 */
} spinfer_matrix;

/* How a product is cut up. From spinfer_choose_geometry(); or one of the list, to measure it. */
typedef struct {
  int32_t tokens;        /* rows of x that a block handles at once: 8, 16 or 32 */
  int32_t warps;         /* of a block; they share the columns of one strip */
  int32_t stages;        /* chunks in flight a warp */
  int32_t blocks_per_sm; /* what registers were bounded for */
  int32_t cluster;       /* blocks that share one strip */
  int32_t round_robin;   /* 1: chunk c goes to warp c mod warps; 0: contiguous ranges */
  int32_t copies; /* 0: cp.async (sm_80 and up); from sm_90 on, 1: bulk copies of the weights,
                     2: also of the inputs */
} spinfer_geometry;

/* Flags of spinfer_spmm(). */
enum {
  /* Launch with programmatic dependent launch: weights are fetched while the stream's previous
   * kernel still runs, x is read after it. That kernel must not write the weights. */
  SPINFER_OVERLAP = 1
};

/* Flags of spinfer_validate(). */
enum {
  SPINFER_CHECK_CRC = 1 /* also the CRC-32 of the payload; that of the header always */
};

SPINFER_API int32_t spinfer_abi_version(void);
/* Why this thread's last call failed; valid until its next call. */
SPINFER_API const char* spinfer_last_error(void);
/* SPINFER_OK when the current device can run this build; else the reason and what was built. */
SPINFER_API spinfer_status spinfer_check_device(void);

/* ---- Host: no GPU, no driver needed ---- */

/* Checks every byte of a container that a kernel would rely on: header, offsets, bitmaps against
 * chunk sizes, bits outside the matrix, padding. meta and payload: [host]. */
SPINFER_API spinfer_status spinfer_validate(const void* meta, uint64_t meta_bytes,
                                            const void* payload, uint64_t payload_bytes,
                                            uint32_t flags, spinfer_meta* out);

/* Bytes of the meta tensor and of the payload that `dense` [rows, cols] encodes to. */
SPINFER_API spinfer_status spinfer_host_encoded_bytes(const uint16_t* dense, uint32_t rows,
                                                      uint32_t cols, uint64_t* meta_bytes,
                                                      uint64_t* payload_bytes);
/* Encodes 16-bit values, bit for bit; a value is stored when its bits are not all zero. flags:
 * those of the header (1: the dense tensor of the checkpoint is [cols, rows]). */
SPINFER_API spinfer_status spinfer_host_encode(const uint16_t* dense, uint32_t rows, uint32_t cols,
                                               uint8_t value_dtype, uint8_t flags, void* meta,
                                               uint64_t meta_bytes, void* payload,
                                               uint64_t payload_bytes);
/* Decodes a validated container to dense [rows, cols]. */
SPINFER_API spinfer_status spinfer_host_decode(const spinfer_meta* meta, const uint32_t* offsets,
                                               const void* payload, uint16_t* dense);
/* y[n, rows] = x[n, cols] * W^T in float64 over host pointers, and in `magnitude` (or null) the sum
 * of the absolute products: what an error bound is made of. */
SPINFER_API spinfer_status spinfer_host_spmm(const spinfer_meta* meta, const uint32_t* offsets,
                                             const void* payload, const uint16_t* x, uint32_t n,
                                             double* y, double* magnitude);

/* ---- Device ---- */

/* The geometry that the built-in table gives this shape on the current device; flags as for
 * spinfer_spmm(). */
SPINFER_API spinfer_status spinfer_choose_geometry(const spinfer_matrix* w, uint32_t n,
                                                   uint32_t flags, spinfer_geometry* out);
/* The index-th geometry of this build; SPINFER_BAD_ARGUMENT past the last one. */
SPINFER_API spinfer_status spinfer_list_geometry(int32_t index, spinfer_geometry* out);

/* Bytes of workspace for spinfer_spmm() with this x: 0 unless rows of x must be realigned. */
SPINFER_API spinfer_status spinfer_spmm_workspace(const spinfer_matrix* w, const void* x,
                                                  uint32_t n, uint64_t* bytes);
/* y = x W^T with fp32 sums, the same bits on every run.
 *
 * x [device] n x cols, y [device] n x rows, both row-major, of the matrix's dtype; any rows, cols
 * and n from 1. A weight that is not stored counts as +0: times an infinite or NaN input it gives
 * NaN, as in the dense product. geometry: null for the built-in choice. workspace [device]: 16-byte
 * aligned, as many bytes as spinfer_spmm_workspace() says. stream: a cudaStream_t. */
SPINFER_API spinfer_status spinfer_spmm(const spinfer_matrix* w, const void* x, uint32_t n, void* y,
                                        const spinfer_geometry* geometry, void* workspace,
                                        uint64_t workspace_bytes, uint32_t flags, void* stream);

/* dense [device] rows x cols, row-major: the matrix with its zeros. */
SPINFER_API spinfer_status spinfer_decode(const spinfer_matrix* w, void* dense, void* stream);

/* First step of encoding dense [device]: offsets [device] gets chunks + 1 entries. The last one,
 * times 16, is the size of the payload to allocate for the second step. */
SPINFER_API spinfer_status spinfer_encode_offsets(const void* dense, uint32_t rows, uint32_t cols,
                                                  uint32_t* offsets, void* stream);
/* Second step: fills payload [device] as the offsets of the first step say. */
SPINFER_API spinfer_status spinfer_encode_payload(const void* dense, uint32_t rows, uint32_t cols,
                                                  const uint32_t* offsets, void* payload,
                                                  void* stream);

#ifdef __cplusplus
}
#endif
#endif
