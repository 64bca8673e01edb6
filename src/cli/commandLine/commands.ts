/** The commands. What they do is in ../commands. */
import {
  BENCH_KERNELS_OPTIONS,
  DOCTOR_OPTIONS,
  EVAL_OPTIONS,
  INSPECT_OPTIONS,
  RECIPE_INIT_OPTIONS,
  REPORT_OPTIONS,
  SWEEP_OPTIONS,
  TUNE_OPTIONS,
  VERIFY_OPTIONS,
} from "./commandOptions.ts";
import {
  CALIBRATE_OPTIONS,
  CONVERT_OPTIONS,
  PRUNE_OPTIONS,
  RECIPE_SHOW_OPTIONS,
  RUN_OPTIONS,
} from "./makingOptions.ts";
import { CHOICES } from "./options.ts";
import type { CommandSpec, PositionalSpec } from "./spec.ts";

const model: PositionalSpec = {
  name: "model",
  required: true,
  value: "folder",
  summary:
    "a model folder, a .safetensors or .gguf file, or org/name[@rev] in the local Hugging Face cache",
};

const recipeFile: PositionalSpec = {
  name: "recipe",
  required: true,
  value: "file",
  summary: "a recipe (YAML, see docs/recipe.md)",
};

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: "inspect",
    summary: "show what a model is, from its headers",
    positionals: [model],
    options: INSPECT_OPTIONS,
    table: true,
    examples: [
      ["spinfer inspect ./Llama-3.2-1B", "parameters, dtypes and sizes by role"],
      ["spinfer inspect out --layers", "sparsity of every block of a packed checkpoint"],
      ["spinfer inspect out --tensors '*.down_proj' --json", "some tensors, for a program"],
    ],
  },
  {
    name: "plan",
    summary: "show what prune would do, before any work",
    positionals: [model],
    // so that any prune command line can be planned first
    options: PRUNE_OPTIONS,
    table: true,
    examples: [
      ["spinfer plan ./Llama-3.2-1B --sparsity 0.6", "size, memory, disk and time"],
      ["spinfer plan ./Llama-3.2-1B --recipe recipe.yaml --format csv", "tensor by tensor"],
    ],
  },
  {
    name: "prune",
    summary: "prune a model and store it without its zeros",
    positionals: [model],
    options: PRUNE_OPTIONS,
    table: true,
    examples: [
      ["spinfer prune ./Llama-3.2-1B -o out --sparsity 0.5", "half of every linear layer"],
      ["spinfer prune model.gguf -o out --pattern 2:4 --to dense", "loads in every runtime"],
      ["spinfer prune ./Llama-3.2-1B -o out --calib text.txt --sparsity 0.6", "by activations"],
      [
        "spinfer prune ./Llama-3.2-1B -o out --target 'ppl<=+5%' --dataset text.txt",
        "as much as 5 % of perplexity allows",
      ],
      ["spinfer prune ./Llama-3.2-1B -o out --recipe recipe.yaml", "settings from a file"],
      ["spinfer prune ./Llama-3.2-1B -o out --resume", "after it was interrupted"],
    ],
  },
  {
    name: "calibrate",
    summary: "gather what flows into each matrix of a model, to prune by",
    positionals: [model],
    options: CALIBRATE_OPTIONS,
    table: false,
    examples: [
      ["spinfer calibrate ./Llama-3.2-1B --calib text.txt -o stats.safetensors", "for wanda"],
      [
        "spinfer calibrate ./Llama-3.2-1B --calib text.txt --method sparsegpt -o gram.safetensors",
        "with the Gram matrices that SparseGPT needs",
      ],
      ["spinfer prune ./Llama-3.2-1B --stats stats.safetensors --sparsity 0.6 -o out", "use them"],
    ],
  },
  {
    name: "convert",
    summary: "store a model another way; its weights stay bit for bit",
    positionals: [model],
    options: CONVERT_OPTIONS,
    table: true,
    examples: [
      ["spinfer convert out -o dense --to dense", "tile-bitmap back to plain safetensors"],
      ["spinfer convert model.gguf -o folder --to dense", "GGUF to a Hugging Face folder"],
      ["spinfer convert pruned -o out --to tile-bitmap", "weights that were pruned elsewhere"],
    ],
  },
  {
    name: "verify",
    summary: "check a checkpoint: structure, hashes, and its weights against the source",
    positionals: [
      {
        name: "checkpoint",
        required: true,
        value: "folder",
        summary: "a folder that SpInfer wrote",
      },
    ],
    options: VERIFY_OPTIONS,
    table: true,
    examples: [
      ["spinfer verify out", "structure and every hash"],
      ["spinfer verify out --level full", "recompute the pruned weights and compare bit for bit"],
      ["spinfer verify out --level full --against ./Llama-3.2-1B", "when the source has moved"],
    ],
  },
  {
    name: "eval",
    summary: "measure the perplexity of a model on a text, alone or beside another model",
    positionals: [model],
    options: EVAL_OPTIONS,
    table: true,
    examples: [
      ["spinfer eval ./Llama-3.2-1B --dataset wiki.jsonl", "as the papers do, windows of 2048"],
      ["spinfer eval out --dataset wiki.jsonl --base ./Llama-3.2-1B", "what pruning cost"],
      [
        "spinfer eval out --dataset wiki.jsonl --base ./Llama-3.2-1B --gate 'ppl<=+5%'",
        "exit code 4 when it cost more",
      ],
      ["spinfer eval out --dataset wiki.txt --report eval.json", "keep the figures"],
    ],
  },
  {
    name: "sweep",
    summary: "prune a model by several methods at several sparsities, and evaluate each",
    positionals: [model],
    options: SWEEP_OPTIONS,
    table: true,
    examples: [
      [
        "spinfer sweep ./Llama-3.2-1B --sparsity 0.3..0.7 --dataset wiki.txt -o sweep",
        "by magnitude",
      ],
      [
        "spinfer sweep ./Llama-3.2-1B --method wanda,wanda+owl,ria --calib c4.txt --dataset wiki.txt -o sweep",
        "one calibration for all; points that sweep has are not made again",
      ],
      ["spinfer report sweep/sweep.json -o report.html", "see it"],
    ],
  },
  {
    name: "report",
    summary: "write records of sweeps, evaluations and kernels as one page",
    positionals: [
      {
        name: "record",
        required: true,
        repeated: true,
        value: "file",
        summary:
          "sweep.json, what eval --report wrote, a spinfer_manifest.json, or the --json of bench kernels",
      },
    ],
    options: REPORT_OPTIONS,
    table: false,
    examples: [
      ["spinfer report sweep/sweep.json -o report.html", "one page that needs no network"],
      ["spinfer report sweep/sweep.json kernels.json -o report.md", "the same as Markdown"],
      ["spinfer report eval.json --card out", "a model card, out/README.md, for a checkpoint"],
    ],
  },
  {
    name: "run",
    summary: "do what a recipe says",
    positionals: [recipeFile, { ...model, required: false }],
    options: RUN_OPTIONS,
    table: true,
    examples: [
      ["spinfer run recipe.yaml", "model and output as the recipe names them"],
      ["spinfer run recipe.yaml ./Llama-3.2-1B -o out", "or as the command line does"],
      ["spinfer run recipe.yaml --dry-run", "only the plan"],
    ],
  },
  {
    name: "bench kernels",
    summary: "measure sparse products against dense ones on this machine's GPU",
    positionals: [{ ...model, required: false }],
    options: BENCH_KERNELS_OPTIONS,
    table: true,
    examples: [
      ["spinfer bench kernels", "the decode shapes at 50, 60 and 70 % zeros"],
      ["spinfer bench kernels out --n 1,8", "the layers of a packed checkpoint, its own masks"],
      ["spinfer bench kernels --shapes 4096x4096 --energy 2 --format csv", "one shape"],
    ],
  },
  {
    name: "tune",
    summary: "find the fastest kernel for each layer of a model, or that dense is faster",
    positionals: [model],
    options: TUNE_OPTIONS,
    table: true,
    examples: [
      ["spinfer tune out", "measure on this GPU and keep the result for later runs"],
      ["spinfer tune ./Llama-3.2-1B --sparsity 0.6 --plan-only", "what to expect, without a GPU"],
    ],
  },
  {
    name: "recipe init",
    summary: "write a recipe to begin with",
    positionals: [
      {
        name: "preset",
        required: false,
        choices: CHOICES.preset,
        summary: "which one (magnitude-50)",
      },
    ],
    options: RECIPE_INIT_OPTIONS,
    table: false,
    examples: [["spinfer recipe init two-four -o recipe.yaml", "2 of every 4 weights"]],
  },
  {
    name: "recipe import",
    summary: "turn a recipe of llm-compressor into one of SpInfer",
    positionals: [{ ...recipeFile, summary: "a recipe of llm-compressor (YAML)" }],
    options: RECIPE_INIT_OPTIONS,
    table: false,
    examples: [
      ["spinfer recipe import theirs.yaml -o recipe.yaml", "warns of what has no counterpart"],
    ],
  },
  {
    name: "recipe validate",
    summary: "check a recipe; errors have line and column",
    positionals: [recipeFile],
    options: [],
    table: false,
    examples: [["spinfer recipe validate recipe.yaml", "exit code 0, or 2 and the reason"]],
  },
  {
    name: "recipe show",
    summary: "print a recipe with every default filled in",
    positionals: [recipeFile],
    options: RECIPE_SHOW_OPTIONS,
    table: false,
    examples: [["spinfer recipe show recipe.yaml --sparsity 0.6", "with a flag put on it"]],
  },
  {
    name: "doctor",
    summary: "show what SpInfer finds on this machine",
    positionals: [],
    options: DOCTOR_OPTIONS,
    table: true,
    examples: [
      ["spinfer doctor --selftest", "the whole pipeline on a small model, offline"],
      ["spinfer doctor --json", "for a bug report; holds no secrets"],
    ],
  },
  {
    name: "help",
    summary: "explain a command or an error code",
    positionals: [
      { name: "topic", required: false, summary: "a command, or a code such as E_ST_TRUNCATED" },
    ],
    options: [],
    table: false,
    examples: [
      ["spinfer help prune", ""],
      ["spinfer help E_ST_TRUNCATED", ""],
    ],
  },
  {
    name: "version",
    summary: "print the version",
    positionals: [],
    options: [],
    table: false,
    examples: [["spinfer version --json", ""]],
  },
  {
    name: "completion",
    summary: "print a script that completes commands in a shell",
    positionals: [
      { name: "shell", required: true, choices: CHOICES.shell, summary: "bash, zsh or fish" },
    ],
    options: [],
    table: false,
    examples: [
      ["spinfer completion bash > ~/.local/share/bash-completion/completions/spinfer", ""],
      ["spinfer completion fish > ~/.config/fish/completions/spinfer.fish", ""],
    ],
  },
];

/** The command of that name, one word or two. */
export function findCommand(name: string): CommandSpec | undefined {
  return COMMANDS.find((command) => command.name === name);
}

/** First words of commands: "recipe" once. */
export const COMMAND_WORDS: readonly string[] = [
  ...new Set(COMMANDS.map(({ name }) => name.split(" ")[0]!)),
];
