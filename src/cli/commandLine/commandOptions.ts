/** Options of commands that look, measure and report. */
import {
  CALIBRATION,
  CALIBRATION_GROUP,
  dataset,
  EVALUATION,
  engine,
  keepUnknown,
  output,
  PRUNE,
  stats,
  tokenizer,
  WINDOWS,
  WRITING,
} from "./makingOptions.ts";
import { CHOICES } from "./options.ts";
import type { OptionSpec } from "./spec.ts";

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
