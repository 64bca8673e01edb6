/* Measuring the products of spinfer.h against dense ones on the same shapes, in one process.
 *
 * Unlike the operations, a session allocates device memory (its own, freed when it is closed) and
 * every function waits for the GPU. One session is used by one thread at a time. cuBLAS, cuSPARSELt
 * and NVML are opened at run time; without them only what needs them is SPINFER_MISSING.
 * SPINFER_CUDA_LIBRARIES may name folders to look in first, separated by ':'. */
#ifndef SPINFER_MEASURE_H
#define SPINFER_MEASURE_H

#include "spinfer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The current GPU. Texts end with a zero; what NVML would say is 0 or "" without it. */
typedef struct {
  char name[96];
  char uuid[48];
  char driver[32];
  uint64_t memory_bytes, free_memory_bytes, l2_bytes;
  int32_t major, minor; /* compute capability */
  int32_t sms;
  int32_t sm_clock_mhz, sm_clock_max_mhz, memory_clock_mhz; /* the first and third: now */
  int32_t power_limit_w, temperature_c;
  int32_t runtime_version, driver_version; /* CUDA, 1000 x major + 10 x minor */
} spinfer_gpu;

SPINFER_API spinfer_status spinfer_describe_gpu(spinfer_gpu* out);

typedef struct spinfer_session spinfer_session;

SPINFER_API spinfer_status spinfer_session_open(spinfer_session** out);
SPINFER_API void spinfer_session_close(spinfer_session* session);

/* Masks of synthetic weights. Random: each weight alone. Wanda: |w| times a log-normal column norm,
 * the exact share in every row. Columns: the same with norms so uneven that whole columns stay or
 * go. 2:4: two of every four, whatever the sparsity. Strips: every other strip of 32 rows empty,
 * the others random. */
enum {
  SPINFER_MASK_RANDOM = 0,
  SPINFER_MASK_WANDA = 1,
  SPINFER_MASK_COLUMNS = 2,
  SPINFER_MASK_2_4 = 3,
  SPINFER_MASK_STRIPS = 4
};

typedef struct {
  uint32_t rows, cols;
  uint64_t seed;
  double sparsity; /* 0 to 1 */
  uint8_t value_dtype, mask;
  uint16_t reserved; /* 0 */
} spinfer_synthetic;

typedef struct {
  uint64_t nonzeros, payload_bytes, offsets_bytes, dense_bytes;
  uint32_t rows, cols;
  uint32_t max_chunk_bytes, reserved;
} spinfer_weights;

/* The weights that everything below works on, in place of the ones before: drawn on the device... */
SPINFER_API spinfer_status spinfer_session_draw(spinfer_session* session,
                                                const spinfer_synthetic* request,
                                                spinfer_weights* out);
/* ... or a container's bytes [host], validated first. */
SPINFER_API spinfer_status spinfer_session_load(spinfer_session* session, const void* meta,
                                                uint64_t meta_bytes, const void* payload,
                                                uint64_t payload_bytes, spinfer_weights* out);

/* y [host] n x rows = x [host] n x cols times W^T with the loaded weights. */
SPINFER_API spinfer_status spinfer_session_multiply(spinfer_session* session, const uint16_t* x,
                                                    uint32_t n, uint16_t* y,
                                                    const spinfer_geometry* geometry,
                                                    uint32_t flags);
/* The weights with their zeros: dense [host] rows x cols. */
SPINFER_API spinfer_status spinfer_session_decode(spinfer_session* session, uint16_t* dense);

/* What is measured. */
enum {
  SPINFER_MEASURE_SPARSE = 0,       /* spinfer_spmm() */
  SPINFER_MEASURE_DENSE_LT = 1,     /* the fastest of cuBLASLt's heuristics */
  SPINFER_MEASURE_DENSE_GEMM = 2,   /* cublasGemmEx, its own choice */
  SPINFER_MEASURE_DENSE_GEMV = 3,   /* our dense matrix-vector product; n = 1 only */
  SPINFER_MEASURE_2_4 = 4,          /* cuSPARSELt on the weights cut to two of four; n is padded to 8s */
  SPINFER_MEASURE_STREAM_LIMIT = 5, /* the container's bytes copied to shared memory and read once */
  SPINFER_MEASURE_DECODE = 6,       /* spinfer_decode() */
  SPINFER_MEASURE_ENCODE = 7        /* both steps of encoding, into memory that is there */
};

enum { SPINFER_SAMPLES = 9 };

typedef struct {
  double median_us, mean_us, deviation_us; /* a call */
  double samples_us[SPINFER_SAMPLES];      /* sorted; one a replay of many calls */
  double joules;                           /* a call, over `energy_seconds`; 0: not measured */
  double energy_us;                        /* a call, in the energy loop */
  double largest_error;                    /* |y - float64 product| over its bound; at most 1 */
  int32_t calls;                           /* in a replay */
  int32_t candidates;                      /* timed; the fastest is reported */
  int32_t rejected;                        /* not timed: their product was wrong */
  int32_t sm_clock_mhz;                    /* in the energy loop */
  spinfer_geometry geometry;               /* of a sparse product */
} spinfer_measurement;

/* Times one kind of product with fresh random inputs of n tokens.
 *
 * Cold L2: weights and offsets rotate over enough copies to pass four times an H100's cache. Calls
 * are replayed as a CUDA graph; warm-up, then SPINFER_SAMPLES replays. Before that the product is
 * checked against float64 on a poisoned output: SPINFER_WRONG when none is right. geometry: null
 * for the built-in choice. flags: SPINFER_OVERLAP. energy_seconds: 0, or how long to repeat the
 * fastest for the energy that NVML counts. */
SPINFER_API spinfer_status spinfer_session_measure(spinfer_session* session, int32_t what,
                                                   uint32_t n, const spinfer_geometry* geometry,
                                                   uint32_t flags, double energy_seconds,
                                                   spinfer_measurement* out);

#ifdef __cplusplus
}
#endif
#endif
