/* Reads tile-bitmap checkpoints: header-only, C11 and C++17, nothing but the C library.
 *
 *   spinfer_reader model;
 *   spinfer_reader_error error;
 *   if (!spinfer_reader_open("folder", &model, &error)) { puts(error.message); ... }
 *   const spinfer_reader_tensor* w = spinfer_reader_find(&model, "model.layers.0.mlp.up_proj.weight");
 *   spinfer_reader_weight weight;
 *   if (!spinfer_reader_load(&model, w, SPINFER_READER_CRC, &weight, &error)) ...
 *   uint16_t* dense = malloc(2 * weight.matrix.rows * weight.matrix.cols);
 *   spinfer_reader_decode(&weight.matrix, weight.offsets, weight.payload, dense);
 *
 * Trust   none: files are attacker input. Headers, shapes, offsets, bitmaps and padding are checked
 *         before they are used (formats/tile-bitmap/SPEC.md, section 9); every refusal has a code
 *         of docs/errors and a sentence
 * Memory  headers, and one weight at a time: its payload and offsets
 * Bytes   little-endian ones, read as such on every machine */
#ifndef SPINFER_READER_H
#define SPINFER_READER_H

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Also compare the CRC-32s of header and payload. Structure is always checked. */
enum { SPINFER_READER_CRC = 1 };
enum { SPINFER_READER_F16 = 1, SPINFER_READER_BF16 = 2 };
enum { SPINFER_READER_MAX_DIMS = 8 };
/* Of one tensor. */
#define SPINFER_READER_MAX_DENSE_BYTES (64ull << 30)

typedef struct {
  const char* code; /* "E_TB_OFFSETS" and so on; "" when there was no error */
  char message[256];
} spinfer_reader_error;

/* A checked header of a packed matrix. */
typedef struct {
  uint32_t rows, cols; /* outputs, inputs */
  uint32_t chunks, across;
  uint32_t max_chunk_bytes; /* 0 until the offsets are checked */
  uint32_t payload_crc;
  uint64_t nonzeros, payload_bytes;
  uint8_t value_dtype, transposed; /* transposed: the dense tensor is [cols, rows] */
} spinfer_reader_matrix;

/* A tensor of the model; a packed weight is one tensor. */
typedef struct {
  const char* name; /* UTF-8, NUL-terminated; it may hold NULs before that */
  size_t name_bytes;
  char dtype[16]; /* of the dense tensor */
  uint32_t dims;
  uint64_t shape[SPINFER_READER_MAX_DIMS]; /* of the dense tensor */
  uint32_t file;                           /* index of its file */
  uint64_t begin, end;                     /* of its bytes in the file: a packed one's payload */
  int packed;
  uint32_t meta_file; /* where the weight_meta of a packed one is */
  uint64_t meta_begin, meta_end;
  spinfer_reader_matrix matrix; /* of a packed one */
} spinfer_reader_tensor;

typedef struct {
  char** files; /* paths */
  uint32_t file_count;
  spinfer_reader_tensor* tensors;
  size_t tensor_count;
  char** arenas; /* names, one arena for each file */
} spinfer_reader;

/* A packed weight in memory, checked. */
typedef struct {
  spinfer_reader_matrix matrix;
  uint8_t* meta;
  uint64_t meta_bytes;
  uint8_t* payload;  /* aligned as malloc aligns, at least to 8 bytes */
  uint32_t* offsets; /* chunks + 1 starts in units of 16 bytes */
} spinfer_reader_weight;

/* ---- Errors ---- */

static inline void spinfer_reader_tell(spinfer_reader_error* error, const char* code,
                                       const char* format, ...) {
  va_list arguments;
  error->code = code;
  va_start(arguments, format);
  vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
}

/* A refusal as a value: 0, which compilers must see, or they warn of what it leaves unset. */
#define spinfer_reader_fail(...) (spinfer_reader_tell(__VA_ARGS__), 0)
#define spinfer_reader_json_fail(...) (spinfer_reader_json_tell(__VA_ARGS__), 0)

/* ---- Little-endian numbers ---- */

static inline uint32_t spinfer_reader_u16(const uint8_t* at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}
static inline uint32_t spinfer_reader_u32(const uint8_t* at) {
  return spinfer_reader_u16(at) | spinfer_reader_u16(at + 2) << 16;
}
static inline uint64_t spinfer_reader_u64(const uint8_t* at) {
  return (uint64_t)spinfer_reader_u32(at) | (uint64_t)spinfer_reader_u32(at + 4) << 32;
}
static inline uint32_t spinfer_reader_popcount(uint32_t x) {
  x -= x >> 1 & 0x55555555u;
  x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
  return (((x + (x >> 4)) & 0x0f0f0f0fu) * 0x01010101u) >> 24;
}

/* CRC-32 of zlib, eight bytes at a time; `crc` continues an earlier one. */
static inline uint32_t spinfer_reader_crc32(uint32_t crc, const uint8_t* bytes, uint64_t count) {
  uint32_t table[8][256];
  uint32_t i, k;
  for (i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (k = 0; k < 8; ++k) c = c >> 1 ^ (0xedb88320u & (0u - (c & 1)));
    table[0][i] = c;
  }
  for (i = 0; i < 256; ++i) {
    for (k = 1; k < 8; ++k) table[k][i] = table[0][table[k - 1][i] & 255] ^ table[k - 1][i] >> 8;
  }
  crc = ~crc;
  for (; count >= 8; bytes += 8, count -= 8) {
    const uint32_t low = crc ^ spinfer_reader_u32(bytes), high = spinfer_reader_u32(bytes + 4);
    crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^
          table[4][low >> 24] ^ table[3][high & 255] ^ table[2][high >> 8 & 255] ^
          table[1][high >> 16 & 255] ^ table[0][high >> 24];
  }
  for (; count > 0; ++bytes, --count) crc = table[0][(crc ^ *bytes) & 255] ^ crc >> 8;
  return ~crc;
}

/* ---- A packed matrix ---- */

/* Bit 4m + j of lane 4g + t stands for row g + 8(j >> 1), column 16t + 2m + (j & 1) of a block. */
static inline uint32_t spinfer_reader_row(uint32_t lane, uint32_t bit) {
  return (lane >> 2) + 4 * (bit & 2);
}
static inline uint32_t spinfer_reader_col(uint32_t lane, uint32_t bit) {
  return 16 * (lane & 3) + 2 * (bit >> 2) + (bit & 1);
}

/* Checks the first 64 bytes of a weight_meta of meta_bytes bytes. */
static inline int spinfer_reader_check_header(const uint8_t* meta, uint64_t meta_bytes,
                                              spinfer_reader_matrix* out,
                                              spinfer_reader_error* error) {
  const uint64_t most = (uint64_t)0xffffffffu * 16;
  uint64_t chunks;
  memset(out, 0, sizeof *out);
  if (meta_bytes < 64) {
    return spinfer_reader_fail(error, "E_TB_LAYOUT", "weight_meta has %" PRIu64 " bytes",
                               meta_bytes);
  }
  if (memcmp(meta, "SPTILEBM", 8) != 0)
    return spinfer_reader_fail(error, "E_TB_LAYOUT", "weight_meta does not begin with its magic");
  if (spinfer_reader_u16(meta + 8) != 1 || spinfer_reader_u16(meta + 10) > 0) {
    return spinfer_reader_fail(error, "E_TB_VERSION",
                               "tile-bitmap version %" PRIu32 ".%" PRIu32
                               " is not supported, expected 1.0",
                               spinfer_reader_u16(meta + 8), spinfer_reader_u16(meta + 10));
  }
  if (meta[12] != SPINFER_READER_F16 && meta[12] != SPINFER_READER_BF16)
    return spinfer_reader_fail(error, "E_TB_LAYOUT", "value dtype code %d", meta[12]);
  if (meta[13] != 1) return spinfer_reader_fail(error, "E_TB_LAYOUT", "value order %d", meta[13]);
  if (meta[14] != 0) return spinfer_reader_fail(error, "E_TB_LAYOUT", "scale kind %d", meta[14]);
  if (meta[15] > 1) return spinfer_reader_fail(error, "E_TB_LAYOUT", "flags %d", meta[15]);
  if (spinfer_reader_u32(meta + 52) != 0)
    return spinfer_reader_fail(error, "E_TB_LAYOUT", "a reserved field is not zero");
  out->rows = spinfer_reader_u32(meta + 16);
  out->cols = spinfer_reader_u32(meta + 20);
  if (out->rows - 1u > 0x7ffffffeu || out->cols - 1u > 0x7ffffffeu) {
    return spinfer_reader_fail(error, "E_TB_LAYOUT", "shape %" PRIu32 " x %" PRIu32, out->rows,
                               out->cols);
  }
  if (spinfer_reader_u16(meta + 24) != 32 || spinfer_reader_u16(meta + 26) != 64)
    return spinfer_reader_fail(error, "E_TB_LAYOUT", "chunks of another size than 32 x 64");
  if (spinfer_reader_u32(meta + 28) != 64)
    return spinfer_reader_fail(error, "E_TB_LAYOUT", "a header of another size than 64 bytes");
  out->across = (out->cols + 63) / 64;
  chunks = (uint64_t)((out->rows + 31) / 32) * out->across;
  out->chunks = spinfer_reader_u32(meta + 48);
  if (out->chunks != chunks || meta_bytes != (64 + 4 * (chunks + 1) + 15) / 16 * 16) {
    return spinfer_reader_fail(error, "E_TB_LAYOUT",
                               "%" PRIu32 " chunks and %" PRIu64 " bytes for %" PRIu32 " x %" PRIu32,
                               out->chunks, meta_bytes, out->rows, out->cols);
  }
  out->payload_bytes = spinfer_reader_u64(meta + 40);
  out->nonzeros = spinfer_reader_u64(meta + 32);
  if (out->payload_bytes > most || out->nonzeros > most ||
      out->nonzeros > (uint64_t)out->rows * out->cols) {
    return spinfer_reader_fail(error, "E_TB_COUNT",
                               "%" PRIu64 " nonzeros and a payload of %" PRIu64 " bytes",
                               out->nonzeros, out->payload_bytes);
  }
  out->value_dtype = meta[12];
  out->transposed = meta[15];
  out->payload_crc = spinfer_reader_u32(meta + 56);
  return 1;
}

/* Checks a whole weight_meta. What it says can be trusted as far as the payload's length. */
static inline int spinfer_reader_check_meta(const uint8_t* meta, uint64_t meta_bytes,
                                            uint32_t flags, spinfer_reader_matrix* out,
                                            spinfer_reader_error* error) {
  static const uint8_t zeros[4] = {0, 0, 0, 0};
  uint64_t at;
  uint32_t chunk, before, longest = 0;
  if (!spinfer_reader_check_header(meta, meta_bytes, out, error)) return 0;
  before = spinfer_reader_u32(meta + 64);
  if (before != 0)
    return spinfer_reader_fail(error, "E_TB_OFFSETS", "the first offset is %" PRIu32, before);
  for (chunk = 0; chunk < out->chunks; ++chunk) {
    const uint32_t next = spinfer_reader_u32(meta + 68 + 4 * (uint64_t)chunk);
    if (next < before || next - before < 16 || next - before > 272) {
      return spinfer_reader_fail(error, "E_TB_OFFSETS",
                                 "chunk %" PRIu32 " goes from %" PRIu32 " to %" PRIu32, chunk,
                                 before, next);
    }
    if (next - before > longest) longest = next - before;
    before = next;
  }
  if ((uint64_t)before * 16 != out->payload_bytes) {
    return spinfer_reader_fail(error, "E_TB_COUNT",
                               "the offsets end at %" PRIu64 ", the payload at %" PRIu64,
                               (uint64_t)before * 16, out->payload_bytes);
  }
  for (at = 64 + 4 * ((uint64_t)out->chunks + 1); at < meta_bytes; ++at) {
    if (meta[at] != 0)
      return spinfer_reader_fail(error, "E_TB_PADDING", "weight_meta byte %" PRIu64, at);
  }
  if (flags & SPINFER_READER_CRC) {
    uint32_t crc = spinfer_reader_crc32(0, meta, 60);
    crc = spinfer_reader_crc32(crc, zeros, 4);
    crc = spinfer_reader_crc32(crc, meta + 64, meta_bytes - 64);
    if (crc != spinfer_reader_u32(meta + 60))
      return spinfer_reader_fail(error, "E_HASH", "weight_meta does not match its CRC-32");
  }
  out->max_chunk_bytes = 16 * longest;
  return 1;
}

/* Values of a chunk of `bytes` bytes, of which rows x cols weights lie in the matrix; or -1. */
static inline int32_t spinfer_reader_check_chunk(const uint8_t* chunk, uint32_t bytes,
                                                 uint32_t index, uint32_t rows, uint32_t cols,
                                                 spinfer_reader_error* error) {
  uint32_t count = 0, word, bit, at;
  for (word = 0; word < 64; ++word) {
    count += spinfer_reader_popcount(spinfer_reader_u32(chunk + 4 * word));
  }
  if ((256 + 2 * count + 15) / 16 * 16 != bytes) {
    spinfer_reader_tell(error, "E_TB_POPCOUNT",
                        "the bitmaps of chunk %" PRIu32 " have %" PRIu32 " bits, its size is %" PRIu32,
                        index, count, bytes);
    return -1;
  }
  for (at = 256; at < 256 + 2 * count; at += 2) {
    if (chunk[at] == 0 && chunk[at + 1] == 0) {
      spinfer_reader_tell(error, "E_TB_ZERO", "chunk %" PRIu32 " stores a zero", index);
      return -1;
    }
  }
  for (; at < bytes; ++at) {
    if (chunk[at] != 0) {
      spinfer_reader_tell(error, "E_TB_PADDING", "the padding of chunk %" PRIu32, index);
      return -1;
    }
  }
  if (rows >= 32 && cols >= 64) return (int32_t)count;
  for (word = 0; word < 64; ++word) {
    const uint32_t bits = spinfer_reader_u32(chunk + 4 * word);
    for (bit = 0; bit < 32; ++bit) {
      if ((bits >> bit & 1) == 0) continue;
      if (spinfer_reader_row(word & 31, bit) + 16 * (word >> 5) < rows &&
          spinfer_reader_col(word & 31, bit) < cols) {
        continue;
      }
      spinfer_reader_tell(error, "E_TB_PADDING", "chunk %" PRIu32 " has a bit beyond the matrix",
                          index);
      return -1;
    }
  }
  return (int32_t)count;
}

/* Checks a packed matrix completely. Nothing in it may be used before. */
static inline int spinfer_reader_check_matrix(const uint8_t* meta, uint64_t meta_bytes,
                                              const uint8_t* payload, uint64_t payload_bytes,
                                              uint32_t flags, spinfer_reader_matrix* out,
                                              spinfer_reader_error* error) {
  uint64_t nonzeros = 0;
  uint32_t chunk;
  if (!spinfer_reader_check_meta(meta, meta_bytes, flags, out, error)) return 0;
  if (payload_bytes != out->payload_bytes) {
    return spinfer_reader_fail(error, "E_TB_ALIGN",
                               "the payload has %" PRIu64 " bytes, expected %" PRIu64,
                               payload_bytes, out->payload_bytes);
  }
  for (chunk = 0; chunk < out->chunks; ++chunk) {
    const uint64_t begin = (uint64_t)16 * spinfer_reader_u32(meta + 64 + 4 * (uint64_t)chunk);
    const uint64_t end = (uint64_t)16 * spinfer_reader_u32(meta + 68 + 4 * (uint64_t)chunk);
    const int32_t values = spinfer_reader_check_chunk(
        payload + begin, (uint32_t)(end - begin), chunk, out->rows - chunk / out->across * 32,
        out->cols - chunk % out->across * 64, error);
    if (values < 0) return 0;
    nonzeros += (uint32_t)values;
  }
  if (nonzeros != out->nonzeros) {
    return spinfer_reader_fail(error, "E_TB_COUNT",
                               "%" PRIu64 " nonzeros are declared and %" PRIu64 " stored",
                               out->nonzeros, nonzeros);
  }
  if ((flags & SPINFER_READER_CRC) != 0 &&
      spinfer_reader_crc32(0, payload, payload_bytes) != out->payload_crc) {
    return spinfer_reader_fail(error, "E_HASH", "the payload does not match its CRC-32");
  }
  return 1;
}

/* The values of strips first..last-1 of a checked matrix, row-major with `cols` columns: rows
 * 32 first up to 32 last, or to the end of the matrix. dense: (rows of them) x cols. */
static inline void spinfer_reader_decode_strips(const spinfer_reader_matrix* matrix,
                                                const uint32_t* offsets, const uint8_t* payload,
                                                uint32_t first, uint32_t last, uint16_t* dense) {
  const uint64_t cols = matrix->cols;
  const uint64_t row_begin = (uint64_t)first * 32;
  uint64_t row_end = (uint64_t)last * 32;
  uint64_t chunk;
  if (row_end > matrix->rows) row_end = matrix->rows;
  memset(dense, 0, (size_t)((row_end - row_begin) * cols * 2));
  for (chunk = (uint64_t)first * matrix->across; chunk < (uint64_t)last * matrix->across; ++chunk) {
    const uint8_t* bitmap = payload + (uint64_t)16 * offsets[chunk];
    const uint8_t* value = bitmap + 256;
    const uint64_t row = chunk / matrix->across * 32 - row_begin;
    const uint64_t col = chunk % matrix->across * 64;
    uint32_t block, plane, t, g, j;
    for (block = 0; block < 2; ++block) {
      for (plane = 0; plane < 8; ++plane) {
        for (t = 0; t < 4; ++t) {
          for (g = 0; g < 8; ++g) {
            const uint32_t lane = 4 * g + t;
            const uint32_t bits = spinfer_reader_u32(bitmap + 128 * block + 4 * lane) >> 4 * plane;
            for (j = 0; j < 4; ++j) {
              if ((bits >> j & 1) == 0) continue;
              dense[(row + 16 * block + g + 8 * (j >> 1)) * cols + col + 16 * t + 2 * plane +
                    (j & 1)] = (uint16_t)spinfer_reader_u16(value);
              value += 2;
            }
          }
        }
      }
    }
  }
}

/* All of a checked matrix: dense [rows, cols], outputs first even where the flag says transposed. */
static inline void spinfer_reader_decode(const spinfer_reader_matrix* matrix,
                                         const uint32_t* offsets, const uint8_t* payload,
                                         uint16_t* dense) {
  spinfer_reader_decode_strips(matrix, offsets, payload, 0, (matrix->rows + 31) / 32, dense);
}

/* ---- JSON (RFC 8259), walked in place ---- */

typedef struct {
  const uint8_t* text; /* followed by a NUL */
  size_t bytes, at;
  int depth;
  char* arena; /* decoded strings; as large as the text */
  size_t arena_used;
  spinfer_reader_error* error;
  const char* code_syntax; /* codes of this kind of file */
  const char* code_type;
  const char* code_duplicate;
  const char* code_utf8;
} spinfer_reader_json;

typedef struct {
  const char* text; /* in the arena, NUL-terminated */
  size_t bytes;
} spinfer_reader_text;

static inline void spinfer_reader_json_tell(spinfer_reader_json* json, const char* code,
                                            const char* what) {
  spinfer_reader_tell(json->error, code, "not accepted at byte %" PRIu64 ": %s",
                             (uint64_t)json->at, what);
}

/* The first byte that is not UTF-8, or `bytes`. */
static inline size_t spinfer_reader_utf8(const uint8_t* text, size_t bytes) {
  size_t at = 0;
  while (at < bytes) {
    const uint8_t lead = text[at];
    size_t more = lead < 0x80 ? 0 : lead < 0xc2 ? 4 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    size_t i;
    if (more == 4 || lead > 0xf4 || bytes - at <= more) return at;
    if (more > 0) {
      const uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
      const uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
      if (text[at + 1] < low || text[at + 1] > high) return at;
    }
    for (i = 2; i <= more; ++i) {
      if ((text[at + i] & 0xc0) != 0x80) return at;
    }
    at += more + 1;
  }
  return bytes;
}

static inline int spinfer_reader_json_peek(spinfer_reader_json* json) {
  while (json->at < json->bytes) {
    const uint8_t byte = json->text[json->at];
    if (byte != ' ' && byte != '\n' && byte != '\r' && byte != '\t') return byte;
    ++json->at;
  }
  return -1;
}

static inline int spinfer_reader_json_expect(spinfer_reader_json* json, int byte,
                                             const char* what) {
  if (spinfer_reader_json_peek(json) != byte)
    return spinfer_reader_json_fail(json, json->code_syntax, what);
  ++json->at;
  return 1;
}

static inline int spinfer_reader_json_hex(spinfer_reader_json* json, uint32_t* out) {
  int i;
  *out = 0;
  for (i = 0; i < 4; ++i) {
    const uint8_t c = json->at < json->bytes ? json->text[json->at] : 0;
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return spinfer_reader_json_fail(json, json->code_syntax, "a wrong escape");
    *out = *out << 4 | (uint32_t)digit;
    ++json->at;
  }
  return 1;
}

static inline void spinfer_reader_json_put(spinfer_reader_json* json, uint32_t point) {
  char* out = json->arena + json->arena_used;
  if (point < 0x80) {
    out[0] = (char)point;
    json->arena_used += 1;
  } else if (point < 0x800) {
    out[0] = (char)(0xc0 | point >> 6);
    out[1] = (char)(0x80 | (point & 63));
    json->arena_used += 2;
  } else if (point < 0x10000) {
    out[0] = (char)(0xe0 | point >> 12);
    out[1] = (char)(0x80 | (point >> 6 & 63));
    out[2] = (char)(0x80 | (point & 63));
    json->arena_used += 3;
  } else {
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 63));
    out[2] = (char)(0x80 | (point >> 6 & 63));
    out[3] = (char)(0x80 | (point & 63));
    json->arena_used += 4;
  }
}

static inline int spinfer_reader_json_escape(spinfer_reader_json* json) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char c = json->at < json->bytes ? (char)json->text[json->at] : '\0';
  const char* known = c == '\0' ? NULL : strchr(from, c);
  uint32_t point, second;
  if (known != NULL) {
    ++json->at;
    json->arena[json->arena_used++] = to[known - from];
    return 1;
  }
  if (c != 'u') return spinfer_reader_json_fail(json, json->code_syntax, "a wrong escape");
  ++json->at;
  if (!spinfer_reader_json_hex(json, &point)) return 0;
  if (point >= 0xd800 && point < 0xe000) {
    if (point >= 0xdc00 || json->bytes - json->at < 2 || json->text[json->at] != '\\' ||
        json->text[json->at + 1] != 'u') {
      return spinfer_reader_json_fail(json, json->code_utf8, "half of a surrogate pair");
    }
    json->at += 2;
    if (!spinfer_reader_json_hex(json, &second)) return 0;
    if (second < 0xdc00 || second > 0xdfff)
      return spinfer_reader_json_fail(json, json->code_utf8, "half of a surrogate pair");
    point = 0x10000 + ((point - 0xd800) << 10) + (second - 0xdc00);
  }
  spinfer_reader_json_put(json, point);
  return 1;
}

/* A string, decoded into the arena: never longer than it is in the text with its quotes. */
static inline int spinfer_reader_json_string(spinfer_reader_json* json, spinfer_reader_text* out) {
  const size_t begin = json->arena_used;
  if (!spinfer_reader_json_expect(json, '"', "expected a string")) return 0;
  for (;;) {
    const int byte = json->at < json->bytes ? json->text[json->at] : -1;
    if (byte < 0x20) {
      return spinfer_reader_json_fail(json, json->code_syntax,
                                      byte < 0 ? "a string is not closed" : "a control character");
    }
    ++json->at;
    if (byte == '"') break;
    if (byte != '\\') {
      json->arena[json->arena_used++] = (char)byte;
    } else if (!spinfer_reader_json_escape(json)) {
      return 0;
    }
  }
  out->text = json->arena + begin;
  out->bytes = json->arena_used - begin;
  json->arena[json->arena_used++] = '\0';
  return 1;
}

static inline int spinfer_reader_is(spinfer_reader_text text, const char* word) {
  return text.bytes == strlen(word) && memcmp(text.text, word, text.bytes) == 0;
}

/* Enters an object or list. *more tells whether it has members. */
static inline int spinfer_reader_json_open(spinfer_reader_json* json, int bracket, int* more) {
  if (!spinfer_reader_json_expect(json, bracket, "expected an object or a list")) return 0;
  if (++json->depth > 127)
    return spinfer_reader_json_fail(json, json->code_syntax, "nested too deeply");
  *more = spinfer_reader_json_peek(json) != bracket + 2;
  if (!*more) {
    ++json->at;
    --json->depth;
  }
  return 1;
}

/* Behind a member: *more is 1 behind a comma, 0 behind the closing bracket. */
static inline int spinfer_reader_json_next(spinfer_reader_json* json, int bracket, int* more) {
  const int byte = spinfer_reader_json_peek(json);
  *more = byte == ',';
  if (byte != ',' && byte != bracket + 2)
    return spinfer_reader_json_fail(json, json->code_syntax, "expected ',' or a closing bracket");
  ++json->at;
  if (!*more) --json->depth;
  return 1;
}

static inline int spinfer_reader_json_key(spinfer_reader_json* json, spinfer_reader_text* key) {
  return spinfer_reader_json_string(json, key) &&
         spinfer_reader_json_expect(json, ':', "expected ':'");
}

/* End of the number that begins here; 0 when none does. */
static inline size_t spinfer_reader_json_number_end(const spinfer_reader_json* json) {
  const uint8_t* text = json->text; /* ends in a NUL, which ends every loop */
  size_t at = json->at + (text[json->at] == '-');
  if (text[at] < '0' || text[at] > '9') return 0;
  if (text[at] == '0') {
    ++at;
  } else {
    while (text[at] >= '0' && text[at] <= '9') ++at;
  }
  if (text[at] == '.') {
    if (text[++at] < '0' || text[at] > '9') return 0;
    while (text[at] >= '0' && text[at] <= '9') ++at;
  }
  if (text[at] == 'e' || text[at] == 'E') {
    ++at;
    at += text[at] == '+' || text[at] == '-';
    if (text[at] < '0' || text[at] > '9') return 0;
    while (text[at] >= '0' && text[at] <= '9') ++at;
  }
  return at;
}

/* A whole number from 0 to 2^53 - 1. */
static inline int spinfer_reader_json_count(spinfer_reader_json* json, uint64_t* out) {
  const int first = spinfer_reader_json_peek(json);
  size_t end, at;
  if (first < 0 || strchr("{[\"tfn-0123456789", first) == NULL)
    return spinfer_reader_json_fail(json, json->code_syntax, "expected a value");
  end = spinfer_reader_json_number_end(json);
  *out = 0;
  for (at = json->at; at < end; ++at) {
    const uint8_t c = json->text[at];
    if (c < '0' || c > '9' || end - json->at > 16) break;
    *out = 10 * *out + (uint64_t)(c - '0');
  }
  if (end == 0 || at < end || *out > ((uint64_t)1 << 53) - 1) {
    return spinfer_reader_json_fail(json, json->code_type,
                                    "expected a whole number from 0 to 2^53 - 1");
  }
  json->at = end;
  return 1;
}

/* Reads past a value of any kind. `non_finite`: take NaN and Infinity, as Python writes them. */
static inline int spinfer_reader_json_skip(spinfer_reader_json* json, int non_finite) {
  static const char* const words[] = {"true", "false", "null", "NaN", "Infinity", "-Infinity"};
  const int first = spinfer_reader_json_peek(json);
  const size_t used = json->arena_used;
  spinfer_reader_text text;
  size_t i, end;
  int more;
  if (first == '{' || first == '[') {
    if (!spinfer_reader_json_open(json, first, &more)) return 0;
    while (more) {
      if (first == '{' && !spinfer_reader_json_key(json, &text)) return 0;
      json->arena_used = used;
      if (!spinfer_reader_json_skip(json, non_finite) ||
          !spinfer_reader_json_next(json, first, &more)) {
        return 0;
      }
    }
    return 1;
  }
  if (first == '"') {
    if (!spinfer_reader_json_string(json, &text)) return 0;
    json->arena_used = used;
    return 1;
  }
  for (i = 0; i < (non_finite ? 6u : 3u); ++i) {
    const size_t length = strlen(words[i]);
    if (json->bytes - json->at >= length && memcmp(json->text + json->at, words[i], length) == 0) {
      json->at += length;
      return 1;
    }
  }
  end = first < 0 ? 0 : spinfer_reader_json_number_end(json);
  if (end == 0) return spinfer_reader_json_fail(json, json->code_syntax, "expected a value");
  {
    const double value = strtod((const char*)json->text + json->at, NULL);
    if (value - value != 0)
      return spinfer_reader_json_fail(json, json->code_syntax, "a number is out of range");
  }
  json->at = end;
  return 1;
}

static inline int spinfer_reader_json_end(spinfer_reader_json* json) {
  if (spinfer_reader_json_peek(json) < 0) return 1;
  return spinfer_reader_json_fail(json, json->code_syntax, "more follows the JSON text");
}

/* Prepares `json` for text that is followed by a NUL, with an arena of bytes + 1. */
static inline int spinfer_reader_json_begin(spinfer_reader_json* json) {
  const size_t bad = spinfer_reader_utf8(json->text, json->bytes);
  if (bad == json->bytes) return 1;
  json->at = bad;
  return spinfer_reader_json_fail(json, json->code_utf8, "not UTF-8");
}

static inline int spinfer_reader_compare_texts(const void* a, const void* b) {
  const spinfer_reader_text* x = (const spinfer_reader_text*)a;
  const spinfer_reader_text* y = (const spinfer_reader_text*)b;
  const size_t shorter = x->bytes < y->bytes ? x->bytes : y->bytes;
  const int order = memcmp(x->text, y->text, shorter);
  return order != 0 ? order : x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* Makes room for one more element; the array's capacity is the next power of two. */
static inline void* spinfer_reader_grow(void* array, size_t count, size_t size) {
  if (count != 0 && (count & (count - 1)) != 0) return array;
  return realloc(array, (count == 0 ? 1 : 2 * count) * size);
}

/* Sorts keys. Refuses one that is there twice. */
static inline int spinfer_reader_unique(spinfer_reader_json* json, spinfer_reader_text* keys,
                                        size_t count) {
  size_t i;
  if (count > 1) qsort(keys, count, sizeof *keys, spinfer_reader_compare_texts);
  for (i = 1; i < count; ++i) {
    if (spinfer_reader_compare_texts(&keys[i - 1], &keys[i]) == 0) {
      return spinfer_reader_fail(json->error, json->code_duplicate, "\"%.100s\" is there twice",
                                 keys[i].text);
    }
  }
  return 1;
}

/* ---- The header of one safetensors file ---- */

typedef struct {
  spinfer_reader_tensor* tensors;
  size_t count;
} spinfer_reader_list;

/* Bits of an element, or 0 for a dtype that is not known. */
static inline uint32_t spinfer_reader_dtype_bits(const char* dtype) {
  static const struct {
    const char* name;
    uint32_t bits;
  } known[] = {{"BOOL", 8},        {"F4", 4},          {"F6_E2M3", 6}, {"F6_E3M2", 6},
               {"U8", 8},          {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8},
               {"F8_E8M0", 8},     {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
               {"I16", 16},        {"U16", 16},        {"F16", 16},    {"BF16", 16},
               {"I32", 32},        {"U32", 32},        {"F32", 32},    {"C64", 64},
               {"F64", 64},        {"I64", 64},        {"U64", 64}};
  size_t i;
  for (i = 0; i < sizeof known / sizeof *known; ++i) {
    if (strcmp(known[i].name, dtype) == 0) return known[i].bits;
  }
  return 0;
}

/* A list of counts; those beyond `most` are counted and not kept. */
static inline int spinfer_reader_counts(spinfer_reader_json* json, uint64_t* out, uint32_t most,
                                        uint32_t* count) {
  int more;
  *count = 0;
  if (spinfer_reader_json_peek(json) != '[')
    return spinfer_reader_json_fail(json, json->code_type, "expected a list of numbers");
  if (!spinfer_reader_json_open(json, '[', &more)) return 0;
  while (more) {
    uint64_t value;
    if (!spinfer_reader_json_count(json, &value)) return 0;
    if (*count < most) out[*count] = value;
    if (*count < UINT32_MAX) ++*count;
    if (!spinfer_reader_json_next(json, '[', &more)) return 0;
  }
  return 1;
}

/* {"dtype": ..., "shape": [...], "data_offsets": [...]} */
static inline int spinfer_reader_entry(spinfer_reader_json* json, spinfer_reader_tensor* out) {
  int more, has_dtype = 0, has_shape = 0, has_offsets = 0;
  uint64_t offsets[2] = {0, 0};
  uint32_t found;
  if (spinfer_reader_json_peek(json) != '{')
    return spinfer_reader_json_fail(json, json->code_type, "the entry of a tensor is no object");
  if (!spinfer_reader_json_open(json, '{', &more)) return 0;
  while (more) {
    spinfer_reader_text key, dtype;
    int* seen;
    if (!spinfer_reader_json_key(json, &key)) return 0;
    seen = spinfer_reader_is(key, "dtype")          ? &has_dtype
           : spinfer_reader_is(key, "shape")        ? &has_shape
           : spinfer_reader_is(key, "data_offsets") ? &has_offsets
                                                    : NULL;
    if (seen != NULL && (*seen)++)
      return spinfer_reader_json_fail(json, json->code_duplicate, "a key is there twice");
    if (seen == &has_dtype) {
      if (spinfer_reader_json_peek(json) != '"')
        return spinfer_reader_json_fail(json, json->code_type, "a dtype is no string");
      if (!spinfer_reader_json_string(json, &dtype)) return 0;
      if (dtype.bytes >= sizeof out->dtype || strlen(dtype.text) != dtype.bytes ||
          spinfer_reader_dtype_bits(dtype.text) == 0) {
        return spinfer_reader_fail(json->error, "E_ST_DTYPE_UNSUPPORTED",
                                   "a tensor has the dtype \"%.40s\"", dtype.text);
      }
      memcpy(out->dtype, dtype.text, dtype.bytes + 1);
    } else if (seen == &has_shape) {
      if (!spinfer_reader_counts(json, out->shape, SPINFER_READER_MAX_DIMS, &out->dims)) return 0;
      if (out->dims > SPINFER_READER_MAX_DIMS)
        return spinfer_reader_fail(json->error, "E_LIMIT", "a tensor has %" PRIu32 " dimensions",
                                   out->dims);
    } else if (seen == &has_offsets) {
      if (!spinfer_reader_counts(json, offsets, 2, &found)) return 0;
      if (found != 2)
        return spinfer_reader_json_fail(json, json->code_type, "data_offsets are not two");
    } else if (!spinfer_reader_json_skip(json, 0)) {
      return 0;
    }
    if (!spinfer_reader_json_next(json, '{', &more)) return 0;
  }
  if (!has_dtype || !has_shape || !has_offsets) {
    return spinfer_reader_json_fail(json, json->code_type,
                                    "an entry lacks dtype, shape or data_offsets");
  }
  out->begin = offsets[0];
  out->end = offsets[1];
  return 1;
}

static inline int spinfer_reader_metadata(spinfer_reader_json* json) {
  spinfer_reader_text* keys = NULL;
  spinfer_reader_text value;
  size_t count = 0;
  int more = 0, good;
  if (spinfer_reader_json_peek(json) != '{')
    return spinfer_reader_json_fail(json, json->code_type, "__metadata__ is no object");
  good = spinfer_reader_json_open(json, '{', &more);
  while (good && more) {
    void* grown = spinfer_reader_grow(keys, count, sizeof *keys);
    if (grown == NULL) {
      good = spinfer_reader_fail(json->error, "E_MEMORY", "not enough memory");
      break;
    }
    keys = (spinfer_reader_text*)grown;
    good = spinfer_reader_json_key(json, &keys[count++]);
    if (good && spinfer_reader_json_peek(json) != '"')
      good = spinfer_reader_json_fail(json, json->code_type, "__metadata__ holds no string");
    good = good && spinfer_reader_json_string(json, &value) &&
           spinfer_reader_json_next(json, '{', &more);
  }
  good = good && spinfer_reader_unique(json, keys, count);
  free(keys);
  return good;
}

static inline int spinfer_reader_compare_places(const void* a, const void* b) {
  const spinfer_reader_tensor* x = (const spinfer_reader_tensor*)a;
  const spinfer_reader_tensor* y = (const spinfer_reader_tensor*)b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end;
}

/* The tensors, in the order of their bytes, tile the data section. */
static inline int spinfer_reader_check_layout(spinfer_reader_list* list, uint64_t data_bytes,
                                              spinfer_reader_error* error) {
  const uint64_t most = ((uint64_t)1 << 53) - 1;
  uint64_t expected = 0;
  size_t i;
  uint32_t d;
  if (list->count > 1) {
    qsort(list->tensors, list->count, sizeof *list->tensors, spinfer_reader_compare_places);
  }
  for (i = 0; i < list->count; ++i) {
    const spinfer_reader_tensor* tensor = &list->tensors[i];
    uint64_t elements = 1, bits = spinfer_reader_dtype_bits(tensor->dtype);
    const uint64_t size = tensor->end - tensor->begin;
    int empty = 0, overflows = 0;
    if (tensor->begin != expected || tensor->end < tensor->begin) {
      return spinfer_reader_fail(error, "E_ST_OFFSETS",
                                 "tensor \"%.100s\" begins at %" PRIu64 ", expected %" PRIu64,
                                 tensor->name, tensor->begin, expected);
    }
    for (d = 0; d < tensor->dims; ++d) { /* a 0 does not hide that the others overflow */
      const uint64_t side = tensor->shape[d];
      empty |= side == 0;
      overflows |= side != 0 && elements > most / side;
      if (side != 0 && !overflows) elements *= side;
    }
    if (overflows || (!empty && elements > most / bits)) {
      return spinfer_reader_fail(error, "E_ST_OVERFLOW", "tensor \"%.100s\" is too large",
                                 tensor->name);
    }
    bits = empty ? 0 : bits * elements;
    if (bits % 8 != 0) {
      return spinfer_reader_fail(error, "E_ST_SUBBYTE", "tensor \"%.100s\" ends within a byte",
                                 tensor->name);
    }
    if (size != bits / 8) {
      return spinfer_reader_fail(error, "E_ST_SIZE",
                                 "tensor \"%.100s\" has %" PRIu64 " bytes, expected %" PRIu64,
                                 tensor->name, size, bits / 8);
    }
    expected = tensor->end;
  }
  if (expected != data_bytes) {
    return spinfer_reader_fail(error, expected > data_bytes ? "E_ST_TRUNCATED" : "E_ST_SIZE",
                               "%" PRIu64 " bytes of data, expected %" PRIu64, data_bytes,
                               expected);
  }
  return 1;
}

static inline int spinfer_reader_parse_entries(spinfer_reader_json* json,
                                               spinfer_reader_list* list) {
  int more, has_metadata = 0;
  if (spinfer_reader_json_peek(json) < 0)
    return spinfer_reader_json_fail(json, json->code_type, "the header is empty");
  if (strchr("[\"tfn-0123456789", spinfer_reader_json_peek(json)) != NULL)
    return spinfer_reader_json_fail(json, json->code_type, "the header is not an object");
  if (!spinfer_reader_json_open(json, '{', &more)) return 0;
  while (more) {
    spinfer_reader_text name;
    if (!spinfer_reader_json_key(json, &name)) return 0;
    if (spinfer_reader_is(name, "__metadata__")) {
      if (has_metadata++)
        return spinfer_reader_json_fail(json, json->code_duplicate, "__metadata__ is there twice");
      if (!spinfer_reader_metadata(json)) return 0;
    } else {
      void* grown = spinfer_reader_grow(list->tensors, list->count, sizeof *list->tensors);
      if (grown == NULL) return spinfer_reader_fail(json->error, "E_MEMORY", "not enough memory");
      list->tensors = (spinfer_reader_tensor*)grown;
      memset(&list->tensors[list->count], 0, sizeof *list->tensors);
      list->tensors[list->count].name = name.text;
      list->tensors[list->count].name_bytes = name.bytes;
      if (name.bytes > 65536) return spinfer_reader_fail(json->error, "E_LIMIT", "a long name");
      if (list->count >= 2000000)
        return spinfer_reader_fail(json->error, "E_LIMIT_TENSORS", "more than 2000000 tensors");
      if (!spinfer_reader_entry(json, &list->tensors[list->count++])) return 0;
    }
    if (!spinfer_reader_json_next(json, '{', &more)) return 0;
  }
  return spinfer_reader_json_end(json);
}

static inline int spinfer_reader_check_names(spinfer_reader_json* json,
                                             const spinfer_reader_list* list) {
  spinfer_reader_text* names;
  size_t i;
  int good;
  if (list->count == 0) return 1;
  names = (spinfer_reader_text*)malloc(list->count * sizeof *names);
  if (names == NULL) return spinfer_reader_fail(json->error, "E_MEMORY", "not enough memory");
  for (i = 0; i < list->count; ++i) {
    names[i].text = list->tensors[i].name;
    names[i].bytes = list->tensors[i].name_bytes;
  }
  good = spinfer_reader_unique(json, names, list->count);
  free(names);
  return good;
}

/* Parses the JSON of a safetensors file: `text` is followed by a NUL, `arena` has bytes + 1, and
 * data_bytes follow in the file. begin and end become offsets in the file. The caller frees
 * list->tensors, which point into the arena, in any case. */
static inline int spinfer_reader_parse_header(const uint8_t* text, size_t bytes, char* arena,
                                              uint64_t data_bytes, spinfer_reader_list* list,
                                              spinfer_reader_error* error) {
  spinfer_reader_json json;
  size_t i;
  memset(&json, 0, sizeof json);
  list->tensors = NULL;
  list->count = 0;
  json.text = text;
  json.bytes = bytes;
  json.arena = arena;
  json.error = error;
  json.code_syntax = "E_ST_JSON";
  json.code_type = "E_ST_JSON_TYPE";
  json.code_duplicate = "E_ST_DUP_KEY";
  json.code_utf8 = "E_ST_UTF8";
  if (!spinfer_reader_json_begin(&json) || !spinfer_reader_parse_entries(&json, list) ||
      !spinfer_reader_check_names(&json, list) ||
      !spinfer_reader_check_layout(list, data_bytes, error)) {
    return 0;
  }
  for (i = 0; i < list->count; ++i) {
    list->tensors[i].begin += 8 + bytes;
    list->tensors[i].end += 8 + bytes;
  }
  return 1;
}

/* The length of the JSON, from the first 8 bytes of a file of file_bytes bytes. */
static inline int spinfer_reader_header_length(const uint8_t* first, uint64_t file_bytes,
                                               uint64_t* out, spinfer_reader_error* error) {
  if (file_bytes < 8) {
    return spinfer_reader_fail(error, "E_ST_SHORT", "the file has %" PRIu64 " bytes", file_bytes);
  }
  *out = spinfer_reader_u64(first);
  if (*out > 100000000) {
    return spinfer_reader_fail(error, "E_ST_HEADER_TOO_LARGE",
                               "the header length is %" PRIu64 " bytes", *out);
  }
  if (*out > file_bytes - 8) {
    return spinfer_reader_fail(error, "E_ST_HEADER_LENGTH",
                               "the header length is %" PRIu64 " bytes, but %" PRIu64 " follow",
                               *out, file_bytes - 8);
  }
  return 1;
}

/* ---- What people take for safetensors, by its first bytes ---- */

typedef struct {
  const uint8_t* bytes;
  size_t count, at;
} spinfer_reader_probe;

static inline void spinfer_reader_probe_spaces(spinfer_reader_probe* probe) {
  while (probe->at < probe->count &&
         (probe->bytes[probe->at] == ' ' ||
          (probe->bytes[probe->at] >= '\t' && probe->bytes[probe->at] <= '\r'))) {
    ++probe->at;
  }
}

/* Moves past a word, in any case of ASCII letters; 0 when it is not there. `word` is lower case. */
static inline int spinfer_reader_probe_word(spinfer_reader_probe* probe, const char* word) {
  size_t at = probe->at;
  for (; *word != 0; ++word, ++at) {
    const uint8_t byte = at < probe->count ? probe->bytes[at] : 0;
    const uint8_t lower = byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte;
    if (lower != (uint8_t)*word) return 0;
  }
  probe->at = at;
  return 1;
}

static inline int spinfer_reader_is_markup(spinfer_reader_probe probe) {
  static const char* const kBegins[] = {"<!doctype", "<!--", "<html", "<head", "<?xml", "<error"};
  size_t i;
  if (probe.count >= 3 && memcmp(probe.bytes, "\xef\xbb\xbf", 3) == 0) probe.at = 3;
  spinfer_reader_probe_spaces(&probe);
  for (i = 0; i < sizeof kBegins / sizeof *kBegins; ++i)
    if (spinfer_reader_probe_word(&probe, kBegins[i])) return 1;
  return 0;
}

/* "{}", or an object whose first key is a plain word. */
static inline int spinfer_reader_is_json(spinfer_reader_probe probe) {
  spinfer_reader_probe_spaces(&probe);
  if (!spinfer_reader_probe_word(&probe, "{")) return 0;
  spinfer_reader_probe_spaces(&probe);
  if (spinfer_reader_probe_word(&probe, "}")) return 1;
  if (!spinfer_reader_probe_word(&probe, "\"")) return 0;
  while (probe.at < probe.count && probe.bytes[probe.at] != '"') {
    const uint8_t byte = probe.bytes[probe.at++];
    const int letter = (byte | 32) >= 'a' && (byte | 32) <= 'z';
    if (!letter && !(byte >= '0' && byte <= '9') && (byte == 0 || strchr("_ .:/-", byte) == NULL))
      return 0;
  }
  if (!spinfer_reader_probe_word(&probe, "\"")) return 0;
  spinfer_reader_probe_spaces(&probe);
  return spinfer_reader_probe_word(&probe, ":");
}

static inline int spinfer_reader_is_archive(spinfer_reader_probe probe) {
  const uint8_t* b = probe.bytes;
  if (probe.count >= 4 && b[0] == 'P' && b[1] == 'K') {
    return b[2] + 1 == b[3] && (b[2] == 3 || b[2] == 5 || b[2] == 7);
  }
  return probe.count >= 2 && b[0] == 0x80 && b[1] >= 2 && b[1] <= 5;
}

/* NULL when nothing says what the bytes are. */
static inline const char* spinfer_reader_other_kind(const uint8_t* bytes, size_t count) {
  static const char kLfs[] = "version https://git-lfs.github.com/spec/";
  const spinfer_reader_probe probe = {bytes, count, 0};
  if (count >= sizeof kLfs - 1 && memcmp(bytes, kLfs, sizeof kLfs - 1) == 0)
    return "a git-lfs pointer, not the file it points to";
  if (spinfer_reader_is_markup(probe)) return "an HTML or XML page, most likely an error page";
  if (spinfer_reader_is_json(probe)) return "a JSON text, most likely an error reply";
  if (count >= 4 && memcmp(bytes, "GGUF", 4) == 0) return "a GGUF file";
  return spinfer_reader_is_archive(probe) ? "a zip archive or a pickle" : NULL;
}

enum { SPINFER_READER_PROBE_BYTES = 512 };

/* Where a header was refused and the file is recognisably something else, says that instead. */
static inline void spinfer_reader_name_other(const uint8_t* first, size_t count,
                                             spinfer_reader_error* error) {
  static const char* const kCodes[] = {"E_ST_SHORT", "E_ST_HEADER_TOO_LARGE", "E_ST_HEADER_LENGTH",
                                       "E_ST_UTF8",  "E_ST_JSON",             "E_ST_JSON_TYPE"};
  const char* kind = NULL;
  size_t i;
  if (count > 8 && first[8] == '{') return;
  for (i = 0; i < sizeof kCodes / sizeof *kCodes; ++i)
    if (strcmp(error->code, kCodes[i]) == 0) kind = spinfer_reader_other_kind(first, count);
  if (kind != NULL) spinfer_reader_tell(error, "E_NOT_SAFETENSORS", "the file is %s", kind);
}

/* ---- Files ---- */

static inline int spinfer_reader_seek(FILE* file, uint64_t at) {
#ifdef _WIN32
  return at <= INT64_MAX && _fseeki64(file, (int64_t)at, SEEK_SET) == 0;
#else
  return at <= (uint64_t)LONG_MAX && fseek(file, (long)at, SEEK_SET) == 0;
#endif
}

/* Opens a file for reading and tells its size. NULL with an error when it is not one. */
static inline FILE* spinfer_reader_open_file(const char* path, uint64_t* bytes,
                                             spinfer_reader_error* error) {
  FILE* file = fopen(path, "rb");
  long end = -1;
  if (file == NULL) {
    spinfer_reader_tell(error, "E_IO", "%.200s cannot be opened", path);
    return NULL;
  }
#ifdef _WIN32
  if (_fseeki64(file, 0, SEEK_END) == 0) *bytes = (uint64_t)_ftelli64(file), end = 0;
#else
  if (fseek(file, 0, SEEK_END) == 0) end = ftell(file);
  *bytes = (uint64_t)end;
#endif
  if (end >= 0 && end < LONG_MAX) return file; /* a folder ends at LONG_MAX */
  fclose(file);
  spinfer_reader_tell(error, "E_NOT_REGULAR", "%.200s is not a regular file", path);
  return NULL;
}

static inline int spinfer_reader_read(FILE* file, uint64_t at, void* out, uint64_t bytes,
                                      spinfer_reader_error* error) {
  if (bytes == 0) return 1;
  if (bytes > SIZE_MAX || !spinfer_reader_seek(file, at) ||
      fread(out, 1, (size_t)bytes, file) != bytes) {
    return spinfer_reader_fail(error, "E_ST_TRUNCATED", "the file ends before byte %" PRIu64,
                               at + bytes);
  }
  return 1;
}

/* Memory that is never of size 0, or NULL with an error. */
static inline void* spinfer_reader_allocate(uint64_t bytes, spinfer_reader_error* error) {
  void* memory = bytes >= SIZE_MAX ? NULL : malloc((size_t)bytes + 1);
  if (memory == NULL) {
    spinfer_reader_tell(error, "E_MEMORY", "not enough memory for %" PRIu64 " bytes", bytes);
  }
  return memory;
}

/* folder/name, allocated. */
static inline char* spinfer_reader_join(const char* folder, const char* name,
                                        spinfer_reader_error* error) {
  const size_t length = strlen(folder), more = strlen(name);
  char* path = (char*)spinfer_reader_allocate(length + 1 + more, error);
  if (path == NULL) return NULL;
  memcpy(path, folder, length);
  path[length] = '/';
  memcpy(path + length + 1, name, more + 1);
  return path;
}

/* A whole small file and a NUL, allocated. */
static inline uint8_t* spinfer_reader_slurp(const char* path, uint64_t most, size_t* bytes,
                                            spinfer_reader_error* error) {
  uint64_t size = 0;
  FILE* file = spinfer_reader_open_file(path, &size, error);
  uint8_t* text = NULL;
  if (file == NULL) return NULL;
  if (size > most) {
    spinfer_reader_tell(error, "E_LIMIT", "%.200s has %" PRIu64 " bytes", path, size);
  } else {
    text = (uint8_t*)spinfer_reader_allocate(size, error);
  }
  if (text != NULL && !spinfer_reader_read(file, 0, text, size, error)) {
    free(text);
    text = NULL;
  }
  if (text != NULL) text[size] = 0;
  *bytes = (size_t)size;
  fclose(file);
  return text;
}

/* Adds the tensors of one file to the model. */
static inline int spinfer_reader_add_file(spinfer_reader* model, const char* path,
                                          spinfer_reader_error* error) {
  uint8_t first[SPINFER_READER_PROBE_BYTES];
  uint8_t* text = NULL;
  char* arena = NULL;
  spinfer_reader_list list = {NULL, 0};
  uint64_t file_bytes = 0, header = 0;
  size_t i, probed;
  int good;
  FILE* file = spinfer_reader_open_file(path, &file_bytes, error);
  if (file == NULL) return 0;
  probed = file_bytes < sizeof first ? (size_t)file_bytes : sizeof first;
  memset(first, 0, sizeof first);
  good = spinfer_reader_read(file, 0, first, probed, error) &&
         spinfer_reader_header_length(first, file_bytes, &header, error);
  if (good) {
    text = (uint8_t*)spinfer_reader_allocate(header, error);
    arena = (char*)spinfer_reader_allocate(header, error);
    good = text != NULL && arena != NULL && spinfer_reader_read(file, 8, text, header, error);
  }
  fclose(file);
  if (good) {
    text[header] = 0;
    good = spinfer_reader_parse_header(text, (size_t)header, arena, file_bytes - 8 - header, &list,
                                       error);
  }
  free(text);
  if (!good) spinfer_reader_name_other(first, probed, error);
  if (good && list.count > 0) {
    const size_t total = model->tensor_count + list.count;
    void* grown = realloc(model->tensors, total * sizeof *model->tensors);
    if (grown == NULL) {
      good = spinfer_reader_fail(error, "E_MEMORY", "not enough memory");
    } else {
      model->tensors = (spinfer_reader_tensor*)grown;
      for (i = 0; i < list.count; ++i) list.tensors[i].file = model->file_count;
      memcpy(model->tensors + model->tensor_count, list.tensors, list.count * sizeof *list.tensors);
      model->tensor_count = total;
    }
  }
  free(list.tensors);
  if (!good) {
    free(arena);
    return 0;
  }
  model->arenas[model->file_count++] = arena;
  return 1;
}

/* ---- Model folders ---- */

static inline void spinfer_reader_close(spinfer_reader* model) {
  uint32_t i;
  for (i = 0; i < model->file_count; ++i) {
    free(model->files[i]);
    free(model->arenas[i]);
  }
  free(model->files);
  free(model->arenas);
  free(model->tensors);
  memset(model, 0, sizeof *model);
}

static inline void spinfer_reader_free(spinfer_reader_weight* weight) {
  free(weight->meta);
  free(weight->payload);
  free(weight->offsets);
  memset(weight, 0, sizeof *weight);
}

static inline int spinfer_reader_compare_names(const void* a, const void* b) {
  const spinfer_reader_tensor* x = (const spinfer_reader_tensor*)a;
  const spinfer_reader_tensor* y = (const spinfer_reader_tensor*)b;
  spinfer_reader_text left, right;
  left.text = x->name;
  left.bytes = x->name_bytes;
  right.text = y->name;
  right.bytes = y->name_bytes;
  return spinfer_reader_compare_texts(&left, &right);
}

/* The tensor of that name, or NULL. */
static inline spinfer_reader_tensor* spinfer_reader_find(const spinfer_reader* model,
                                                         const char* name) {
  spinfer_reader_tensor key;
  memset(&key, 0, sizeof key);
  key.name = name;
  key.name_bytes = strlen(name);
  if (model->tensor_count == 0) return NULL;
  return (spinfer_reader_tensor*)bsearch(&key, model->tensors, model->tensor_count,
                                         sizeof *model->tensors, spinfer_reader_compare_names);
}

static inline int spinfer_reader_ends_with(const char* text, size_t bytes, const char* suffix) {
  const size_t length = strlen(suffix);
  return bytes >= length && memcmp(text + bytes - length, suffix, length) == 0;
}

static inline int spinfer_reader_is_packed_part(const spinfer_reader_tensor* tensor) {
  return strcmp(tensor->dtype, "I64") == 0 && tensor->dims == 1;
}

/* Makes one tensor of a payload and its weight_meta, with the header checked. */
static inline int spinfer_reader_join_pair(const spinfer_reader* model,
                                           spinfer_reader_tensor* weight,
                                           const spinfer_reader_tensor* meta,
                                           spinfer_reader_error* error) {
  uint8_t header[64];
  uint64_t bytes = 0;
  const uint64_t meta_bytes = meta->end - meta->begin;
  FILE* file;
  int good;
  if (!spinfer_reader_is_packed_part(weight) || !spinfer_reader_is_packed_part(meta)) {
    return spinfer_reader_fail(error, "E_TB_PAIR", "%.150s: not I64 with one dimension",
                               weight->name);
  }
  file = spinfer_reader_open_file(model->files[meta->file], &bytes, error);
  if (file == NULL) return 0;
  good = spinfer_reader_read(file, meta->begin, header, meta_bytes < 64 ? meta_bytes : 64, error);
  fclose(file);
  if (!good || !spinfer_reader_check_header(header, meta_bytes, &weight->matrix, error)) return 0;
  if (weight->end - weight->begin != weight->matrix.payload_bytes) {
    return spinfer_reader_fail(error, "E_TB_PAIR",
                               "%.150s: its payload has %" PRIu64 " bytes, its weight_meta says %" PRIu64,
                               weight->name, weight->end - weight->begin,
                               weight->matrix.payload_bytes);
  }
  if ((uint64_t)weight->matrix.rows * weight->matrix.cols > SPINFER_READER_MAX_DENSE_BYTES / 2) {
    return spinfer_reader_fail(error, "E_LIMIT_DENSE",
                               "%.150s: %" PRIu32 " x %" PRIu32 " is over 64 GiB when dense",
                               weight->name, weight->matrix.rows, weight->matrix.cols);
  }
  weight->packed = 1;
  weight->meta_file = meta->file;
  weight->meta_begin = meta->begin;
  weight->meta_end = meta->end;
  weight->dims = 2;
  weight->shape[0] = weight->matrix.transposed ? weight->matrix.cols : weight->matrix.rows;
  weight->shape[1] = weight->matrix.transposed ? weight->matrix.rows : weight->matrix.cols;
  memcpy(weight->dtype, weight->matrix.value_dtype == SPINFER_READER_F16 ? "F16" : "BF16", 5);
  return 1;
}

/* Sorts the tensors by name, refuses one that is there twice, and joins the pairs. */
static inline int spinfer_reader_join_pairs(spinfer_reader* model, spinfer_reader_error* error) {
  static const char suffix[] = ".weight_meta";
  size_t i, kept = 0;
  if (model->tensor_count > 1) {
    qsort(model->tensors, model->tensor_count, sizeof *model->tensors,
          spinfer_reader_compare_names);
  }
  for (i = 1; i < model->tensor_count; ++i) {
    if (spinfer_reader_compare_names(&model->tensors[i - 1], &model->tensors[i]) == 0) {
      return spinfer_reader_fail(error, "E_INDEX_DUP", "\"%.150s\" is in two shards",
                                 model->tensors[i].name);
    }
  }
  for (i = 0; i < model->tensor_count; ++i) {
    const spinfer_reader_tensor* meta = &model->tensors[i];
    spinfer_reader_tensor key, *weight;
    if (!spinfer_reader_ends_with(meta->name, meta->name_bytes, suffix)) continue;
    key = *meta;
    key.name_bytes -= 5; /* "_meta" */
    weight = (spinfer_reader_tensor*)bsearch(&key, model->tensors, model->tensor_count,
                                             sizeof key, spinfer_reader_compare_names);
    if (weight == NULL) {
      return spinfer_reader_fail(error, "E_TB_PAIR", "%.150s: its weight is missing", meta->name);
    }
    if (!spinfer_reader_join_pair(model, weight, meta, error)) return 0;
  }
  for (i = 0; i < model->tensor_count; ++i) {
    const spinfer_reader_tensor* tensor = &model->tensors[i];
    if (spinfer_reader_ends_with(tensor->name, tensor->name_bytes, suffix)) continue;
    if (!tensor->packed && spinfer_reader_is_packed_part(tensor) &&
        spinfer_reader_ends_with(tensor->name, tensor->name_bytes, ".weight")) {
      return spinfer_reader_fail(error, "E_TB_PAIR", "%.150s: its weight_meta is missing",
                                 tensor->name);
    }
    model->tensors[kept++] = *tensor;
  }
  model->tensor_count = kept;
  return 1;
}

/* A JSON file with its cursor; freed by spinfer_reader_close_json(). */
static inline int spinfer_reader_open_json(const char* path, uint64_t most, const char* code,
                                           spinfer_reader_json* json,
                                           spinfer_reader_error* error) {
  memset(json, 0, sizeof *json);
  json->error = error;
  json->code_syntax = json->code_type = json->code_duplicate = json->code_utf8 = code;
  json->text = spinfer_reader_slurp(path, most, &json->bytes, error);
  if (json->text == NULL) return 0;
  json->arena = (char*)spinfer_reader_allocate(json->bytes, error);
  return json->arena != NULL && spinfer_reader_json_begin(json);
}

static inline void spinfer_reader_close_json(spinfer_reader_json* json) {
  free((void*)json->text);
  free(json->arena);
}

/* What config.json says of the format: method and version, empty when it says nothing. */
static inline int spinfer_reader_settings(spinfer_reader_json* json, spinfer_reader_text* method,
                                          spinfer_reader_text* version) {
  spinfer_reader_text key;
  int more, inner;
  if (!spinfer_reader_json_open(json, '{', &more)) return 0;
  while (more) {
    if (!spinfer_reader_json_key(json, &key)) return 0;
    if (spinfer_reader_is(key, "quantization_config") && spinfer_reader_json_peek(json) == '{') {
      if (!spinfer_reader_json_open(json, '{', &inner)) return 0;
      while (inner) {
        spinfer_reader_text* wanted;
        if (!spinfer_reader_json_key(json, &key)) return 0;
        wanted = spinfer_reader_is(key, "quant_method")     ? method
                 : spinfer_reader_is(key, "format_version") ? version
                                                            : NULL;
        if (wanted != NULL && spinfer_reader_json_peek(json) == '"') {
          if (!spinfer_reader_json_string(json, wanted)) return 0;
        } else if (!spinfer_reader_json_skip(json, 1)) {
          return 0;
        }
        if (!spinfer_reader_json_next(json, '{', &inner)) return 0;
      }
    } else if (!spinfer_reader_json_skip(json, 1)) {
      return 0;
    }
    if (!spinfer_reader_json_next(json, '{', &more)) return 0;
  }
  return spinfer_reader_json_end(json);
}

static inline int spinfer_reader_check_config(const char* folder, spinfer_reader_error* error) {
  spinfer_reader_text method = {"", 0}, version = {"", 0};
  spinfer_reader_json json;
  char* path = spinfer_reader_join(folder, "config.json", error);
  int good;
  if (path == NULL) return 0;
  good = spinfer_reader_open_json(path, 10 << 20, "E_CONFIG", &json, error) &&
         spinfer_reader_settings(&json, &method, &version);
  if (good && !spinfer_reader_is(method, "spinfer")) {
    good = spinfer_reader_fail(error, "E_MODEL_UNRECOGNISED",
                               "config.json does not say quant_method \"spinfer\"");
  }
  if (good && (version.bytes < 3 || memcmp(version.text, "1.", 2) != 0 ||
               strspn(version.text + 2, "0123456789") != version.bytes - 2)) {
    good = spinfer_reader_fail(error, "E_TB_VERSION", "config.json names version \"%.40s\"",
                               version.text);
  }
  spinfer_reader_close_json(&json);
  free(path);
  return good;
}

/* The plain name of a safetensors file, and nothing that leads elsewhere. */
static inline int spinfer_reader_check_shard(spinfer_reader_text name,
                                             spinfer_reader_error* error) {
  size_t i;
  int good = name.bytes > 0 && name.bytes < 256;
  for (i = 0; i < name.bytes; ++i) {
    const unsigned char c = (unsigned char)name.text[i];
    good = good && c >= 0x20 && c != 0x7f && c != '/' && c != '\\' && c != ':';
  }
  if (!good) {
    return spinfer_reader_fail(error, "E_PATH_ESCAPE", "the shard name \"%.100s\" leads elsewhere",
                               name.text);
  }
  if (!spinfer_reader_ends_with(name.text, name.bytes, ".safetensors"))
    return spinfer_reader_fail(error, "E_INDEX_EXT", "the shard \"%.100s\"", name.text);
  return 1;
}

typedef struct {
  spinfer_reader_text tensor, shard;
} spinfer_reader_mapping;

typedef struct {
  spinfer_reader_mapping* items;
  size_t count;
} spinfer_reader_map;

static inline int spinfer_reader_read_map(spinfer_reader_json* json, spinfer_reader_map* map) {
  int more;
  if (!spinfer_reader_json_open(json, '{', &more)) return 0;
  while (more) {
    void* grown = spinfer_reader_grow(map->items, map->count, sizeof *map->items);
    if (grown == NULL) return spinfer_reader_fail(json->error, "E_MEMORY", "not enough memory");
    map->items = (spinfer_reader_mapping*)grown;
    if (!spinfer_reader_json_key(json, &map->items[map->count].tensor) ||
        !spinfer_reader_json_string(json, &map->items[map->count].shard) ||
        !spinfer_reader_check_shard(map->items[map->count].shard, json->error) ||
        !spinfer_reader_json_next(json, '{', &more)) {
      return 0;
    }
    ++map->count;
  }
  return 1;
}

static inline int spinfer_reader_read_index(spinfer_reader_json* json, spinfer_reader_map* map) {
  int more, found = 0;
  if (!spinfer_reader_json_open(json, '{', &more)) return 0;
  while (more) {
    spinfer_reader_text key;
    if (!spinfer_reader_json_key(json, &key)) return 0;
    if (spinfer_reader_is(key, "weight_map")) {
      if (found++) return spinfer_reader_json_fail(json, "E_INDEX", "weight_map is there twice");
      if (!spinfer_reader_read_map(json, map)) return 0;
    } else if (!spinfer_reader_json_skip(json, 0)) {
      return 0;
    }
    if (!spinfer_reader_json_next(json, '{', &more)) return 0;
  }
  if (!found) return spinfer_reader_json_fail(json, "E_INDEX", "the index has no weight_map");
  return spinfer_reader_json_end(json);
}

static inline int spinfer_reader_compare_shards(const void* a, const void* b) {
  return spinfer_reader_compare_texts(&((const spinfer_reader_mapping*)a)->shard,
                                      &((const spinfer_reader_mapping*)b)->shard);
}

/* Makes room for one more file and takes its path. */
static inline int spinfer_reader_add_path(spinfer_reader* model, char* path,
                                          spinfer_reader_error* error) {
  const size_t count = model->file_count;
  void* files = path == NULL ? NULL : spinfer_reader_grow(model->files, count, sizeof(char*));
  void* arenas;
  if (files != NULL) model->files = (char**)files;
  arenas = files == NULL ? NULL : spinfer_reader_grow(model->arenas, count, sizeof(char*));
  if (arenas != NULL) model->arenas = (char**)arenas;
  if (files == NULL || arenas == NULL) {
    free(path);
    return spinfer_reader_fail(error, "E_MEMORY", "not enough memory");
  }
  model->files[count] = path;
  if (spinfer_reader_add_file(model, path, error)) return 1;
  free(path);
  return 0;
}

/* Every tensor of the shards is in the index, where the index says it is. */
static inline int spinfer_reader_check_map(const spinfer_reader* model,
                                           const spinfer_reader_map* map,
                                           spinfer_reader_error* error) {
  size_t i;
  int good = model->tensor_count == map->count;
  for (i = 0; good && i < map->count; ++i) {
    const spinfer_reader_text shard = map->items[i].shard;
    spinfer_reader_tensor key;
    const spinfer_reader_tensor* found;
    memset(&key, 0, sizeof key);
    key.name = map->items[i].tensor.text;
    key.name_bytes = map->items[i].tensor.bytes;
    found = (const spinfer_reader_tensor*)bsearch(&key, model->tensors, model->tensor_count,
                                                  sizeof key, spinfer_reader_compare_names);
    good = found != NULL && spinfer_reader_ends_with(model->files[found->file],
                                                     strlen(model->files[found->file]), shard.text);
  }
  if (good) return 1;
  return spinfer_reader_fail(error, "E_INDEX_MISMATCH",
                             "index and shards do not name the same tensors");
}

static inline int spinfer_reader_add_shards(spinfer_reader* model, const char* folder,
                                            const spinfer_reader_map* map,
                                            spinfer_reader_error* error) {
  size_t i;
  if (map->count > 1) {
    qsort(map->items, map->count, sizeof *map->items, spinfer_reader_compare_shards);
  }
  for (i = 0; i < map->count; ++i) {
    if (i > 0 && spinfer_reader_compare_shards(&map->items[i - 1], &map->items[i]) == 0) continue;
    if (model->file_count >= 10000)
      return spinfer_reader_fail(error, "E_LIMIT_SHARDS", "more than 10000 shards");
    if (!spinfer_reader_add_path(
            model, spinfer_reader_join(folder, map->items[i].shard.text, error), error)) {
      return 0;
    }
  }
  if (model->tensor_count > 1) {
    qsort(model->tensors, model->tensor_count, sizeof *model->tensors,
          spinfer_reader_compare_names);
  }
  return spinfer_reader_check_map(model, map, error);
}

static inline int spinfer_reader_add_indexed(spinfer_reader* model, const char* folder,
                                             spinfer_reader_error* error) {
  spinfer_reader_map map = {NULL, 0};
  spinfer_reader_json json;
  char* path = spinfer_reader_join(folder, "model.safetensors.index.json", error);
  int good;
  if (path == NULL) return 0;
  good = spinfer_reader_open_json(path, 256 << 20, "E_INDEX", &json, error) &&
         spinfer_reader_read_index(&json, &map) &&
         spinfer_reader_add_shards(model, folder, &map, error);
  free(map.items);
  spinfer_reader_close_json(&json);
  free(path);
  return good;
}

/* Opens a tile-bitmap folder, or one file whose name ends in .safetensors. Reads and checks every
 * header. Tensors are sorted by name. Close it with spinfer_reader_close(). */
static inline int spinfer_reader_open(const char* path, spinfer_reader* model,
                                      spinfer_reader_error* error) {
  int good;
  memset(model, 0, sizeof *model);
  error->code = "";
  error->message[0] = '\0';
  if (spinfer_reader_ends_with(path, strlen(path), ".safetensors")) {
    char* copy = (char*)spinfer_reader_allocate(strlen(path), error);
    if (copy != NULL) memcpy(copy, path, strlen(path) + 1);
    good = copy != NULL && spinfer_reader_add_path(model, copy, error);
  } else {
    char* single = spinfer_reader_join(path, "model.safetensors", error);
    FILE* file = single == NULL ? NULL : fopen(single, "rb");
    if (file != NULL) fclose(file);
    good = single != NULL && spinfer_reader_check_config(path, error);
    if (good && file != NULL) {
      good = spinfer_reader_add_path(model, single, error);
      single = NULL; /* the model's, or freed */
    } else if (good) {
      good = spinfer_reader_add_indexed(model, path, error);
    }
    free(single);
  }
  good = good && spinfer_reader_join_pairs(model, error);
  if (!good) spinfer_reader_close(model);
  return good;
}

/* The bytes of a tensor as they are stored, allocated; free() them. */
static inline uint8_t* spinfer_reader_bytes(const spinfer_reader* model, uint32_t file,
                                            uint64_t begin, uint64_t end,
                                            spinfer_reader_error* error) {
  uint64_t size = 0;
  FILE* opened = spinfer_reader_open_file(model->files[file], &size, error);
  uint8_t* bytes;
  if (opened == NULL) return NULL;
  bytes = (uint8_t*)spinfer_reader_allocate(end - begin, error);
  if (bytes != NULL && !spinfer_reader_read(opened, begin, bytes, end - begin, error)) {
    free(bytes);
    bytes = NULL;
  }
  fclose(opened);
  return bytes;
}

/* Loads and checks a packed weight. flags: SPINFER_READER_CRC. Free it with spinfer_reader_free(). */
static inline int spinfer_reader_load(const spinfer_reader* model,
                                      const spinfer_reader_tensor* tensor, uint32_t flags,
                                      spinfer_reader_weight* out, spinfer_reader_error* error) {
  uint32_t i;
  int good;
  memset(out, 0, sizeof *out);
  if (!tensor->packed)
    return spinfer_reader_fail(error, "E_TB_PAIR", "%.150s: the weight is not packed", tensor->name);
  out->meta_bytes = tensor->meta_end - tensor->meta_begin;
  out->meta = spinfer_reader_bytes(model, tensor->meta_file, tensor->meta_begin, tensor->meta_end,
                                   error);
  out->payload = out->meta == NULL ? NULL
                                   : spinfer_reader_bytes(model, tensor->file, tensor->begin,
                                                          tensor->end, error);
  good = out->payload != NULL &&
         spinfer_reader_check_matrix(out->meta, out->meta_bytes, out->payload,
                                     tensor->end - tensor->begin, flags, &out->matrix, error);
  if (good) {
    const uint64_t count = (uint64_t)out->matrix.chunks + 1;
    out->offsets = (uint32_t*)spinfer_reader_allocate(4 * count, error);
    good = out->offsets != NULL;
    for (i = 0; good && i < count; ++i) {
      out->offsets[i] = spinfer_reader_u32(out->meta + 64 + 4 * (uint64_t)i);
    }
  }
  if (!good) spinfer_reader_free(out);
  return good;
}

#ifdef __cplusplus
}
#endif
#endif
