/* libFuzzer target for spinfer_reader.h. The first byte chooses the parser: the header of a
 * safetensors file, or a packed matrix whose CRCs are not compared, so that damage gets past them.
 * What is accepted is decoded, which a sanitizer watches. */
#include "../../kernels/include/spinfer_reader.h"

static void fuzz_header(const uint8_t* data, size_t size) {
  spinfer_reader_error error;
  spinfer_reader_list list = {NULL, 0};
  uint8_t* text = (uint8_t*)malloc(size + 1);
  char* arena = (char*)malloc(size + 1);
  memcpy(text, data, size);
  text[size] = 0;
  spinfer_reader_other_kind(text, size < 512 ? size : 512);
  /* as many bytes of data as would fit the header, so that layouts are accepted too */
  if (!spinfer_reader_parse_header(text, size, arena, 16, &list, &error) && error.code[0] != 'E') {
    abort();
  }
  free(list.tensors);
  free(text);
  free(arena);
}

static void fuzz_matrix(const uint8_t* data, size_t size) {
  spinfer_reader_error error;
  spinfer_reader_matrix matrix;
  const size_t meta_bytes = size < 64 ? size : 64 + 16 * (size_t)(data[0] & 7);
  uint8_t *meta, *payload;
  if (meta_bytes > size) return;
  meta = (uint8_t*)malloc(meta_bytes + 1);
  payload = (uint8_t*)malloc(size - meta_bytes + 1);
  memcpy(meta, data, meta_bytes);
  /* the magic is not for a fuzzer to find */
  if (meta_bytes >= 64) memcpy(meta, "SPTILEBM\1\0\0\0", 12);
  memcpy(payload, data + meta_bytes, size - meta_bytes);
  if (spinfer_reader_check_matrix(meta, meta_bytes, payload, size - meta_bytes, 0, &matrix,
                                  &error)) {
    uint32_t* offsets = (uint32_t*)malloc(4 * ((size_t)matrix.chunks + 1));
    uint16_t* dense = (uint16_t*)malloc(2 * (size_t)matrix.rows * matrix.cols);
    uint32_t i;
    for (i = 0; i <= matrix.chunks; ++i) offsets[i] = spinfer_reader_u32(meta + 64 + 4 * i);
    spinfer_reader_decode(&matrix, offsets, payload, dense);
    free(offsets);
    free(dense);
  }
  free(meta);
  free(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  if (data[0] & 1) {
    fuzz_header(data + 1, size - 1);
  } else {
    fuzz_matrix(data + 1, size - 1);
  }
  return 0;
}
