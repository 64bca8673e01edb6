/** Options of commands that make a checkpoint or say how, each written once. */
import { CHOICES, OUTPUT, WORK } from "./options.ts";
import type { OptionSpec } from "./spec.ts";

const PRUNING = "Pruning";
export const WRITING = "Writing";

export const output: OptionSpec = {
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

export const keepUnknown: OptionSpec = {
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

export const PRUNE: readonly OptionSpec[] = [
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

export const CALIBRATION_GROUP = "Calibration";

export const tokenizer: OptionSpec = {
  name: "tokenizer",
  kind: "value",
  placeholder: "PATH",
  value: "file",
  summary: "a tokenizer.json or its folder (the model's own)",
  group: CALIBRATION_GROUP,
};

export const engine: OptionSpec = {
  name: "engine",
  kind: "value",
  choices: CHOICES.engine,
  summary: "what computes (auto: the fastest that can be loaded)",
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
export const CALIBRATION: readonly OptionSpec[] = [
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

export const stats: OptionSpec = {
  name: "stats",
  kind: "value",
  placeholder: "FILE",
  value: "file",
  summary: "use this statistics file; with --calib write it when it is not there",
  group: CALIBRATION_GROUP,
};

export const EVALUATION = "Evaluation";

export const dataset: OptionSpec = {
  name: "dataset",
  kind: "value",
  placeholder: "PATH",
  value: "file",
  summary: "a text file, a .jsonl file or a folder of .txt files (the embedded model's own text)",
  group: EVALUATION,
};

/** Which tokens of a text are read together and scored. */
export const WINDOWS: readonly OptionSpec[] = [
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
