/** Options of every command, and the words that options choose from. */
import { ENGINES } from "../../engine/engine.ts";
import type { OptionSpec } from "./spec.ts";
import { OUTPUT_FORMATS } from "./spec.ts";

/** Headings that options of several commands stand under. */
export const OUTPUT = "Output";
export const WORK = "Work";

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
  engine: ["auto", ...ENGINES],
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
