/** The functions of spinfer_cpu.h as koffi reads them, and its codes. */

export const STATUS = { ok: 0, badArgument: 1, unsupported: 2, memory: 3 } as const;
export const TYPES = { F32: 0, F16: 1, BF16: 2 } as const;
export const LAYOUTS = { "out-in": 0, "in-out": 1 } as const;
export const ACTIVATIONS = { silu: 0, gelu: 1, "gelu-tanh": 2, relu: 3 } as const;
export const OPERATIONS = { add: 0, multiply: 1 } as const;

/** Pointers are untyped: koffi converts arrays of numbers for typed ones. */
export const DECLARATIONS = {
  spinfer_cpu_best: "const char *spinfer_cpu_best()",
  spinfer_cpu_open:
    "int32_t spinfer_cpu_open(int32_t threads, const char *instructions, void *out)",
  spinfer_cpu_close: "void spinfer_cpu_close(void *cpu)",
  spinfer_cpu_pack_weight:
    "int32_t spinfer_cpu_pack_weight(void *cpu, void *values, int32_t type, int64_t outputs, int64_t inputs, int32_t layout, void *out)",
  spinfer_cpu_drop_weight: "void spinfer_cpu_drop_weight(void *weight)",
  spinfer_cpu_set_input:
    "int32_t spinfer_cpu_set_input(void *cpu, void *x, int64_t rows, int64_t columns)",
  spinfer_cpu_linear:
    "int32_t spinfer_cpu_linear(void *cpu, void *weight, void *bias, void *added, void *out)",
  spinfer_cpu_losses:
    "int32_t spinfer_cpu_losses(void *cpu, void *weight, void *bias, float softcap, void *targets, void *losses)",
  spinfer_cpu_rms_norm:
    "int32_t spinfer_cpu_rms_norm(void *cpu, void *x, int64_t groups, int64_t size, void *weight, double epsilon, int32_t add_one, void *out)",
  spinfer_cpu_layer_norm:
    "int32_t spinfer_cpu_layer_norm(void *cpu, void *x, int64_t groups, int64_t size, void *weight, void *bias, double epsilon, void *out)",
  spinfer_cpu_rotary:
    "int32_t spinfer_cpu_rotary(void *cpu, void *x, int64_t tokens, int64_t length, int64_t heads, int64_t head_size, int64_t turned, void *cosine, void *sine, void *out)",
  spinfer_cpu_attention:
    "int32_t spinfer_cpu_attention(void *cpu, void *query, void *key, void *value, void *spec, void *out)",
  spinfer_cpu_activate:
    "int32_t spinfer_cpu_activate(void *cpu, void *x, void *factor, int64_t count, int32_t activation, void *out)",
  spinfer_cpu_combine:
    "int32_t spinfer_cpu_combine(void *cpu, void *left, void *right, int64_t count, int32_t operation, void *out)",
  spinfer_cpu_scale:
    "int32_t spinfer_cpu_scale(void *cpu, void *x, int64_t count, float scale, float softcap, void *out)",
  spinfer_cpu_columns:
    "int32_t spinfer_cpu_columns(void *cpu, void *x, int64_t groups, int64_t width, int64_t begin, int64_t end, void *out)",
  spinfer_cpu_all_finite:
    "int32_t spinfer_cpu_all_finite(void *cpu, void *x, int64_t count, void *out)",
  spinfer_cpu_sums:
    "int32_t spinfer_cpu_sums(void *cpu, void *x, int64_t rows, int64_t columns, void *sums, void *squares)",
  spinfer_cpu_gram:
    "int32_t spinfer_cpu_gram(void *cpu, void *x, int64_t rows, int64_t columns, void *triangle)",
} as const;

export type FunctionName = keyof typeof DECLARATIONS;
/** Those that take the context, do work and return a status. */
export type OperationName = Exclude<
  FunctionName,
  | "spinfer_cpu_best"
  | "spinfer_cpu_open"
  | "spinfer_cpu_close"
  | "spinfer_cpu_drop_weight"
  | "spinfer_cpu_pack_weight"
>;

/** spinfer_cpu_attention_spec. */
export const ATTENTION_SPEC = {
  tokens: "int64_t",
  length: "int64_t",
  heads: "int64_t",
  key_heads: "int64_t",
  head_size: "int64_t",
  window: "int64_t",
  scale: "float",
  softcap: "float",
} as const;
