/* C ABI of the CPU library: the operations of a decoder on x86-64, in float32.
 *
 * Matrices are dense and row-major. A context owns a pool of threads; its functions return when the
 * work is done and must not be called at the same time. Buffers belong to the caller and do not
 * overlap, except where a function says that its output may be one of its inputs. Results do not
 * depend on the number of threads.
 *
 * Where the processor multiplies tiles (AMX-BF16), products are made of bfloat16 parts: a float32
 * is the sum of three, and the products whose parts together lie within 24 bits are added up in
 * float32. A weight that came from bfloat16 has one part, one from float16 two. */
#ifndef SPINFER_CPU_H
#define SPINFER_CPU_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPINFER_CPU_API __attribute__((visibility("default")))

/* Raised by every change to a signature below. */
#define SPINFER_CPU_ABI_VERSION 1

typedef int32_t spinfer_cpu_status;
enum {
  SPINFER_CPU_OK = 0,
  SPINFER_CPU_BAD_ARGUMENT = 1, /* a null pointer, a size, a code */
  SPINFER_CPU_UNSUPPORTED = 2,  /* not on this processor */
  SPINFER_CPU_MEMORY = 3        /* not enough memory, or no thread could be started */
};

typedef struct spinfer_cpu spinfer_cpu;
typedef struct spinfer_cpu_weight spinfer_cpu_weight;

/* How a weight is stored: [outputs, inputs] or [inputs, outputs]. */
enum { SPINFER_CPU_OUT_IN = 0, SPINFER_CPU_IN_OUT = 1 };
enum {
  SPINFER_CPU_SILU = 0,
  SPINFER_CPU_GELU = 1,      /* x / 2 * (1 + erf(x / sqrt 2)) */
  SPINFER_CPU_GELU_TANH = 2, /* its approximation by tanh */
  SPINFER_CPU_RELU = 3
};
enum { SPINFER_CPU_F32 = 0, SPINFER_CPU_F16 = 1, SPINFER_CPU_BF16 = 2 };
enum { SPINFER_CPU_ADD = 0, SPINFER_CPU_MULTIPLY = 1 };

SPINFER_CPU_API int32_t spinfer_cpu_abi_version(void);

/* The best instruction set of this processor that the library has code for: "amx", "avx512" or
 * "avx2"; "" when there is none. */
SPINFER_CPU_API const char* spinfer_cpu_best(void);

/* instructions: one of the names above that the processor has; null: the best one. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_open(int32_t threads, const char* instructions,
                                                    spinfer_cpu** out);
SPINFER_CPU_API void spinfer_cpu_close(spinfer_cpu* cpu); /* weights are dropped before */

/* Arranges a weight for linear and losses of this context, or of others with its instruction set.
 * `values`, of type SPINFER_CPU_F32 and so on, are not read afterwards. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_pack_weight(spinfer_cpu* cpu, const void* values,
                                                           int32_t type, int64_t outputs,
                                                           int64_t inputs, int32_t layout,
                                                           spinfer_cpu_weight** out);
SPINFER_CPU_API void spinfer_cpu_drop_weight(spinfer_cpu_weight* weight);

/* Arranges x [rows, columns] for the calls of linear and losses that follow; x is not read
 * afterwards. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_set_input(spinfer_cpu* cpu, const float* x,
                                                         int64_t rows, int64_t columns);

/* out [rows, outputs] = input weight^T + bias + added. bias [outputs] and added [rows, outputs] may
 * be null; out may be added. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_linear(spinfer_cpu* cpu,
                                                      const spinfer_cpu_weight* weight,
                                                      const float* bias, const float* added,
                                                      float* out);

/* losses [rows] = -ln softmax(cap(input weight^T + bias))[target], cap(s) = softcap tanh(s /
 * softcap) where softcap is not 0; NaN where a target is negative. Targets are less than outputs.
 */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_losses(spinfer_cpu* cpu,
                                                      const spinfer_cpu_weight* weight,
                                                      const float* bias, float softcap,
                                                      const int32_t* targets, double* losses);

/* groups x size values: x * weight / sqrt(mean x^2 + epsilon), or * (1 + weight) with add_one. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_rms_norm(spinfer_cpu* cpu, const float* x,
                                                        int64_t groups, int64_t size,
                                                        const float* weight, double epsilon,
                                                        int32_t add_one, float* out);

/* weight and bias may be null. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_layer_norm(spinfer_cpu* cpu, const float* x,
                                                          int64_t groups, int64_t size,
                                                          const float* weight, const float* bias,
                                                          double epsilon, float* out);

/* Turns pairs (i, i + turned / 2) of the first `turned` columns of each head; cosine and sine
 * [length, turned / 2]; x [tokens, heads * head_size]; token t is at position t mod length. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_rotary(spinfer_cpu* cpu, const float* x,
                                                      int64_t tokens, int64_t length, int64_t heads,
                                                      int64_t head_size, int64_t turned,
                                                      const float* cosine, const float* sine,
                                                      float* out);

typedef struct {
  int64_t tokens, length; /* windows of `length` tokens, one after the other */
  int64_t heads, key_heads, head_size;
  int64_t window; /* positions that one sees, itself among them; 0: all before it */
  float scale;
  float softcap; /* 0: none */
} spinfer_cpu_attention_spec;

/* Causal attention: query and out [tokens, heads * head_size], key and value
 * [tokens, key_heads * head_size]. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_attention(spinfer_cpu* cpu, const float* query,
                                                         const float* key, const float* value,
                                                         const spinfer_cpu_attention_spec* spec,
                                                         float* out);

/* out = activation(x) * factor; factor may be null, out may be x or factor. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_activate(spinfer_cpu* cpu, const float* x,
                                                        const float* factor, int64_t count,
                                                        int32_t activation, float* out);

/* out may be left or right. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_combine(spinfer_cpu* cpu, const float* left,
                                                       const float* right, int64_t count,
                                                       int32_t operation, float* out);

/* out = scale * x, or softcap tanh(scale * x / softcap) where softcap is not 0; out may be x. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_scale(spinfer_cpu* cpu, const float* x,
                                                     int64_t count, float scale, float softcap,
                                                     float* out);

/* Of each of rows * groups runs of `width` values, begin..end; one after the other. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_columns(spinfer_cpu* cpu, const float* x,
                                                       int64_t groups, int64_t width, int64_t begin,
                                                       int64_t end, float* out);

/* *out = 1 where no value is NaN or infinite, else 0. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_all_finite(spinfer_cpu* cpu, const float* x,
                                                          int64_t count, int32_t* out);

/* Adds to sums [columns] and squares [columns] those of each column of x [rows, columns]. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_sums(spinfer_cpu* cpu, const float* x, int64_t rows,
                                                    int64_t columns, double* sums, double* squares);

/* Adds x^T x to `triangle`: of (i, j <= i) at i (i + 1) / 2 + j. */
SPINFER_CPU_API spinfer_cpu_status spinfer_cpu_gram(spinfer_cpu* cpu, const float* x, int64_t rows,
                                                    int64_t columns, double* triangle);

#ifdef __cplusplus
}
#endif

#endif
