/** What cannot be run is refused with one clear error. */
import { describe, expect, it } from "vitest";
import type { DenseTensor } from "../../src/engine/engine.ts";
import { openRunnable } from "../../src/engine/index.ts";
import { refusal } from "../helpers/safetensorsFile.ts";
import { AVAILABLE_ENGINES } from "./availableEngines.ts";
import { CONFIG, GPT2_CONFIG, randomModel, sourceOf } from "./memorySource.ts";

const plain = { prefer: "typescript" } as const;
const open = (config: Record<string, unknown> | undefined) =>
  openRunnable(config, sourceOf(new Map()), plain);

describe("a config that cannot be run", () => {
  it.each([
    ["no config", undefined, "E_CONFIG", "needs its config.json"],
    ["no model_type", { ...CONFIG, model_type: undefined }, "E_CONFIG", "model_type"],
    ["an unknown architecture", { ...CONFIG, model_type: "mamba" }, "E_ARCH_UNKNOWN", '"mamba"'],
    ["a mixture of experts", { ...CONFIG, model_type: "mixtral" }, "E_ARCH_UNKNOWN", '"mixtral"'],
    [
      "an unknown stretching",
      { ...CONFIG, rope_parameters: { rope_type: "spiral", rope_theta: 1e4 } },
      "E_ARCH_OPTION",
      'rope_parameters.rope_type "spiral"',
    ],
    [
      "an unknown stretching, as it was written before",
      { ...CONFIG, rope_scaling: { type: "spiral" } },
      "E_ARCH_OPTION",
      'rope_scaling.rope_type "spiral"',
    ],
    [
      "an unknown stretching beside the new way to write that there is none",
      {
        ...CONFIG,
        rope_parameters: { rope_type: "default", rope_theta: 1e4 },
        rope_scaling: { type: "spiral" },
      },
      "E_ARCH_OPTION",
      'rope_scaling.rope_type "spiral"',
    ],
    [
      "a stretching without its factor",
      { ...CONFIG, rope_scaling: { rope_type: "linear" } },
      "E_CONFIG",
      "rope_scaling.factor",
    ],
    [
      "a turn of a share of each head in Llama",
      { ...CONFIG, partial_rotary_factor: 0.5 },
      "E_ARCH_OPTION",
      "partial_rotary_factor 0.5",
    ],
    ["an unknown activation", { ...CONFIG, hidden_act: "mish" }, "E_ARCH_OPTION", '"mish"'],
    [
      "an unknown kind of layer",
      {
        ...CONFIG,
        model_type: "qwen2",
        use_sliding_window: true,
        sliding_window: 4,
        layer_types: ["full_attention", "linear_attention"],
      },
      "E_ARCH_OPTION",
      '"linear_attention"',
    ],
    [
      "attention to what comes after",
      { ...CONFIG, model_type: "gemma", use_bidirectional_attention: true },
      "E_ARCH_OPTION",
      "use_bidirectional_attention true",
    ],
    [
      "cross attention",
      { ...GPT2_CONFIG, add_cross_attention: true },
      "E_ARCH_OPTION",
      "add_cross_attention true",
    ],
    [
      "weights that are codes",
      { ...CONFIG, quantization_config: { quant_method: "gptq", bits: 4 } },
      "E_QUANTIZED_INPUT",
      "gptq",
    ],
    ["no hidden size", { ...CONFIG, hidden_size: null }, "E_CONFIG", "hidden_size is missing"],
    ["a text for a number", { ...CONFIG, vocab_size: "50" }, "E_CONFIG", 'vocab_size is "50"'],
    ["no blocks", { ...CONFIG, num_hidden_layers: 0 }, "E_CONFIG", "num_hidden_layers is 0"],
    ["a text for a flag", { ...CONFIG, mlp_bias: "no" }, "E_CONFIG", 'mlp_bias is "no"'],
    ["heads without a size", { ...CONFIG, num_attention_heads: 5 }, "E_CONFIG", "5"],
    ["groups that do not divide", { ...CONFIG, num_key_value_heads: 3 }, "E_CONFIG", "3"],
    ["a list of divisors that is too short", longrope([1, 2]), "E_CONFIG", "short_factor"],
    ["stretching as a text", { ...CONFIG, rope_scaling: "linear" }, "E_CONFIG", "rope_scaling"],
    ["an epsilon of 0", { ...CONFIG, rms_norm_eps: 0 }, "E_CONFIG", "rms_norm_eps is 0"],
  ] as const)("%s", async (_, config, code, text) => {
    const error = await refusal(() => open(config as Record<string, unknown> | undefined));
    expect(error.code).toBe(code);
    expect(error.message).toContain(text);
    expect(error.detail.expected ?? error.detail.hint).toBeTruthy();
  });
});

function longrope(short: readonly number[]): Record<string, unknown> {
  const rope_scaling = { type: "su", short_factor: short, long_factor: [1, 1, 1, 1] };
  return { ...CONFIG, model_type: "phi3", rope_scaling };
}

const WEIGHT = "model.layers.1.mlp.up_proj.weight";
const ids = Int32Array.from({ length: 8 }, (_, i) => i);

it("an architecture that is not known is not taken for one of a like name", async () => {
  const error = await refusal(() => open({ ...CONFIG, model_type: "mixtral" }));
  expect(error.detail.hint).toContain("can be pruned without calibration");
});

describe("blocks beyond those of config.json", () => {
  const warningsOf = async (blocks: number): Promise<string[]> => {
    const warnings: string[] = [];
    const onWarning = (message: string) => warnings.push(message);
    const source = sourceOf(randomModel(CONFIG).tensors);
    const config = { ...CONFIG, num_hidden_layers: blocks };
    await (await openRunnable(config, source, { ...plain, onWarning })).close();
    return warnings;
  };

  it("are left out with a warning", async () => {
    const [warning, ...more] = await warningsOf(CONFIG.num_hidden_layers - 1);
    expect(warning).toContain(`says ${CONFIG.num_hidden_layers - 1} blocks`);
    expect(more).toEqual([]);
    expect(await warningsOf(CONFIG.num_hidden_layers)).toEqual([]);
  });
});

describe("weights that cannot be run", () => {
  it("are missing", async () => {
    const { tensors } = randomModel(CONFIG);
    tensors.delete(WEIGHT);
    const model = await openRunnable(CONFIG, sourceOf(tensors), plain);
    const error = await refusal(() => model.openBlock(1));
    expect(error.code).toBe("E_ARCH_TENSOR");
    expect(error.detail.tensor).toBe(WEIGHT);
  });

  it("have another shape", async () => {
    const { tensors } = randomModel(CONFIG);
    tensors.set(WEIGHT, { ...tensors.get(WEIGHT)!, shape: [32, 48] });
    const model = await openRunnable(CONFIG, sourceOf(tensors), plain);
    const error = await refusal(() => model.openBlock(1));
    expect(error.code).toBe("E_ARCH_SHAPE");
    expect(error.message).toContain("[32, 48], expected [48, 32]");
  });

  it("replace others under a name or with a shape that is not there", async () => {
    const { source } = randomModel(CONFIG);
    const model = await openRunnable(CONFIG, source, plain);
    const tensor: DenseTensor = { shape: [1, 2], values: new Float32Array(2) };
    const wrongName = await refusal(() => model.openBlock(0, new Map([[WEIGHT, tensor]])));
    expect(wrongName.code).toBe("E_ARCH_TENSOR");
    const wrongShape = await refusal(() => model.openBlock(1, new Map([[WEIGHT, tensor]])));
    expect(wrongShape.code).toBe("E_ARCH_SHAPE");
  });

  it.each(AVAILABLE_ENGINES)("hold NaN or infinity: %s names the block", async (prefer) => {
    const { tensors, source } = randomModel(CONFIG);
    tensors.get(WEIGHT)!.values[3] = Number.POSITIVE_INFINITY;
    const model = await openRunnable(CONFIG, source, { prefer });
    const hidden = await model.embed(ids, 8);
    const first = await (await model.openBlock(0)).run(hidden, 8);
    const second = await model.openBlock(1);
    const error = await refusal(() => second.run(first.hidden, 8));
    expect(error.code).toBe("E_ACTIVATIONS");
    expect(error.message).toContain("block 1");
    await model.close();
  });

  it.each(AVAILABLE_ENGINES)("give no loss: %s", async (prefer) => {
    const { tensors, source } = randomModel(CONFIG);
    tensors.get("lm_head.weight")!.values[7] = Number.NaN;
    const model = await openRunnable(CONFIG, source, { prefer });
    const hidden = await model.embed(ids, 8);
    const error = await refusal(() => model.score(hidden, ids));
    expect(error.code).toBe("E_ACTIVATIONS");
    expect(error.message).toContain("the logits");
    await model.close();
  });
});

describe("a call that cannot be answered", () => {
  it.each([-1, 50])("has id %i", async (id) => {
    const { source } = randomModel(CONFIG);
    const model = await openRunnable(CONFIG, source, plain);
    const error = await refusal(() => model.embed(Int32Array.of(1, id), 2));
    expect(error.code).toBe("E_TOKEN_ID");
    expect(error.message).toContain(`token id ${id}`);
    const target = Int32Array.of(id === -1 ? -2 : id);
    const scored = await refusal(() => model.score(new Float32Array(32), target));
    expect(scored.code).toBe("E_TOKEN_ID");
  });

  it("has a window longer than the table of positions", async () => {
    const { source } = randomModel(GPT2_CONFIG);
    const model = await openRunnable(GPT2_CONFIG, source, plain);
    expect((await model.embed(new Int32Array(16), 16)).length).toBe(16 * 32);
    const error = await refusal(() => model.embed(new Int32Array(17), 17));
    expect(error.code).toBe("E_OPTION");
    expect(error.detail.hint).toContain("--ctx 16");
  });

  it("names a block that is not there", async () => {
    const { source } = randomModel(CONFIG);
    const model = await openRunnable(CONFIG, source, plain);
    expect((await refusal(() => model.openBlock(2))).code).toBe("E_OPTION");
  });

  it("has windows that are not whole", async () => {
    const { source } = randomModel(CONFIG);
    const model = await openRunnable(CONFIG, source, plain);
    expect((await refusal(() => model.embed(new Int32Array(5), 2))).code).toBe("E_INTERNAL");
  });
});
