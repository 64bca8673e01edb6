/** The options, each written once. */
import type { OptionSpec } from "./spec.ts";
import { OUTPUT_FORMATS } from "./spec.ts";

const OUTPUT = "Output";
const WORK = "Work";
const PRUNING = "Pruning";
const WRITING = "Writing";

export const PROGRESS_MODES = ["auto", "bar", "plain", "json", "none"] as const;
export type ProgressMode = (typeof PROGRESS_MODES)[number];

/** A test holds these to the pipeline's own lists; importing those would cost every start 50 ms. */
export const CHOICES = {
  method: ["magnitude", "random", "wanda", "ria", "sparsegpt", "dsnot", "tile-balanced"],
  allocation: ["uniform", "owl"],
  windows: ["first", "random"],
  mode: ["sequential", "one-pass"],
  scope: ["matrix", "row", "model"],
  to: ["tile-bitmap", "dense"],
  dtype: ["f16", "bf16", "f32"],
  level: ["structure", "hash", "full"],
  preset: ["magnitude-50", "magnitude-60", "two-four", "convert"],
  protocol: ["wanda", "llamacpp", "strided"],
  bos: ["none", "once", "window"],
  engine: ["auto", "onnxruntime", "typescript"],
  shell: ["bash", "zsh", "fish"],
} as const;

/** Accepted by every command, before or after its name. */
export const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  {
    name: "format",
    kind: "value",
    choices: OUTPUT_FORMATS,
    summary: "form of the result (auto: for people)",
    group: OUTPUT,
  },
  { name: "json", kind: "flag", summary: "the same as --format json", group: OUTPUT },
  {
    name: "quiet",
    alias: "q",
    kind: "flag",
    summary: "only the essential value, and no progress",
    group: OUTPUT,
  },
  {
    name: "no-color",
    kind: "flag",
    summary: "no colours (NO_COLOR does the same)",
    group: OUTPUT,
  },
  {
    name: "progress",
    kind: "value",
    choices: PROGRESS_MODES,
    summary: "how progress is shown on stderr (auto: bars on a terminal, else lines)",
    group: OUTPUT,
  },
  {
    name: "debug",
    kind: "flag",
    summary: "show stack traces (SPINFER_DEBUG=1 does the same)",
    group: OUTPUT,
  },
  {
    name: "threads",
    kind: "value",
    placeholder: "N",
    summary: "worker threads (as many as the machine runs at once)",
    group: WORK,
  },
  {
    name: "limit",
    kind: "list",
    placeholder: "KEY=N",
    summary: "raise a resource limit; see docs/cli.md for the keys",
    group: WORK,
  },
  {
    name: "follow-symlinks",
    kind: "flag",
    summary: "read links that lead out of the model folder",
    group: WORK,
  },
  { name: "help", alias: "h", kind: "flag", summary: "this text", group: OUTPUT },
  { name: "version", alias: "V", kind: "flag", summary: "print the version", group: OUTPUT },
];

const output: OptionSpec = {
  name: "output",
  alias: "o",
  kind: "value",
  placeholder: "DIR",
  value: "folder",
  summary: "where the new checkpoint goes; must not exist yet",
  group: WRITING,
};

const to: OptionSpec = {
  name: "to",
  kind: "value",
  choices: CHOICES.to,
  summary: "how sparse matrices are stored (tile-bitmap)",
  group: WRITING,
};

const dtype: OptionSpec = {
  name: "dtype",
  kind: "value",
  choices: CHOICES.dtype,
  summary: "dtype of the weights (the source's own 16-bit type, else f16)",
  group: WRITING,
};

const maxShardSize: OptionSpec = {
  name: "max-shard-size",
  kind: "value",
  placeholder: "SIZE",
  summary: "largest output file: 500MB, 2GiB, … (5GB)",
  group: WRITING,
};

const strictFinite: OptionSpec = {
  name: "strict-finite",
  kind: "flag",
  summary: "refuse NaN and infinity instead of keeping and reporting them",
  group: WRITING,
};

const keepUnknown: OptionSpec = {
  name: "keep-unknown",
  kind: "flag",
  summary: "carry tensors of unknown dtype over as they are",
  group: WRITING,
};

const dryRun: OptionSpec = {
  name: "dry-run",
  kind: "flag",
  summary: "show the plan and write nothing",
  group: WRITING,
};

/** What only makes sense when something is written. */
const RUNNING: readonly OptionSpec[] = [
  { name: "resume", kind: "flag", summary: "go on with an unfinished run", group: WRITING },
  {
    name: "restart",
    kind: "flag",
    summary: "throw an unfinished run away and start again",
    group: WRITING,
  },
  {
    name: "force",
    kind: "flag",
    summary: "replace an existing output (swapped in when complete)",
    group: WRITING,
  },
  {
    name: "skip-space-check",
    kind: "flag",
    summary: "start even if the disk seems too small",
    group: WRITING,
  },
  {
    name: "verify",
    kind: "value",
    choices: ["none", ...CHOICES.level],
    summary: "how the result is verified at the end (hash)",
    group: WRITING,
  },
];

const PRUNE: readonly OptionSpec[] = [
  {
    name: "method",
    kind: "value",
    choices: CHOICES.method,
    summary: "which weights go (magnitude: those nearest to zero; wanda with --calib)",
    group: PRUNING,
  },
  {
    name: "sparsity",
    kind: "value",
    placeholder: "S",
    summary: "fraction of each matrix that becomes zero, 0 ≤ S < 1 (0.5)",
    group: PRUNING,
  },
  {
    name: "target",
    kind: "value",
    placeholder: "T",
    summary:
      'instead of a sparsity: the output\'s size (2GB), its share of the dense size (60%), or a perplexity limit ("ppl<=+5%", "ppl<=12.3")',
    group: PRUNING,
  },
  {
    name: "pattern",
    kind: "value",
    placeholder: "P",
    summary: "unstructured, or N:M such as 2:4 (N kept of every M inputs)",
    group: PRUNING,
  },
  {
    name: "scope",
    kind: "value",
    choices: CHOICES.scope,
    summary: "what one threshold spans (matrix)",
    group: PRUNING,
  },
  {
    name: "seed",
    kind: "value",
    placeholder: "N",
    summary: "seed of --method random, else of --windows random (0)",
    group: PRUNING,
  },
  {
    name: "targets",
    kind: "list",
    placeholder: "PATTERN",
    summary: "prune these: a name, a glob, re:REGEX, or Linear (Linear); repeatable",
    group: PRUNING,
  },
  {
    name: "ignore",
    kind: "list",
    placeholder: "PATTERN",
    summary: "but not these; repeatable",
    group: PRUNING,
  },
  {
    name: "allocation",
    kind: "value",
    choices: CHOICES.allocation,
    summary: "the same sparsity for all blocks, or by their outliers (uniform)",
    group: PRUNING,
  },
  {
    name: "allow-empty",
    kind: "flag",
    summary: "do not mind targets that match nothing",
    group: PRUNING,
  },
];

const CALIBRATION_GROUP = "Calibration";

const tokenizer: OptionSpec = {
  name: "tokenizer",
  kind: "value",
  placeholder: "PATH",
  value: "file",
  summary: "a tokenizer.json or its folder (the model's own)",
  group: CALIBRATION_GROUP,
};

const engine: OptionSpec = {
  name: "engine",
  kind: "value",
  choices: CHOICES.engine,
  summary: "what computes (auto: onnxruntime where it is installed)",
  group: WORK,
};

const calib: OptionSpec = {
  name: "calib",
  kind: "value",
  placeholder: "TEXT",
  value: "file",
  summary: "gather activations on this text: a file, a .jsonl file or a folder",
  group: CALIBRATION_GROUP,
};

/** How the text is read. */
const CALIBRATION: readonly OptionSpec[] = [
  calib,
  {
    name: "field",
    kind: "value",
    placeholder: "NAME",
    summary: "the field of each JSON line (text)",
    group: CALIBRATION_GROUP,
  },
  {
    name: "nsamples",
    kind: "value",
    placeholder: "N",
    summary: "windows of text (128)",
    group: CALIBRATION_GROUP,
  },
  {
    name: "seqlen",
    kind: "value",
    placeholder: "N",
    summary: "tokens of a window (2048, or what the model has positions for)",
    group: CALIBRATION_GROUP,
  },
  {
    name: "windows",
    kind: "value",
    choices: CHOICES.windows,
    summary: "which windows: the first of the text, or drawn at random (first)",
    group: CALIBRATION_GROUP,
  },
  {
    name: "mode",
    kind: "value",
    choices: CHOICES.mode,
    summary: "inputs that have passed pruned blocks, or those of the dense model",
    group: CALIBRATION_GROUP,
  },
  tokenizer,
  engine,
];

const stats: OptionSpec = {
  name: "stats",
  kind: "value",
  placeholder: "FILE",
  value: "file",
  summary: "use this statistics file; with --calib write it when it is not there",
  group: CALIBRATION_GROUP,
};

const EVALUATION = "Evaluation";

const dataset: OptionSpec = {
  name: "dataset",
  kind: "value",
  placeholder: "PATH",
  value: "file",
  summary: "a text file, a .jsonl file or a folder of .txt files (the embedded model's own text)",
  group: EVALUATION,
};

/** Which tokens of a text are read together and scored. */
const WINDOWS: readonly OptionSpec[] = [
  {
    name: "protocol",
    kind: "value",
    choices: CHOICES.protocol,
    summary: "how the text is cut and scored (wanda: as the papers do)",
    group: EVALUATION,
  },
  {
    name: "ctx",
    kind: "value",
    placeholder: "N",
    summary: "tokens of a window (2048, llamacpp 512; at most what the model reads)",
    group: EVALUATION,
  },
  {
    name: "stride",
    kind: "value",
    placeholder: "N",
    summary: "tokens between windows, with --protocol strided (half of the window)",
    group: EVALUATION,
  },
  {
    name: "max-windows",
    kind: "value",
    placeholder: "N",
    summary: "only the first N windows",
    group: EVALUATION,
  },
  {
    name: "bos",
    kind: "value",
    choices: CHOICES.bos,
    summary: "the token that begins texts (once, as the tokenizer adds it; llamacpp: window)",
    group: EVALUATION,
  },
];

/** Of a perplexity limit as target; --field and --tokenizer are those of calibration too. */
const LIMIT: readonly OptionSpec[] = [
  { ...dataset, summary: "with a perplexity limit: the text to measure it on, as eval takes it" },
  ...WINDOWS,
];

const recipe: OptionSpec = {
  name: "recipe",
  kind: "value",
  placeholder: "FILE",
  value: "file",
  summary: "take the settings from a recipe; flags win over it",
  group: PRUNING,
};

const saveRecipe: OptionSpec = {
  name: "save-recipe",
  kind: "value",
  placeholder: "FILE",
  value: "file",
  summary: "write the resolved recipe to a file",
  group: PRUNING,
};

const planTensors: OptionSpec = {
  name: "tensors",
  kind: "flag",
  summary: "one line a tensor instead of a kind, when showing a plan",
  group: OUTPUT,
};

const DENSE_OUTPUT = [output, to, dtype, maxShardSize, strictFinite, keepUnknown];

export const PRUNE_OPTIONS = [
  ...PRUNE,
  ...CALIBRATION,
  stats,
  ...LIMIT,
  recipe,
  saveRecipe,
  ...DENSE_OUTPUT,
  ...RUNNING,
  dryRun,
  planTensors,
];
export const RUN_OPTIONS = [
  ...DENSE_OUTPUT,
  ...RUNNING,
  dryRun,
  planTensors,
  ...PRUNE,
  ...CALIBRATION,
  stats,
  ...LIMIT,
  saveRecipe,
];
export const CALIBRATE_OPTIONS = [
  ...CALIBRATION,
  ...PRUNE,
  recipe,
  {
    ...output,
    placeholder: "FILE",
    value: "file" as const,
    summary: "where the statistics go; must not exist yet",
  },
  ...RUNNING.filter(({ name }) => name === "resume" || name === "restart"),
];
export const CONVERT_OPTIONS = [...DENSE_OUTPUT, ...RUNNING, dryRun, planTensors];
export const RECIPE_SHOW_OPTIONS = [
  ...PRUNE,
  ...CALIBRATION.filter(({ name }) => name !== "tokenizer" && name !== "engine"),
  ...LIMIT,
  output,
  to,
  dtype,
  maxShardSize,
  strictFinite,
];

const SHOWN = "What is shown";

export const INSPECT_OPTIONS: readonly OptionSpec[] = [
  { name: "layers", kind: "flag", summary: "one line a block", group: SHOWN },
  {
    name: "tensors",
    kind: "optional",
    placeholder: "PATTERN",
    summary: "one line a tensor; with a pattern (name, glob, re:REGEX) only those",
    group: SHOWN,
  },
  {
    name: "top",
    kind: "value",
    placeholder: "N",
    summary: "only the N largest of them",
    group: SHOWN,
  },
  {
    name: "stats",
    kind: "flag",
    summary: "read all weights and count their zeros",
    group: SHOWN,
  },
  { name: "hash", kind: "flag", summary: "SHA-256 of the files that hold tensors", group: SHOWN },
  { ...keepUnknown, group: SHOWN, summary: "list tensors of unknown dtype too" },
];

const CHECKING = "Checking";

export const VERIFY_OPTIONS: readonly OptionSpec[] = [
  {
    name: "level",
    kind: "value",
    choices: CHOICES.level,
    summary: "how deep; each level has all of the one before (hash)",
    group: CHECKING,
  },
  {
    name: "against",
    kind: "value",
    placeholder: "DENSE",
    value: "folder",
    summary: "the dense source for --level full (where the manifest says)",
    group: CHECKING,
  },
  {
    ...stats,
    summary: "the statistics it was pruned by, for --level full (those in the checkpoint)",
    group: CHECKING,
  },
  {
    name: "fail-fast",
    kind: "flag",
    summary: "stop at the first finding",
    group: CHECKING,
  },
];

const COMPARING = "Comparing";

export const EVAL_OPTIONS: readonly OptionSpec[] = [
  dataset,
  {
    name: "field",
    kind: "value",
    placeholder: "NAME",
    summary: "the field of each JSON line that holds the text (text)",
    group: EVALUATION,
  },
  ...WINDOWS,
  { ...tokenizer, group: EVALUATION },
  engine,
  {
    name: "base",
    kind: "value",
    placeholder: "DENSE",
    value: "folder",
    summary: "run this model too: change of perplexity, KL divergence, agreement",
    group: COMPARING,
  },
  {
    name: "compare",
    kind: "value",
    placeholder: "REPORT",
    value: "file",
    summary: "compare with a saved report of the same text and protocol",
    group: COMPARING,
  },
  {
    name: "gate",
    kind: "list",
    placeholder: "GATE",
    summary: 'exit with 4 unless "ppl<=12.3", "ppl<=+5%", "kl<=0.1", "agreement>=95%"; repeatable',
    group: COMPARING,
  },
  {
    name: "report",
    kind: "value",
    placeholder: "FILE",
    value: "file",
    summary: "write the result with its provenance as JSON",
    group: WRITING,
  },
  { name: "force", kind: "flag", summary: "replace an existing report", group: WRITING },
];

const SWEEPING = "Sweep";

export const SWEEP_OPTIONS: readonly OptionSpec[] = [
  {
    name: "method",
    kind: "value",
    placeholder: "M,…",
    summary:
      "methods; M+owl shares its sparsity out by outliers (magnitude; with --calib wanda too)",
    group: SWEEPING,
  },
  {
    name: "sparsity",
    kind: "value",
    placeholder: "S,…",
    summary: "0.5,0.6, or 0.3..0.7, or 0.3..0.7..0.05 (0.3..0.7, without --pattern)",
    group: SWEEPING,
  },
  {
    name: "pattern",
    kind: "value",
    placeholder: "N:M,…",
    summary: "N:M patterns, besides sparsities",
    group: SWEEPING,
  },
  ...PRUNE.filter(({ name }) => name === "targets" || name === "ignore"),
  ...CALIBRATION.filter(({ name }) => !["field", "mode", "tokenizer", "engine"].includes(name)),
  {
    name: "seed",
    kind: "value",
    placeholder: "N",
    summary: "seed of --windows random (0)",
    group: CALIBRATION_GROUP,
  },
  { ...stats, summary: "use this statistics file instead of calibrating" },
  ...EVAL_OPTIONS.filter(({ group }) => group === EVALUATION),
  engine,
  {
    ...output,
    summary: "the sweep's folder, for sweep.json; that of an earlier sweep is gone on with",
  },
  {
    name: "keep",
    kind: "flag",
    summary: "keep the pruned checkpoints, in DIR/checkpoints",
    group: WRITING,
  },
  { name: "force", kind: "flag", summary: "throw the record that is there away", group: WRITING },
];

export const REPORT_OPTIONS: readonly OptionSpec[] = [
  {
    ...output,
    placeholder: "FILE",
    value: "file",
    summary: "the page: name it .html or .md; must not exist yet",
  },
  {
    name: "title",
    kind: "value",
    placeholder: "TEXT",
    summary: "title of the page (the model's name)",
    group: WRITING,
  },
  {
    name: "card",
    kind: "value",
    placeholder: "CHECKPOINT",
    value: "folder",
    summary: "write a model card for this pruned checkpoint (to its README.md without -o)",
    group: WRITING,
  },
  { name: "force", kind: "flag", summary: "replace an existing file", group: WRITING },
];

export const DOCTOR_OPTIONS: readonly OptionSpec[] = [
  {
    name: "selftest",
    kind: "flag",
    summary: "prune and verify the model that comes with SpInfer, in a temporary folder",
    group: CHECKING,
  },
];

const MEASURING = "Measuring";

const tokenCounts: OptionSpec = {
  name: "n",
  kind: "value",
  placeholder: "N,…",
  summary: "tokens at once (1,8,16)",
  group: MEASURING,
};

export const BENCH_KERNELS_OPTIONS: readonly OptionSpec[] = [
  {
    name: "shapes",
    kind: "value",
    placeholder: "MxK,…",
    summary: "outputs × inputs (the decode shapes of Llama 2 and 3 and OPT-30B)",
    group: MEASURING,
  },
  {
    name: "config",
    kind: "value",
    placeholder: "FILE",
    value: "file",
    summary: "the linear layers of a config.json; weights need not be there",
    group: MEASURING,
  },
  tokenCounts,
  {
    name: "sparsity",
    kind: "value",
    placeholder: "S,…",
    summary: "shares of zeros of drawn matrices (0.5,0.6,0.7)",
    group: MEASURING,
  },
  {
    name: "mask",
    kind: "value",
    placeholder: "KIND,…",
    summary: "how zeros are drawn: random, wanda, columns, 2:4, strips (random)",
    group: MEASURING,
  },
  {
    name: "dtype",
    kind: "value",
    choices: ["f16", "bf16"],
    summary: "dtype of drawn matrices (f16)",
    group: MEASURING,
  },
  {
    name: "energy",
    kind: "value",
    placeholder: "SECONDS",
    summary: "also the energy of a call, from loops of so many seconds (0: no)",
    group: MEASURING,
  },
  {
    name: "two-four",
    kind: "flag",
    summary: "also 2:4 through cuSPARSELt",
    group: MEASURING,
  },
  {
    name: "skip-stream-limit",
    kind: "flag",
    summary: "do not measure the ceiling: the same bytes read and not decoded",
    group: MEASURING,
  },
];

export const TUNE_OPTIONS: readonly OptionSpec[] = [
  tokenCounts,
  {
    name: "sparsity",
    kind: "value",
    placeholder: "S",
    summary: "of matrices that are not packed yet (0.5)",
    group: MEASURING,
  },
  {
    name: "plan-only",
    kind: "flag",
    summary: "plan from what is known; measure nothing, need no GPU",
    group: MEASURING,
  },
  { name: "again", kind: "flag", summary: "measure what is known too", group: MEASURING },
];

export const RECIPE_INIT_OPTIONS: readonly OptionSpec[] = [
  {
    ...output,
    placeholder: "FILE",
    value: "file",
    summary: "write it to a file (printed otherwise)",
  },
  { name: "force", kind: "flag", summary: "replace an existing file", group: WRITING },
];
