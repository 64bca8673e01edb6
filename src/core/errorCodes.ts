/**
 * The closed set of error codes. A code is API: it never changes its meaning and is never reused.
 * Every code has a page in docs/errors (a test holds the two together).
 */

/** Process exit codes; any other nonzero code means failure too. */
export const EXIT = {
  ok: 0,
  internal: 1,
  usage: 2,
  input: 3,
  mismatch: 4,
  io: 5,
  gpu: 6,
  memory: 7,
  child: 8,
  unsupported: 9,
  output: 10,
  network: 11,
  limit: 12,
  sigint: 130,
  sigterm: 143,
} as const;

interface CodeInfo {
  readonly exit: number;
  /** One sentence: what the code means. The page in docs/errors starts with it. */
  readonly summary: string;
}

const code = (exit: number, summary: string): CodeInfo => ({ exit, summary });

export const ERROR_CODES = {
  // our own fault
  E_INTERNAL: code(EXIT.internal, "SpInfer has a bug"),

  // command line and recipe
  E_USAGE: code(EXIT.usage, "the command line cannot be understood"),
  E_OPTION: code(EXIT.usage, "an option has a value that is not accepted"),
  E_RECIPE_SYNTAX: code(EXIT.usage, "the recipe is not well-formed YAML"),
  E_RECIPE_UNKNOWN_KEY: code(EXIT.usage, "the recipe has a key that SpInfer does not know"),
  E_RECIPE_VALUE: code(EXIT.usage, "the recipe has a value of the wrong type or range"),
  E_RECIPE_ALIAS: code(EXIT.usage, "the recipe uses YAML anchors, aliases, tags or merge keys"),
  E_RECIPE_LIMIT: code(EXIT.usage, "the recipe is too large or nested too deeply"),
  E_RECIPE_ENCODING: code(EXIT.usage, "the recipe is not UTF-8 text"),
  E_PATTERN: code(EXIT.usage, "a target or ignore pattern is not a valid regular expression"),
  E_NO_TARGET: code(EXIT.usage, "a target matches no tensor that can be pruned"),
  E_PRUNER_UNKNOWN: code(EXIT.usage, "there is no pruner of that name"),
  E_FORMAT_UNKNOWN: code(EXIT.usage, "there is no format of that name"),

  // safetensors
  E_ST_SHORT: code(EXIT.input, "the file is too short to be a safetensors file"),
  E_ST_HEADER_TOO_LARGE: code(EXIT.input, "the safetensors header is larger than 100 MB"),
  E_ST_HEADER_LENGTH: code(EXIT.input, "the safetensors header is longer than the file"),
  E_ST_UTF8: code(EXIT.input, "the safetensors header is not UTF-8"),
  E_ST_JSON: code(EXIT.input, "the safetensors header is not JSON"),
  E_ST_JSON_TYPE: code(EXIT.input, "the safetensors header has a value of the wrong type"),
  E_ST_DUP_KEY: code(EXIT.input, "the safetensors header names something twice"),
  E_ST_OFFSETS: code(EXIT.input, "the tensors do not tile the data section"),
  E_ST_SIZE: code(EXIT.input, "a size in the header disagrees with the data"),
  E_ST_TRUNCATED: code(EXIT.input, "the safetensors file is cut short"),
  E_ST_OVERFLOW: code(EXIT.input, "a tensor's shape overflows"),
  E_ST_SUBBYTE: code(EXIT.input, "a sub-byte tensor does not end on a byte"),
  E_ST_DTYPE_UNSUPPORTED: code(EXIT.unsupported, "a tensor has a dtype that SpInfer does not know"),
  E_NOT_SAFETENSORS: code(EXIT.input, "a file named .safetensors is something else"),
  E_HOST_ENDIAN: code(EXIT.unsupported, "this machine is big-endian"),

  // model folder and shard index
  E_MODEL_NOT_FOUND: code(EXIT.input, "there is no model at that path"),
  E_NOT_IN_CACHE: code(EXIT.network, "the model is not in the local Hugging Face cache"),
  E_MODEL_UNRECOGNISED: code(EXIT.input, "the folder or file holds no model that SpInfer can read"),
  E_PATH_ESCAPE: code(EXIT.input, "a file name leads outside the model folder"),
  E_NOT_REGULAR: code(EXIT.input, "the path is not a regular file"),
  E_INDEX: code(EXIT.input, "the shard index is not valid"),
  E_INDEX_EXT: code(EXIT.input, "the shard index names a file that is not safetensors"),
  E_INDEX_MISMATCH: code(EXIT.input, "the shard index and the shards disagree"),
  E_INDEX_DUP: code(EXIT.input, "the same tensor is in two shards"),
  E_SHARD_MISSING: code(EXIT.input, "shards are missing"),
  E_LIMIT_SHARDS: code(EXIT.limit, "the index names too many shards"),
  E_LIMIT_TENSORS: code(EXIT.limit, "the file has too many tensors"),
  E_LIMIT_DENSE: code(EXIT.limit, "the dense size of a tensor is over the limit"),
  E_LIMIT: code(EXIT.limit, "a resource limit is reached"),
  E_CONFIG: code(EXIT.input, "config.json is missing or not valid"),
  E_ARCH_SHAPE: code(EXIT.input, "config.json and the tensors disagree"),
  E_ARCH_UNKNOWN: code(EXIT.unsupported, "models of this architecture cannot be run"),
  E_ARCH_OPTION: code(EXIT.unsupported, "config.json asks for something that is not implemented"),
  E_ARCH_TENSOR: code(EXIT.input, "a tensor that the architecture needs is missing"),
  E_QUANTIZED_INPUT: code(EXIT.unsupported, "the model is already quantized"),
  E_SHAPE_UNSUPPORTED: code(EXIT.unsupported, "a tensor's shape cannot be pruned"),
  E_DTYPE_UNSUPPORTED: code(EXIT.unsupported, "the dtype cannot be used for this"),
  E_NONFINITE: code(EXIT.mismatch, "weights hold NaN or infinity"),

  // GGUF
  E_GGUF_MAGIC: code(EXIT.input, "the file is not GGUF"),
  E_GGUF_VERSION: code(EXIT.unsupported, "the GGUF version is not supported"),
  E_GGUF_COUNT: code(EXIT.input, "a GGUF count is out of range"),
  E_GGUF_STRING: code(EXIT.input, "a GGUF string is out of range or not UTF-8"),
  E_GGUF_DUP: code(EXIT.input, "a GGUF key or tensor name is there twice"),
  E_GGUF_TYPE: code(EXIT.input, "a GGUF value has an unknown or wrong type"),
  E_GGUF_ALIGN: code(EXIT.input, "the GGUF alignment is not valid"),
  E_GGUF_SHAPE: code(EXIT.input, "a GGUF tensor's shape is not valid"),
  E_GGUF_DTYPE: code(EXIT.unsupported, "a GGUF tensor type is not supported"),
  E_GGUF_BLOCK: code(EXIT.input, "a GGUF row is not a whole number of blocks"),
  E_GGUF_OFFSETS: code(EXIT.input, "the GGUF tensors do not tile the data section"),
  E_GGUF_TRUNCATED: code(EXIT.input, "the GGUF file is cut short"),
  E_GGUF_SPLIT: code(EXIT.input, "parts of a split GGUF are missing"),
  E_GGUF_ARCH: code(EXIT.unsupported, "the GGUF architecture is not supported"),
  E_GGUF_METADATA: code(
    EXIT.input,
    "the GGUF metadata needed for a model folder is missing or wrong",
  ),
  E_GGUF_TENSOR: code(EXIT.input, "a GGUF tensor is missing, unknown or has an unexpected shape"),

  // pickle and other containers
  E_PICKLE: code(EXIT.input, "the file is a pickle; SpInfer never opens pickles"),
  E_CONTAINER: code(EXIT.input, "the file is of a kind that SpInfer does not read"),

  // tile-bitmap
  E_TB_VERSION: code(EXIT.unsupported, "the tile-bitmap version is not supported"),
  E_TB_LAYOUT: code(EXIT.input, "the tile-bitmap header is not valid"),
  E_TB_OFFSETS: code(EXIT.input, "the tile-bitmap offsets are not valid"),
  E_TB_COUNT: code(EXIT.input, "the tile-bitmap counts disagree"),
  E_TB_ALIGN: code(EXIT.input, "the tile-bitmap payload has a wrong size"),
  E_TB_POPCOUNT: code(EXIT.input, "a chunk's bitmap disagrees with its size"),
  E_TB_PADDING: code(EXIT.input, "tile-bitmap padding is not zero"),
  E_TB_ZERO: code(EXIT.input, "a tile-bitmap chunk stores a zero"),
  E_TB_PAIR: code(EXIT.input, "a packed weight and its weight_meta do not belong together"),

  // calibration
  E_STATS_MISSING: code(EXIT.usage, "the pruning method needs activation statistics"),
  E_STATS_FILE: code(EXIT.input, "the statistics file is damaged or of another version"),
  E_STATS_MISMATCH: code(EXIT.input, "the statistics are of another model or text"),
  E_STATS_VALUE: code(EXIT.input, "the statistics hold NaN or infinity"),
  E_STATS_SINGULAR: code(EXIT.input, "a Gram matrix cannot be inverted"),

  // running a model
  E_ENGINE_MISSING: code(EXIT.unsupported, "the engine that was asked for is not installed"),
  E_TOKEN_ID: code(EXIT.input, "a token id is outside the model's vocabulary"),
  E_ACTIVATIONS: code(EXIT.mismatch, "the model's numbers became NaN or infinite"),

  // verify
  E_HASH: code(EXIT.mismatch, "a hash does not match"),
  E_MANIFEST: code(EXIT.mismatch, "the manifest is damaged or does not match the checkpoint"),
  E_NO_MANIFEST: code(EXIT.mismatch, "the checkpoint has no manifest"),
  E_MISMATCH: code(EXIT.mismatch, "the checkpoint differs from what its source and recipe give"),
  E_SOURCE_CHANGED: code(EXIT.input, "the source is not what it was"),

  // evaluation
  E_TOKENIZER: code(EXIT.input, "the tokenizer is missing or damaged"),
  E_TOKENIZER_UNSUPPORTED: code(
    EXIT.unsupported,
    "the tokenizer has a part that SpInfer does not know",
  ),
  E_VOCABULARY: code(EXIT.input, "the tokenizer and the model have different vocabularies"),
  E_TEXT: code(EXIT.input, "the text cannot be used"),
  E_TEXT_SHORT: code(EXIT.usage, "the text is shorter than one window"),
  E_EVAL_COMPARE: code(EXIT.usage, "the two evaluations cannot be compared"),
  E_EVAL_REPORT: code(EXIT.input, "the file is not an evaluation report"),
  E_RECORD: code(EXIT.input, "the file is not a record that can be used here"),
  E_GATE: code(EXIT.mismatch, "a quality gate was missed"),
  E_TARGET_UNMET: code(EXIT.mismatch, "no sparsity meets the perplexity limit"),

  // writing
  E_OUTPUT_EXISTS: code(EXIT.output, "the output exists"),
  E_OUTPUT_IS_INPUT: code(EXIT.output, "the output is inside the input or the other way round"),
  E_LOCKED: code(EXIT.output, "another run is writing this output"),
  E_PARTIAL_EXISTS: code(EXIT.output, "an unfinished run of this output is there"),
  E_RESUME_MISMATCH: code(EXIT.output, "the unfinished run was another one"),
  E_NOTHING_TO_RESUME: code(EXIT.output, "there is nothing to resume"),
  E_NO_SPACE: code(EXIT.io, "there is not enough disk space"),
  E_IO: code(EXIT.io, "the operating system refused to read or write"),
  E_PATH: code(EXIT.io, "the path cannot be used"),
  E_CANCELLED: code(EXIT.sigint, "the run was cancelled"),
  E_MEMORY: code(EXIT.memory, "there is not enough memory"),
  E_WORKER: code(EXIT.child, "a worker thread ended unexpectedly"),

  // GPU
  E_GPU_NONE: code(EXIT.gpu, "there is no NVIDIA GPU that can be used"),
  E_GPU_LIBRARY: code(EXIT.gpu, "the CUDA library is missing or does not load"),
  E_GPU_UNSUPPORTED: code(EXIT.gpu, "this GPU or this build cannot do it"),
  E_GPU_BASELINE: code(EXIT.gpu, "a library that a measurement needs is missing"),
  E_GPU_MEMORY: code(EXIT.memory, "there is not enough memory on the GPU"),
  E_GPU_FAULT: code(EXIT.child, "the GPU process failed"),
  E_GPU_WRONG: code(EXIT.mismatch, "a product on the GPU is wrong"),
  E_TUNE_CACHE: code(EXIT.input, "the tuning cache is damaged"),
} as const satisfies Record<string, CodeInfo>;

export type ErrorCode = keyof typeof ERROR_CODES;

export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(ERROR_CODES, value);
}
