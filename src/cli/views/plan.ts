/** A plan: what would happen, for people and for programs. */
import { denseBytes, isDtype } from "../../core/dtype.ts";
import { groupBy } from "../../core/groupBy.ts";
import { formatBytes, formatDuration, formatPercent } from "../../core/text.ts";
import type { Plan, TensorStep } from "../../pipeline/plan/steps.ts";
import { type PruneRecipe, type Recipe, recipeToYaml } from "../../pipeline/recipe/index.ts";
import {
  type Block,
  bad,
  type Column,
  caution,
  type Document,
  faint,
  good,
  type Line,
  lines,
  type Row,
  strong,
  type Table,
} from "../output/document.ts";
import type { PlanResult } from "../schemas/plan.ts";
import {
  counted,
  formatCount,
  kindOf,
  quoted,
  showBytes,
  showPercent,
  sizeChange,
} from "./words.ts";

export interface PlanFacts {
  readonly plan: Plan;
  readonly recipe: Recipe;
  readonly output: string | undefined;
  readonly freeBytes: number;
  readonly command: "plan" | "prune" | "convert" | "run";
}

export function planResult({ plan, recipe, output, freeBytes }: PlanFacts): PlanResult {
  const { totals } = plan;
  return {
    dry_run: true,
    model: plan.model,
    output: output ?? null,
    format: plan.format,
    to: plan.to,
    dtype: plan.dtype,
    totals: {
      tensors: totals.tensors,
      pruned: totals.pruned,
      packed: totals.packed,
      parameters: totals.parameters,
      pruned_parameters: totals.prunedParameters,
      sparsity: totals.sparsity,
      bytes_in: totals.bytesIn,
      bytes_out: totals.bytesOut,
      bytes_out_most: totals.bytesOutMost,
    },
    memory_bytes: plan.memoryBytes,
    disk_bytes: plan.diskBytes,
    disk_free_bytes: freeBytes,
    estimated_ms: plan.estimatedMs,
    threads: plan.threads,
    recipe: recipeToYaml(recipe),
    files: plan.shards.map(({ file, tensors }) => ({ name: file, tensors: tensors.length })),
    tensors: plan.steps.map(tensorResult),
  };
}

function tensorResult(step: TensorStep): PlanResult["tensors"][number] {
  return {
    name: step.name,
    role: step.role,
    shape: [...step.shape],
    dtype: step.dtype,
    prune: step.prune?.method ?? null,
    sparsity: step.prune?.sparsity ?? null,
    pattern: step.prune?.pattern ?? null,
    store: step.store === "auto" ? "tile-bitmap" : "dense",
    reason: step.reason ?? null,
    bytes_in: step.bytesIn,
    bytes_out: step.bytesOut.expected,
    bytes_out_most: step.bytesOut.most,
  };
}

const SIZES: readonly Column[] = [
  { key: "bytes_in", title: "before", align: "right", show: showBytes },
  { key: "bytes_out", title: "after", align: "right", show: showBytes },
];

const TENSOR_COLUMNS: readonly Column[] = [
  { key: "name", title: "tensor" },
  { key: "role", title: "role", dataOnly: true },
  { key: "shape", title: "shape" },
  { key: "dtype", title: "dtype" },
  { key: "prune", title: "prune", show: (value) => (value === null ? "–" : String(value)) },
  { key: "sparsity", title: "zeros", align: "right", show: showPercent },
  { key: "pattern", title: "pattern", dataOnly: true },
  { key: "store", title: "stored" },
  ...SIZES,
  { key: "bytes_out_most", title: "at most", dataOnly: true },
  { key: "reason", title: "why" },
];

export function planTable({ tensors }: PlanResult): Table {
  return {
    columns: TENSOR_COLUMNS,
    rows: tensors.map((tensor): Row => ({ ...tensor, shape: shapeText(tensor.shape) })),
  };
}

function shapeText(shape: readonly number[]): string {
  return shape.join("×");
}

const KIND_COLUMNS: readonly Column[] = [
  { key: "kind", title: "tensors" },
  { key: "count", title: "", align: "right", show: (value) => (value === 1 ? "" : `×${value}`) },
  { key: "shape", title: "shape" },
  { key: "what", title: "" },
  ...SIZES,
  { key: "reason", title: "why" },
];

/** One row for all tensors that differ in their block numbers only. */
function kindTable({ tensors }: PlanResult): Table {
  const groups = groupBy(tensors, ({ name, shape, prune, sparsity, pattern, store, reason }) =>
    JSON.stringify([kindOf(name), shape, prune, sparsity, pattern, store, reason]),
  );
  const rows = [...groups.values()].map((members): Row => {
    const [first] = members as [PlanResult["tensors"][number]];
    return {
      kind: members.length === 1 ? first.name : kindOf(first.name),
      count: members.length,
      shape: shapeText(first.shape),
      what: whatHappens(first),
      bytes_in: members.reduce((sum, { bytes_in }) => sum + bytes_in, 0),
      bytes_out: members.reduce((sum, { bytes_out }) => sum + bytes_out, 0),
      reason: first.reason,
    };
  });
  return { columns: KIND_COLUMNS, rows };
}

function whatHappens({ sparsity, pattern, store }: PlanResult["tensors"][number]): string {
  if (sparsity === null) return store === "dense" ? "kept" : "packed";
  const amount = pattern === "unstructured" ? formatPercent(sparsity) : `${pattern}`;
  return store === "dense" ? `prune ${amount}, dense` : `prune ${amount}`;
}

export function planDocument(
  facts: PlanFacts,
  result: PlanResult,
  tensorByTensor: boolean,
): Document {
  return [
    lines(headline(facts)),
    { kind: "facts", facts: planFacts(facts) },
    { kind: "table", table: tensorByTensor ? planTable(result) : kindTable(result) },
    ...advice(facts),
    lines([faint(closing(facts))]),
  ];
}

function headline({ plan, recipe }: PlanFacts): Line {
  const { totals } = plan;
  const how = recipe.prune === undefined ? "convert" : amountText(recipe.prune);
  return [
    strong("Plan"),
    `  ${how} · ${totals.pruned} of ${counted(totals.tensors, "tensor")} pruned · ${plan.model} (${plan.format}) → ${plan.to}`,
  ];
}

function amountText({ method, sparsity, pattern, options }: PruneRecipe): string {
  const amount = pattern === "unstructured" ? formatPercent(sparsity) : pattern;
  const scope = options.scope === undefined ? "" : ` by ${options.scope}`;
  const seed = options.seed === undefined ? "" : ` seed ${options.seed}`;
  return `${method} ${amount}${scope}${seed}`;
}

function planFacts({ plan, freeBytes, recipe }: PlanFacts): (readonly [string, Line])[] {
  const { totals } = plan;
  return [
    ...(recipe.prune === undefined
      ? []
      : [
          [
            "zeros",
            [
              `${formatPercent(totals.sparsity)} of ${formatCount(totals.prunedParameters)} weights in pruned tensors; ${formatCount(totals.parameters)} parameters in all`,
            ],
          ] as const,
        ]),
    [
      "size",
      [
        `${formatBytes(totals.bytesIn)} → ${formatBytes(totals.bytesOut)} (${sizeChange(totals.bytesIn, totals.bytesOut)}${ifDense(plan)}) · ${plan.dtype} · ${counted(plan.shards.length, "file")}`,
      ],
    ],
    ["memory", [`about ${formatBytes(plan.memoryBytes)} with ${counted(plan.threads, "thread")}`]],
    ["disk", diskLine(plan, freeBytes)],
    ["time", [`about ${formatDuration(Math.max(100, plan.estimatedMs))}, disk permitting`]],
  ];
}

/** Zeros that pack worse than expected make the output larger, at most dense. */
function diskLine({ diskBytes, totals }: Plan, freeBytes: number): Line {
  const expected = diskBytes - totals.bytesOutMost + totals.bytesOut;
  const needs = `needs about ${formatBytes(expected)}, ${formatBytes(freeBytes)} free `;
  if (freeBytes >= diskBytes) return [needs, good("✓")];
  if (freeBytes < expected) return [needs, bad("✗ not enough")];
  return [needs, caution(`! it may need ${formatBytes(diskBytes)}`)];
}

function advice({ plan, recipe }: PlanFacts): Block[] {
  const { totals, to } = plan;
  if (totals.bytesOut < totals.bytesIn) return [];
  if (to === "dense") {
    return recipe.prune === undefined
      ? []
      : [lines(["Dense files store zeros too; --to tile-bitmap leaves them out."])];
  }
  const why =
    totals.packed > 0
      ? "The source stores its weights in fewer bits than the 16 of the output."
      : "Nothing would be saved: at this sparsity the bitmaps take what the zeros free.";
  return [lines([why])];
}

/** What the output would take without any packing, where the source does not tell. */
function ifDense({ steps, totals }: Plan): string {
  const dense = steps.reduce(
    (sum, { dtype, shape, bytesIn }) =>
      sum + ((isDtype(dtype) ? denseBytes(dtype, shape) : undefined) ?? bytesIn),
    0,
  );
  return Math.abs(dense / totals.bytesIn - 1) < 0.01 ? "" : `, ${formatBytes(dense)} if dense`;
}

function closing({ command, plan, output }: PlanFacts): string {
  if (command !== "plan") return "Nothing was written. Remove --dry-run to start.";
  return `Nothing was written. To do it: spinfer prune ${quoted(plan.model)} -o ${quoted(output ?? "DIR")}, with the same options.`;
}
