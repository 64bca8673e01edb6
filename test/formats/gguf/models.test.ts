/** GGUFs of every family, written with the gguf package, become folders that transformers loads. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { gguf } from "../../../formats/gguf/format.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { denseTensor, filesOf, writeHfFolder } from "../../helpers/hfFolder.ts";
import { describePython, runPython } from "../../helpers/python.ts";

const script = (name: string) => fileURLToPath(new URL(`python/${name}.py`, import.meta.url));

interface Weights {
  readonly dtype: string;
  readonly loading: Record<string, number>;
  /** Largest difference of logits, as a part of the largest logit. */
  readonly difference: number;
}

interface Compared extends Weights {
  readonly own: Weights;
  readonly tensors: readonly string[];
  readonly theirs: number | string;
  readonly tokens: readonly string[];
  readonly theirTokens: readonly string[] | string;
  readonly decoded: readonly string[];
  readonly chat: string;
}

/** F32 in the file: the folder is the original. */
const EXACT = [
  "llama",
  "llama-tied-bias",
  "llama-3-rope",
  "mistral",
  "qwen2",
  "qwen3",
  "qwen3-plain",
  "gemma",
  "gemma2",
  "gemma2-plain",
  "gemma3",
  "phi3",
  "phi3-long",
];
/** What transformers' own reader gets right; of the others it ignores some setting. */
const READ_BY_TRANSFORMERS = [
  "llama",
  "llama-q8",
  "llama-f16",
  "mistral",
  "qwen2",
  "qwen3-plain",
  "gemma2-plain",
  "gemma3-plain",
  "phi3-plain",
];
/** Types of matrices in the file, and the largest difference that their rounding makes. */
const ROUNDED = [
  ["llama-f16", 1e-3],
  ["llama-bf16", 1e-2],
  ["llama-q8", 2e-2],
] as const;
const ALL = [...new Set([...EXACT, ...READ_BY_TRANSFORMERS, "llama-bf16"])];

describePython("folders made from GGUFs", () => {
  let folder = "";
  let found: Record<string, Compared> = {};

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "spinfer-gguf-"));
    runPython(script("makeModels"), [folder]);
    for (const name of ALL) {
      const files = filesOf(join(folder, name, "model.gguf"));
      for (const dtype of ["F32", undefined] as const) {
        const archive = await gguf.open(files, { limits: DEFAULT_LIMITS, dtype });
        expect(archive.warnings).toEqual([]);
        await writeHfFolder(gguf, files, archive, join(folder, name, dtype ?? "own"));
      }
    }
    found = JSON.parse(runPython(script("compareModels"), [folder]).toString("utf8"));
  }, 600_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("covers every model that the script makes", () => {
    expect(Object.keys(found).sort()).toEqual([...ALL].sort());
  });

  it.each(EXACT)("%s: has the original's tensors, bit for bit, and its logits", (name) => {
    expect(found[name]).toMatchObject({ dtype: "torch.float32", loading: {}, tensors: [] });
    expect(found[name]!.difference).toBeLessThanOrEqual(1e-5);
  });

  it.each(READ_BY_TRANSFORMERS)("%s: has the logits of transformers' own reading", (name) => {
    expect(found[name]!.theirs).toBeTypeOf("number");
    expect(found[name]!.theirs).toBeLessThanOrEqual(1e-5);
  });

  it.each(ROUNDED)("%s: differs from the original by the rounding of its type", (name, bound) => {
    expect(found[name]!.loading).toEqual({});
    expect(found[name]!.difference).toBeGreaterThan(0);
    expect(found[name]!.difference).toBeLessThanOrEqual(bound);
  });

  it.each(ALL)("%s: tokenises and detokenises as the original tokenizer", (name) => {
    expect(found[name]).toMatchObject({ tokens: [], decoded: [], chat: "user: Hi" });
  });

  it.each(ALL.filter((name) => name !== "llama-3-rope" && name !== "gemma"))(
    "%s: tokenises as transformers' own reading",
    (name) => {
      // Llama 3 texts begin with BOS, which transformers does not know from a GGUF
      expect(found[name]!.theirTokens).toEqual([]);
    },
  );

  it.each(ALL)("%s: comes in its own 16-bit type, or in fp16", (name) => {
    const dtype = name === "llama-bf16" ? "torch.bfloat16" : "torch.float16";
    expect(found[name]!.own).toMatchObject({ dtype, loading: {} });
  });

  it.each(EXACT)("%s: has the original's logits to 2e-3 in fp16", (name) => {
    expect(found[name]!.own.difference).toBeLessThanOrEqual(2e-3);
  });

  it("writes the settings of a model as transformers has them", () => {
    const config = (name: string) =>
      JSON.parse(readFileSync(join(folder, name, "own", "config.json"), "utf8"));
    expect(config("llama-3-rope")).toMatchObject({
      architectures: ["LlamaForCausalLM"],
      head_dim: 32,
      rms_norm_eps: 1e-6,
      rope_theta: 10_000,
      rope_scaling: {
        rope_type: "llama3",
        factor: 8,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 64,
      },
      tie_word_embeddings: false,
      torch_dtype: "float16",
    });
    expect(config("gemma3")).toMatchObject({
      model_type: "gemma3_text",
      sliding_window: 16,
      sliding_window_pattern: 6,
      rope_local_base_freq: 10_000,
      rope_scaling: { rope_type: "linear", factor: 8 },
      tie_word_embeddings: true,
    });
    expect(config("phi3")).toMatchObject({ model_type: "phi3", sliding_window: 16 });
    expect(config("phi3-plain")).toMatchObject({ sliding_window: null });
    expect(config("phi3-long")).toMatchObject({ partial_rotary_factor: 0.5 });
    const text = readFileSync(join(folder, "gemma2", "own", "config.json"), "utf8");
    expect(text).toContain('"final_logit_softcapping": 10.0');
  });

  it("keeps the bits of 16-bit tensors that it does not change", async () => {
    for (const [name, dtype] of [
      ["llama-f16", "F16"],
      ["llama-bf16", "BF16"],
    ] as const) {
      const files = filesOf(join(folder, name, "model.gguf"));
      const archive = await gguf.open(files, { limits: DEFAULT_LIMITS });
      const entry = archive.entries.find(({ name: own }) => own.endsWith("0.mlp.up_proj.weight"))!;
      expect(entry).toMatchObject({ dtype, stored: dtype, shape: [96, 64] });
      const { file, begin, end } = entry.extents[0]!;
      const stored = await (await files.open(file)).read(begin, end);
      expect(Buffer.compare(await denseTensor(gguf, files, entry), stored)).toBe(0);
    }
  });
});
