/** A report's data with everything that a page can show: many methods, many blocks, hostile names. */
import type {
  LayerCell,
  PointData,
  ReportData,
  SpeedData,
  SweepData,
} from "../../src/report/index.ts";

export const HOSTILE = `<img src=x onerror=alert(1)>"'&|\`\u202e*_[x](y)`;
const KINDS = ["mlp.down_proj", "mlp.up_proj", "self_attn.k_proj", "self_attn.q_proj"];
const METHODS = [
  ["magnitude", 1.9],
  ["wanda", 1.2],
  ["wanda+owl", 1.1],
  ["ria", 1.12],
  ["sparsegpt", 0.9],
  ["dsnot", 1.15],
  ["tile-balanced", 1.3],
  ["random", 7],
] as const;

function point(method: string, cost: number, asked: number, pattern?: string): PointData {
  const perplexity = 12.5 * Math.exp(cost * asked ** 3 * (pattern === undefined ? 2 : 3));
  return {
    ...{ method, asked, sparsity: asked - 0.0004, pattern, perplexity, stderr: perplexity * 0.011 },
    delta: perplexity / 12.5 - 1,
    bytes: Math.round(270e6 * (1.13 - asked)),
    denseBytes: 269_000_000,
    pruneMs: 1000 + cost * 4000,
    evaluateMs: 31_000,
    peakBytes: 900e6 + cost * 1e8,
  };
}

function cells(blocks: number, sparsityOf: (block: number) => number): LayerCell[] {
  return Array.from({ length: blocks }, (_, block) =>
    KINDS.map((kind, i): LayerCell => {
      const denseBytes = 400_000 * (i + 1);
      const sparsity = sparsityOf(block);
      return {
        kind,
        block,
        sparsity,
        bytes: Math.round(denseBytes * (1.07 - sparsity)),
        denseBytes,
      };
    }),
  ).flat();
}

export function sampleSweep(blocks = 30): SweepData {
  return {
    model: "models/SmolLM2-135M",
    protocol: "wanda protocol, windows of 2048, valid.txt",
    dense: {
      ...{ perplexity: 12.5, stderr: 0.14 },
      ...{ bytes: 269_060_552, evaluateMs: 33_400, peakBytes: 812_000_000 },
    },
    points: METHODS.flatMap(([method, cost]) => [
      ...[0.3, 0.4, 0.5, 0.6, 0.7].map((asked) => point(method, cost, asked)),
      point(method, cost, 0.5, "2:4"),
    ]),
    calibration: { ms: 64_000, peakBytes: 1_480_000_000 },
    maps: [
      { title: "magnitude", amount: "50 %", cells: cells(blocks, () => 0.5) },
      { title: "wanda", amount: "50 %", cells: cells(blocks, () => 0.498) },
      {
        ...{ title: "wanda+owl", amount: "50 %" },
        cells: cells(blocks, (block) => 0.42 + (0.16 * block) / blocks),
      },
    ],
    provenance: [
      ["model", HOSTILE],
      [
        "text as it was tokenised",
        "052bbbeaf1319bf4290c5a6a8b5b12a6ad1eeb156d244717f84af7a8e54507f7",
      ],
    ],
  };
}

export function sampleReport(): ReportData {
  return {
    title: "SmolLM2-135M",
    version: "0.1.0",
    sweeps: [sampleSweep()],
    evaluations: [
      {
        ...{ model: HOSTILE, protocol: "wanda protocol, windows of 2048, valid.txt" },
        ...{ sparsity: 0.5, perplexity: 21.402, stderr: 0.141 },
        base: {
          ...{ model: "dense", perplexity: 19.8, stderr: 0.13 },
          ...{ delta: 0.0809, kl: 0.0921, agreement: 0.884 },
        },
        gates: [
          { gate: "ppl<=+5%", passed: false },
          { gate: "kl<=0.1", passed: true },
        ],
        provenance: [["model", "out"]],
      },
    ],
    checkpoints: [{ title: "out", cells: cells(6, () => 0.6) }],
    kernels: [
      {
        gpu: "NVIDIA H100 80GB HBM3",
        method: "Cold L2, median of 9.",
        means: [1, 8, 16].flatMap((tokens) =>
          [0.5, 0.6, 0.7].map((sparsity) => ({
            ...{ tokens, sparsity, matrices: 12 },
            ratio: 0.7 + sparsity - tokens / 80,
          })),
        ),
        cells: [
          { ...{ matrix: "4096×4096", tokens: 1, sparsity: 0.5 }, baseline: "gemv", ratio: 1.21 },
        ],
        provenance: [["driver", "580.65, CUDA 13.0"]],
      },
    ],
    speeds: [sampleSpeed()],
  };
}

export function sampleSpeed(): SpeedData {
  return {
    gpu: "NVIDIA H100 80GB HBM3",
    command: "spinfer-bench-hf --model llama-3-8b",
    models: ["llama-3-8b", HOSTILE].map((model) => ({
      model,
      manifest: "ab".repeat(32),
      decode: [1, 8].flatMap((batch) =>
        [0.5, 0.6].map((sparsity) => ({
          ...{ engine: "fused", sparsity, batch, ratio: 1 + sparsity - batch / 80 },
          dense: { tokensPerSecond: 158.1, peakBytes: 16_090_000_000, joulesPerToken: 2.897 },
          sparse: { tokensPerSecond: 257.04, peakBytes: 8_650_000_000, joulesPerToken: null },
        })),
      ),
      prefill: [{ engine: "fused", sparsity: 0.6, tokens: 2048, ratio: 0.83 }],
      loading: [{ pageCache: "cold" as const, device: "cuda", denseMs: 5000, sparseMs: 2500 }],
    })),
    provenance: [
      ["driver", "580.65"],
      ["command", "spinfer-bench-hf --model llama-3-8b"],
    ],
  };
}
