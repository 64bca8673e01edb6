/* Runs spinfer_reader.h over inputs from tests; C11 and C++17.
 *
 *   readerProgram matrices   standard input: inputs of u32 bytes, u32 bytes of weight_meta, u32 1 to
 *                            compare CRCs, weight_meta, payload; a line for each: its code, or
 *                            rows, columns and the CRC-32 of the dense tensor
 *   readerProgram headers    inputs of u32 bytes and a safetensors file; its code or "accepted"
 *   readerProgram folder P   a line for each tensor: name, dtype, shape, CRC-32 of its dense bytes */
#include "../../kernels/include/spinfer_reader.h"

/* The sentence may hold a name, and a name anything: only in `folder`, for people. */
static void print_code(const spinfer_reader_error* error, int with_sentence) {
  printf("%s %s\n", error->code, with_sentence ? error->message : "");
}

static uint32_t dense_crc(const spinfer_reader_matrix* matrix, const uint32_t* offsets,
                          const uint8_t* payload) {
  const uint64_t count = (uint64_t)matrix->rows * matrix->cols;
  uint16_t* dense = (uint16_t*)malloc(2 * count);
  uint8_t* bytes = (uint8_t*)malloc(2 * count);
  uint64_t i, row, col;
  uint32_t crc;
  spinfer_reader_decode(matrix, offsets, payload, dense);
  for (i = 0; i < count; ++i) { /* as the checkpoint's dense tensor has it */
    row = matrix->transposed ? i % matrix->rows : i / matrix->cols;
    col = matrix->transposed ? i / matrix->rows : i % matrix->cols;
    bytes[2 * i] = (uint8_t)(dense[row * matrix->cols + col] & 255);
    bytes[2 * i + 1] = (uint8_t)(dense[row * matrix->cols + col] >> 8);
  }
  crc = spinfer_reader_crc32(0, bytes, 2 * count);
  free(dense);
  free(bytes);
  return crc;
}

static void run_matrix(const uint8_t* input, uint32_t bytes) {
  const uint32_t meta_bytes = spinfer_reader_u32(input);
  const uint32_t flags = spinfer_reader_u32(input + 4) == 1 ? SPINFER_READER_CRC : 0;
  const uint32_t payload_bytes = bytes - 8 - meta_bytes;
  spinfer_reader_matrix matrix;
  spinfer_reader_error error;
  /* exact copies, so that a sanitizer sees a byte too far */
  uint8_t* meta = (uint8_t*)malloc(meta_bytes);
  uint8_t* payload = (uint8_t*)malloc(payload_bytes);
  memcpy(meta, input + 8, meta_bytes);
  memcpy(payload, input + 8 + meta_bytes, payload_bytes);
  if (!spinfer_reader_check_matrix(meta, meta_bytes, payload, payload_bytes, flags, &matrix,
                                   &error)) {
    print_code(&error, 0);
  } else {
    uint32_t* offsets = (uint32_t*)malloc(4 * ((size_t)matrix.chunks + 1));
    uint32_t i;
    for (i = 0; i <= matrix.chunks; ++i) offsets[i] = spinfer_reader_u32(meta + 64 + 4 * i);
    printf("%" PRIu32 " %" PRIu32 " %08" PRIx32 "\n", matrix.rows, matrix.cols,
           dense_crc(&matrix, offsets, payload));
    free(offsets);
  }
  free(meta);
  free(payload);
}

static void run_header(const uint8_t* input, uint32_t bytes) {
  spinfer_reader_error error;
  spinfer_reader_list list = {NULL, 0};
  uint8_t first[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  uint64_t header = 0;
  int good;
  memcpy(first, input, bytes < 8 ? bytes : 8);
  good = spinfer_reader_header_length(first, bytes, &header, &error);
  if (good) {
    uint8_t* text = (uint8_t*)malloc((size_t)header + 1);
    char* arena = (char*)malloc((size_t)header + 1);
    memcpy(text, input + 8, (size_t)header);
    text[header] = 0;
    good = spinfer_reader_parse_header(text, (size_t)header, arena, bytes - 8 - header, &list,
                                       &error);
    free(text);
    free(arena);
  }
  if (!good) spinfer_reader_name_other(input, bytes < 512 ? bytes : 512, &error);
  free(list.tensors);
  if (good) {
    puts("accepted");
  } else {
    print_code(&error, 0);
  }
}

static int run_batch(void (*run)(const uint8_t*, uint32_t)) {
  uint8_t size[4];
  while (fread(size, 1, 4, stdin) == 4) {
    const uint32_t bytes = spinfer_reader_u32(size);
    uint8_t* input = (uint8_t*)malloc(bytes == 0 ? 1 : bytes);
    if (fread(input, 1, bytes, stdin) != bytes) return 1;
    run(input, bytes);
    free(input);
  }
  return 0;
}

static int run_folder(const char* path) {
  spinfer_reader model;
  spinfer_reader_error error;
  size_t i;
  uint32_t d, crc;
  int status = 0;
  if (!spinfer_reader_open(path, &model, &error)) {
    print_code(&error, 1);
    return 3;
  }
  for (i = 0; i < model.tensor_count && status == 0; ++i) {
    const spinfer_reader_tensor* tensor = &model.tensors[i];
    spinfer_reader_weight weight;
    if (tensor->packed) {
      status = spinfer_reader_load(&model, tensor, SPINFER_READER_CRC, &weight, &error) ? 0 : 3;
      if (status != 0) break;
      crc = dense_crc(&weight.matrix, weight.offsets, weight.payload);
      spinfer_reader_free(&weight);
    } else {
      uint8_t* bytes =
          spinfer_reader_bytes(&model, tensor->file, tensor->begin, tensor->end, &error);
      status = bytes != NULL ? 0 : 3;
      if (status != 0) break;
      crc = spinfer_reader_crc32(0, bytes, tensor->end - tensor->begin);
      free(bytes);
    }
    printf("%s %s ", tensor->name, tensor->dtype);
    for (d = 0; d < tensor->dims; ++d) printf("%s%" PRIu64, d > 0 ? "x" : "", tensor->shape[d]);
    printf(" %08" PRIx32 "\n", crc);
  }
  if (status != 0) print_code(&error, 1);
  if (spinfer_reader_find(&model, "no such tensor") != NULL) status = 4;
  spinfer_reader_close(&model);
  return status;
}

int main(int count, char** arguments) {
  if (count == 2 && strcmp(arguments[1], "matrices") == 0) return run_batch(run_matrix);
  if (count == 2 && strcmp(arguments[1], "headers") == 0) return run_batch(run_header);
  if (count == 3 && strcmp(arguments[1], "folder") == 0) return run_folder(arguments[2]);
  fputs("usage: readerProgram matrices | headers | folder PATH\n", stderr);
  return 2;
}
