import { expect, it } from "vitest";
import { describeTensors } from "../../src/model/index.ts";
import { describePython, runPython } from "../helpers/python.ts";

/** Architectures of transformers, each built without memory from its default config. */
const TYPES = [
  "afmoe",
  "bloom",
  "codegen",
  "cohere",
  "deepseek_v2",
  "deepseek_v3",
  "ernie4_5_moe",
  "falcon",
  "falcon_mamba",
  "gemma",
  "gemma2",
  "gemma3_text",
  "glm4",
  "gpt2",
  "gpt_bigcode",
  "gpt_neo",
  "gpt_neox",
  "gpt_oss",
  "gptj",
  "granite",
  "granitemoe",
  "jamba",
  "llama",
  "llama4_text",
  "mamba",
  "mistral",
  "mixtral",
  "mpt",
  "olmo2",
  "olmoe",
  "openai-gpt",
  "opt",
  "persimmon",
  "phi",
  "phi3",
  "qwen2",
  "qwen2_moe",
  "qwen3",
  "qwen3_moe",
  "qwen3_next",
  "rwkv",
  "smollm3",
  "stablelm",
  "starcoder2",
  "xglm",
];

const SCRIPT = `
import json, sys, torch, transformers
from transformers import AutoModelForCausalLM, CONFIG_MAPPING
transformers.logging.set_verbosity_error()
found = {}
for name in json.load(sys.stdin):
    config = CONFIG_MAPPING[name]()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    parameters = [
        [f"{path}.{key}" if path else key, type(module).__name__, list(value.shape)]
        for path, module in model.named_modules()
        for key, value in module.named_parameters(recurse=False)
    ]
    found[name] = {"config": json.loads(config.to_json_string(use_diff=False)), "parameters": parameters}
json.dump(found, sys.stdout)
`;

interface Model {
  readonly config: Record<string, unknown>;
  readonly parameters: readonly (readonly [name: string, module: string, shape: number[]])[];
}

/** Architectures whose stacked experts are transposed (`is_transposed` in their modules). */
const TRANSPOSED_EXPERTS = ["gpt_oss", "llama4_text"];

/** What a parameter is by the class of its module, where that says it; several words: any of them. */
function rolesByClass(
  name: string,
  module: string,
  shape: readonly number[],
): string[] | undefined {
  const isMatrix = name.endsWith(".weight") && shape.length === 2;
  if (/Router$/.test(module)) return isMatrix ? ["router"] : undefined;
  if (/Linear$|^Conv1D$/.test(module) && isMatrix) {
    const inBlock = /(?:layers?|h|blocks?)\.\d+\./.test(name);
    return /router|shared_expert_gate/.test(name)
      ? ["router"]
      : inBlock
        ? ["linear"]
        : ["head", "other"];
  }
  if (/Embedding$/.test(module)) return ["embedding"];
  if (/Experts$/.test(module)) return shape.length === 3 ? ["linear"] : ["bias"];
  if (/Norm$/.test(module)) return name.endsWith("bias") ? ["bias"] : ["norm"];
  return undefined;
}

/** The parameters whose role is not what their module says, and how many were looked at. */
function judge(type: string, { config, parameters }: Model): { wrong: string[]; judged: number } {
  const roles = describeTensors(
    parameters.map(([name, , shape]) => ({ name, shape })),
    config,
  );
  const wrong: string[] = [];
  let judged = 0;
  for (const [index, [name, module, shape]] of parameters.entries()) {
    const { role, orientation } = roles[index]!;
    const expected = rolesByClass(name, module, shape);
    if (expected === undefined && role !== "linear") continue;
    judged++;
    const transposed =
      module === "Conv1D" || (module.endsWith("Experts") && TRANSPOSED_EXPERTS.includes(type));
    const stored = transposed && role === "linear" ? "in-out" : "out-in";
    if (expected?.includes(role) !== true || orientation !== stored) {
      wrong.push(`${type}: ${name} [${shape}] of ${module} is ${role} ${orientation}`);
    }
  }
  return { wrong, judged };
}

describePython("roles beside the modules of transformers", () => {
  it("are what the module classes say, for every parameter of every architecture", () => {
    const output = runPython(SCRIPT, [], { input: JSON.stringify(TYPES) });
    const models = JSON.parse(output.toString("utf8")) as Record<string, Model>;
    expect(Object.keys(models)).toEqual(TYPES);
    const verdicts = Object.entries(models).map(([type, model]) => judge(type, model));
    expect(verdicts.flatMap(({ wrong }) => wrong)).toEqual([]);
    expect(verdicts.reduce((sum, { judged }) => sum + judged, 0)).toBeGreaterThan(10_000);
  }, 240_000);
});
