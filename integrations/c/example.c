/* Loads a tile-bitmap checkpoint and multiplies with each of its packed weights through the C ABI.
 *
 *   example FOLDER [MODULE]     all packed weights, or MODULE.weight alone
 *
 * The product is that of the host; built with -DSPINFER_EXAMPLE_CUDA, that of the GPU as well. Each
 * is compared with a product of the weight decoded by spinfer_reader.h, one row after the other.
 * The CRC-32 that is printed is of the decoded weight, as the dense tensor of a checkpoint has it.
 *
 *   cc -std=c11 -O2 -I kernels/include integrations/c/example.c -L kernels/build -lspinfer -lm */
#include "spinfer_reader.h"

#include "spinfer.h"

#include <math.h>
#include <time.h>

#ifdef SPINFER_EXAMPLE_CUDA
#include <cuda_runtime_api.h>
#endif

enum { TOKENS = 4 };

/* Halves as numbers, bit by bit: IEEE 754 binary16, or the upper half of binary32. */
static double number(uint16_t bits, uint8_t dtype) {
  const int wide = dtype == SPINFER_READER_BF16 ? 7 : 10; /* bits of the fraction */
  const int bias = dtype == SPINFER_READER_BF16 ? 127 : 15;
  const int exponent = bits >> wide & (2 * bias + 1);
  const double fraction = ldexp(bits & ((1 << wide) - 1), -wide);
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == 2 * bias + 1) return fraction == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * ldexp(fraction, 1 - bias);
  return sign * ldexp(1 + fraction, exponent - bias);
}

/* Small whole numbers, which both dtypes hold exactly. */
static uint16_t input(uint64_t i, uint8_t dtype) {
  static const uint16_t f16[] = {0x3c00, 0xbc00, 0x4000, 0x0000, 0x3800};  /* 1 -1 2 0 0.5 */
  static const uint16_t bf16[] = {0x3f80, 0xbf80, 0x4000, 0x0000, 0x3f00}; /* the same */
  return dtype == SPINFER_READER_BF16 ? bf16[i % 5] : f16[i % 5];
}

/* Largest |y - W x| in units of the sum of absolute products; 0 where nothing is added. */
static double largest_error(const spinfer_reader_weight* weight, const uint16_t* x,
                            const double* y) {
  const spinfer_reader_matrix* matrix = &weight->matrix;
  uint16_t* strip = (uint16_t*)malloc(32 * sizeof *strip * matrix->cols);
  double largest = strip == NULL ? INFINITY : 0;
  uint32_t row, token;
  uint64_t col;
  for (row = 0; strip != NULL && row < matrix->rows; ++row) {
    const uint16_t* values = strip + (uint64_t)(row % 32) * matrix->cols;
    if (row % 32 == 0) {
      spinfer_reader_decode_strips(matrix, weight->offsets, weight->payload, row / 32, row / 32 + 1,
                                   strip);
    }
    for (token = 0; token < TOKENS; ++token) {
      double sum = 0, magnitude = 0;
      for (col = 0; col < matrix->cols; ++col) {
        const double product = number(values[col], matrix->value_dtype) *
                               number(x[token * (uint64_t)matrix->cols + col], matrix->value_dtype);
        sum += product;
        magnitude += fabs(product);
      }
      if (magnitude > 0) {
        const double error = fabs(y[token * (uint64_t)matrix->rows + row] - sum) / magnitude;
        if (!(error <= largest)) largest = error;
      }
    }
  }
  free(strip);
  return largest;
}

/* CRC-32 of the decoded weight, as the dense tensor has it; 0 when there is no memory for it. */
static uint32_t crc_of_values(const spinfer_reader_weight* weight) {
  const spinfer_reader_matrix* matrix = &weight->matrix;
  const uint64_t count = (uint64_t)matrix->rows * matrix->cols;
  uint16_t* values = (uint16_t*)malloc(2 * count);
  uint16_t* turned = matrix->transposed ? (uint16_t*)malloc(2 * count) : values;
  uint32_t crc = 0;
  uint64_t i;
  if (values != NULL && turned != NULL) {
    spinfer_reader_decode(matrix, weight->offsets, weight->payload, values);
    for (i = 0; matrix->transposed && i < count; ++i)
      turned[i % matrix->cols * matrix->rows + i / matrix->cols] = values[i];
    crc = spinfer_reader_crc32(0, (const uint8_t*)turned, 2 * count);
  }
  if (turned != values) free(turned);
  free(values);
  return crc;
}

/* What spinfer_validate() says of bytes that the reader has accepted: the two must agree. */
static int describe(const spinfer_reader_weight* weight, spinfer_meta* out) {
  return spinfer_validate(weight->meta, weight->meta_bytes, weight->payload,
                          weight->matrix.payload_bytes, SPINFER_CHECK_CRC, out) == SPINFER_OK;
}

#ifdef SPINFER_EXAMPLE_CUDA
/* y = W x on the current GPU, widened; 0 when something was refused, with the reason printed. */
static int multiply_on_gpu(const spinfer_reader_weight* weight, const spinfer_meta* meta,
                           const uint16_t* x, double* y) {
  const uint64_t x_bytes = 2 * (uint64_t)TOKENS * meta->cols;
  const uint64_t y_bytes = 2 * (uint64_t)TOKENS * meta->rows;
  const uint64_t offsets_bytes = 4 * ((uint64_t)meta->chunks + 1);
  void *payload = NULL, *offsets = NULL, *inputs = NULL, *outputs = NULL, *workspace = NULL;
  uint16_t* halves = (uint16_t*)malloc(y_bytes);
  uint64_t needed = 0, i;
  spinfer_matrix matrix;
  int good = halves != NULL && cudaMalloc(&payload, meta->payload_bytes) == cudaSuccess &&
             cudaMalloc(&offsets, offsets_bytes) == cudaSuccess &&
             cudaMalloc(&inputs, x_bytes) == cudaSuccess &&
             cudaMalloc(&outputs, y_bytes) == cudaSuccess;
  memset(&matrix, 0, sizeof matrix);
  matrix.payload = payload;
  matrix.offsets = (const uint32_t*)offsets;
  matrix.rows = meta->rows;
  matrix.cols = meta->cols;
  matrix.max_chunk_bytes = meta->max_chunk_bytes;
  matrix.value_dtype = meta->value_dtype;
  matrix.value_order = meta->value_order;
  good = good &&
         cudaMemcpy(payload, weight->payload, meta->payload_bytes, cudaMemcpyHostToDevice) ==
             cudaSuccess &&
         cudaMemcpy(offsets, weight->offsets, offsets_bytes, cudaMemcpyHostToDevice) ==
             cudaSuccess &&
         cudaMemcpy(inputs, x, x_bytes, cudaMemcpyHostToDevice) == cudaSuccess;
  good = good && spinfer_spmm_workspace(&matrix, inputs, TOKENS, &needed) == SPINFER_OK &&
         (needed == 0 || cudaMalloc(&workspace, needed) == cudaSuccess) &&
         spinfer_spmm(&matrix, inputs, TOKENS, outputs, NULL, workspace, needed, 0, NULL) ==
             SPINFER_OK &&
         cudaMemcpy(halves, outputs, y_bytes, cudaMemcpyDeviceToHost) == cudaSuccess;
  for (i = 0; good && i < (uint64_t)TOKENS * meta->rows; ++i)
    y[i] = number(halves[i], meta->value_dtype);
  if (!good) {
    printf("  GPU: %s; %s\n", spinfer_last_error(), cudaGetErrorString(cudaGetLastError()));
  }
  cudaFree(workspace);
  cudaFree(outputs);
  cudaFree(inputs);
  cudaFree(offsets);
  cudaFree(payload);
  free(halves);
  return good;
}

/* A half's rounding of the result, in units of the sum of absolute products, is at most this. */
static int check_on_gpu(const spinfer_reader_weight* weight, const spinfer_meta* meta,
                        const uint16_t* x, double* y) {
  const double allowed = meta->value_dtype == SPINFER_BF16 ? 1.0 / 128 : 1.0 / 1024;
  double error;
  if (spinfer_check_device() != SPINFER_OK) {
    printf("  no GPU: %s\n", spinfer_last_error());
    return 1;
  }
  if (!multiply_on_gpu(weight, meta, x, y)) return 0;
  error = largest_error(weight, x, y);
  printf("  GPU: largest error %.1e\n", error);
  return error <= allowed;
}
#endif

typedef struct {
  double loading, products;
} times;

/* Processor seconds since `began`. */
static double since(clock_t began) { return (double)(clock() - began) / CLOCKS_PER_SEC; }

/* *spent grows by the time of loading and checking the weight, and of the library's product. */
static int run(const spinfer_reader* model, const spinfer_reader_tensor* tensor, times* spent) {
  spinfer_reader_error error;
  spinfer_reader_weight weight;
  spinfer_meta meta;
  clock_t began = clock();
  uint16_t* x;
  double *y, largest;
  uint64_t i;
  int good;
  if (!spinfer_reader_load(model, tensor, SPINFER_READER_CRC, &weight, &error)) {
    fprintf(stderr, "error[%s]: %s: %s\n", error.code, tensor->name, error.message);
    return 0;
  }
  spent->loading += since(began);
  x = (uint16_t*)malloc(sizeof *x * TOKENS * weight.matrix.cols);
  y = (double*)malloc(sizeof *y * TOKENS * weight.matrix.rows);
  good = x != NULL && y != NULL && describe(&weight, &meta);
  for (i = 0; good && i < (uint64_t)TOKENS * weight.matrix.cols; ++i)
    x[i] = input(i, weight.matrix.value_dtype);
  began = clock();
  good = good && spinfer_host_spmm(&meta, weight.offsets, weight.payload, x, TOKENS, y, NULL) ==
                     SPINFER_OK;
  spent->products += since(began);
  if (good) {
    largest = largest_error(&weight, x, y);
    printf("%s: %" PRIu32 " x %" PRIu32 ", %.1f %% zeros, largest error %.1e, CRC-32 %08" PRIx32
           "\n",
           tensor->name, meta.rows, meta.cols,
           100 - 100.0 * (double)meta.nonzeros / ((double)meta.rows * meta.cols), largest,
           crc_of_values(&weight));
    good = largest <= 1e-12;
#ifdef SPINFER_EXAMPLE_CUDA
    good = good && check_on_gpu(&weight, &meta, x, y);
#endif
  } else {
    fprintf(stderr, "error: %s: %s\n", tensor->name, spinfer_last_error());
  }
  free(x);
  free(y);
  spinfer_reader_free(&weight);
  return good;
}

/* MODULE.weight, as the name of a tensor. */
static int is_wanted(const char* name, const char* module) {
  const size_t length = module == NULL ? 0 : strlen(module);
  return module == NULL ||
         (strncmp(name, module, length) == 0 && strcmp(name + length, ".weight") == 0);
}

int main(int count, char** arguments) {
  const char* module = count == 3 ? arguments[2] : NULL;
  spinfer_reader model;
  spinfer_reader_error error;
  size_t i, products = 0;
  times spent = {0, 0};
  int good = 1;
  if (count != 2 && count != 3) {
    fputs("usage: example FOLDER [MODULE]\n", stderr);
    return 2;
  }
  if (!spinfer_reader_open(arguments[1], &model, &error)) {
    fprintf(stderr, "error[%s]: %s: %s\n", error.code, arguments[1], error.message);
    return 3;
  }
  for (i = 0; good && i < model.tensor_count; ++i) {
    const spinfer_reader_tensor* tensor = &model.tensors[i];
    if (!tensor->packed || !is_wanted(tensor->name, module)) continue;
    good = run(&model, tensor, &spent);
    ++products;
  }
  printf("%zu products, ABI %d, %.3f s for %d tokens, %.3f s to load\n", products,
         (int)spinfer_abi_version(), spent.products, TOKENS, spent.loading);
  spinfer_reader_close(&model);
  return good && products > 0 ? 0 : 1;
}
