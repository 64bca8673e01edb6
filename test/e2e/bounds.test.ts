/** How much memory, time and descriptors a run may take, on models that are large or have many parts. */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/core/limits.ts";
import { closeFiles, readInto } from "../../src/io/openFile.ts";
import { openModel } from "../../src/pipeline/openModel.ts";
import { makePlan } from "../../src/pipeline/plan/plan.ts";
import { runTask } from "../../src/pipeline/work/tasks.ts";
import { type CliOptions, cli, cliJson, skipUnless, works } from "../helpers/cli.ts";
import {
  llama,
  type ModelTensor,
  prunedBytes,
  randomTensor,
  temporaryFolder,
  writeModel,
} from "../helpers/models.ts";
import { createRandom } from "../helpers/random.ts";
import { pruneRecipe } from "../pipeline/recipes.ts";

const DEMO = fileURLToPath(new URL("../../models/demo", import.meta.url));
const EXHAUSTIVE = process.env["SPINFER_EXHAUSTIVE"] === "1";
const MIB = 1024 * 1024;
/** Ways to prune; without SPINFER_EXHAUSTIVE=1 the first two, which hold the most. */
const WAYS = [
  ["--threads", "4"],
  ["--threads", "2", "--scope", "model"],
  ["--threads", "1"],
  ["--threads", "4", "--to", "dense"],
];
const QUIET = ["--verify", "none", "--progress", "none", "--quiet"];
/**
 * Prints the most memory that the process had, when it ends. Linux counts in `maxRSS` what the
 * process was forked from, too.
 */
const TELL = `
  import { readFileSync } from "node:fs";
  process.on("exit", () => {
    let peak = process.resourceUsage().maxRSS;
    try {
      peak = Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
    } catch {}
    process.stderr.write("\\npeak " + peak * 1024 + "\\n");
  });
`;

/** Runs a command; its greatest resident size in bytes, and its time. */
function measure(
  args: readonly string[],
  options: CliOptions = {},
): { peak: number; ms: number; stdout: string } {
  const begun = performance.now();
  const node = ["--import", `data:text/javascript,${encodeURIComponent(TELL)}`];
  const { status, stdout, stderr } = cli(args, { node, timeoutMs: 240_000, ...options });
  const ms = performance.now() - begun;
  expect(status, stderr).toBe(0);
  return { peak: Number(/\npeak (\d+)\n/.exec(stderr)?.[1]), ms, stdout };
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

/** How much slower than alone a command may run beside the other suites on a small machine. */
const SHARED_MACHINE = 4;

describe("PA-05 memory", () => {
  test("pruning holds at most 3 × the largest tensor + 256 MiB, whatever the threads and the scope", () => {
    const folder = temporaryFolder();
    const side = 12_288;
    const matrix = randomTensor(createRandom(5), "", [side, side]);
    const largest = side * side * 2;
    const names = [
      "model.embed_tokens.weight",
      "model.layers.0.mlp.up_proj.weight",
      "model.layers.1.mlp.up_proj.weight",
    ];
    const tensors = names.map((name) => ({ ...matrix, name }));
    const model = writeModel(join(folder, "model"), { tensors, config: { model_type: "x" } });
    const bound = 3 * largest + 256 * MIB;
    const output = join(folder, "out");
    for (const way of EXHAUSTIVE ? WAYS : WAYS.slice(0, 2)) {
      rmSync(output, { recursive: true, force: true });
      const { peak, ms } = measure(["prune", model, "-o", output, ...way, ...QUIET]);
      console.log(
        `${way.join(" ")}: ${megabytes(peak)} of ${megabytes(bound)}, ${Math.round(ms)} ms`,
      );
      expect(peak, way.join(" ")).toBeLessThanOrEqual(bound);
    }
  });
});

/** A Llama of equal blocks whose weights are holes in the file, with the embedded model's tokenizer. */
function deepLlama(blocks: number): { model: string; bytes: number; block: number } {
  const [hidden, inner, vocab] = [1024, 4096, 1536];
  const shapes: [string, number[]][] = [["model.embed_tokens.weight", [vocab, hidden]]];
  for (let layer = 0; layer < blocks; layer++) {
    const block = `model.layers.${layer}`;
    for (const name of ["q", "k", "v", "o"])
      shapes.push([`${block}.self_attn.${name}_proj.weight`, [hidden, hidden]]);
    for (const name of ["gate", "up"])
      shapes.push([`${block}.mlp.${name}_proj.weight`, [inner, hidden]]);
    shapes.push([`${block}.mlp.down_proj.weight`, [hidden, inner]]);
    for (const name of ["input", "post_attention"])
      shapes.push([`${block}.${name}_layernorm.weight`, [hidden]]);
  }
  shapes.push(["model.norm.weight", [hidden]]);
  const tensors = shapes.map(([name, shape]): ModelTensor => {
    const data = 2 * shape.reduce((product, size) => product * size, 1);
    return { name, dtype: "BF16", shape, data };
  });
  const config = {
    ...JSON.parse(readFileSync(join(DEMO, "config.json"), "utf8")),
    hidden_size: hidden,
    intermediate_size: inner,
    num_attention_heads: 16,
    num_key_value_heads: 16,
    head_dim: 64,
    num_hidden_layers: blocks,
  };
  const files = { "tokenizer.json": readFileSync(join(DEMO, "tokenizer.json")) };
  const model = writeModel(join(temporaryFolder(), "model"), { tensors, config, files });
  const block = 4 * (4 * hidden * hidden + 3 * hidden * inner);
  return { model, bytes: tensors.reduce((sum, { data }) => sum + Number(data), 0), block };
}

describe("PA-05 memory of running a model", () => {
  test.each([
    ["eval", ["--dataset", join(DEMO, "heldout.txt"), "--ctx", "128", "--max-windows", "2"]],
    ["calibrate", ["--calib", join(DEMO, "heldout.txt"), "--nsamples", "2", "--seqlen", "128"]],
  ] as const)(
    "%s holds some blocks in float32, whatever the number of blocks",
    (command, words) => {
      const { model, bytes, block } = deepLlama(24);
      const output = command === "eval" ? [] : ["-o", join(model, "..", "statistics")];
      const { peak } = measure([
        command,
        model,
        ...words,
        ...output,
        "--progress",
        "none",
        "--quiet",
      ]);
      const bound = 4 * block + 256 * MIB;
      console.log(
        `${command} of ${megabytes(bytes)}: ${megabytes(peak)}, a block ${megabytes(block)} in float32`,
      );
      expect(2 * bytes).toBeGreaterThan(1.5 * bound); // in float32 it would not fit
      expect(peak).toBeLessThan(bound);
    },
  );
});

/** Llama-3-70B: its tensors by name and shape, in BF16. */
function* llama70b(): Generator<{ name: string; shape: number[] }> {
  const [hidden, inner, vocab] = [8192, 28_672, 128_256];
  yield { name: "model.embed_tokens.weight", shape: [vocab, hidden] };
  for (let layer = 0; layer < 80; layer++) {
    const block = `model.layers.${layer}`;
    yield { name: `${block}.input_layernorm.weight`, shape: [hidden] };
    for (const name of ["gate", "up"])
      yield { name: `${block}.mlp.${name}_proj.weight`, shape: [inner, hidden] };
    yield { name: `${block}.mlp.down_proj.weight`, shape: [hidden, inner] };
    yield { name: `${block}.post_attention_layernorm.weight`, shape: [hidden] };
    for (const name of ["q", "o"])
      yield { name: `${block}.self_attn.${name}_proj.weight`, shape: [hidden, hidden] };
    for (const name of ["k", "v"])
      yield { name: `${block}.self_attn.${name}_proj.weight`, shape: [1024, hidden] };
  }
  yield { name: "model.norm.weight", shape: [hidden] };
  yield { name: "lm_head.weight", shape: [vocab, hidden] };
}

const LLAMA_70B_CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 8192,
  intermediate_size: 28_672,
  num_attention_heads: 64,
  num_hidden_layers: 80,
  num_key_value_heads: 8,
  vocab_size: 128_256,
  torch_dtype: "bfloat16",
};

describe("a model of 70 billion parameters", () => {
  test("is planned and inspected within seconds and 300 MiB, from headers only", () => {
    const tensors = [...llama70b()].map(({ name, shape }): ModelTensor => {
      const bytes = shape.reduce((product, size) => product * size, 2);
      return { name, dtype: "BF16", shape, data: bytes };
    });
    const model = writeModel(join(temporaryFolder(), "model"), {
      tensors,
      config: LLAMA_70B_CONFIG,
      shardBytes: 4.9e9,
    });
    for (const command of [
      ["plan", model, "--json"],
      ["inspect", model, "--json"],
    ]) {
      const { peak, ms, stdout } = measure(command);
      console.log(`${command[0]}: ${Math.round(ms)} ms, ${megabytes(peak)}`);
      expect(ms).toBeLessThan(SHARED_MACHINE * 2000);
      expect(peak).toBeLessThan(300 * MIB);
      const { result } = JSON.parse(stdout);
      if (command[0] === "inspect") expect(result.parameters).toBe(70_553_706_496);
    }
  });
});

describe("many parts", () => {
  test("PA-07 200,000 small tensors are inspected and planned in time in proportion, within seconds", () => {
    const modelOf = (count: number): string => {
      const tensors = Array.from(
        { length: count },
        (_, i): ModelTensor => ({
          name: `model.layers.${i}.mlp.up_proj.weight`,
          dtype: "F16",
          shape: [2, 2],
          data: 8,
        }),
      );
      const path = join(temporaryFolder(), `model-${count}`);
      return writeModel(path, { tensors, config: { model_type: "x" } });
    };
    const [few, many] = [modelOf(50_000), modelOf(200_000)];
    for (const command of ["inspect", "plan"]) {
      const quarter = measure([command, few, "--quiet"]).ms;
      const { ms, peak } = measure([command, many, "--quiet"]);
      const times = `${Math.round(quarter)} and ${Math.round(ms)} ms`;
      console.log(`${command} of 50,000 and 200,000 tensors: ${times}, ${megabytes(peak)}`);
      // a busy machine makes both slow; anything quadratic would be sixteen times as slow
      expect(ms).toBeLessThan(8 * quarter);
      expect(ms).toBeLessThan(SHARED_MACHINE * 10_000);
    }
  });

  test("SH-06 an index of 60 MB with 500,000 entries is read within seconds and 1 GiB", () => {
    const folder = join(temporaryFolder(), "model");
    mkdirSync(folder);
    const shards = 50;
    const entries: string[] = [];
    for (let shard = 0; shard < shards; shard++) {
      const file = `model-${String(shard + 1).padStart(5, "0")}-of-${String(shards).padStart(5, "0")}.safetensors`;
      const members: string[] = ['"__metadata__":{"format":"pt"}'];
      for (let i = 0; i < 10_000; i++) {
        const name = `language_model.model.layers.${shard}.mlp.experts.${i}.gate_proj.weight_packed_scale_inverse`;
        members.push(`"${name}":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`);
        entries.push(`"${name}":"${file}"`);
      }
      const header = Buffer.from(`{${members.join(",")}}`);
      const fd = openSync(join(folder, file), "w");
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(header.length));
      writeSync(fd, length);
      writeSync(fd, header);
      closeSync(fd);
      truncateSync(join(folder, file), 8 + header.length + 10_000);
    }
    const index = `{"metadata":{"total_size":${shards * 10_000}},"weight_map":{${entries.join(",")}}}`;
    expect(index.length).toBeGreaterThan(60e6);
    writeFileSync(join(folder, "model.safetensors.index.json"), index);
    writeFileSync(join(folder, "config.json"), "{}");
    const { ms, peak } = measure(["inspect", folder, "--quiet"]);
    console.log(`index of ${megabytes(index.length)}: ${Math.round(ms)} ms, ${megabytes(peak)}`);
    // of which the index is under 3 s; the rest are headers and tables
    expect(ms).toBeLessThan(SHARED_MACHINE * 8000);
    expect(peak).toBeLessThan(1024 * MIB);
  });
});

const noPrlimit = skipUnless(works("prlimit", ["--version"]), "limits on descriptors need prlimit");

describe.skipIf(noPrlimit)("PA-06 descriptors", () => {
  test("192 are enough for 300 shards, in and out", () => {
    const folder = temporaryFolder();
    const shape = { layers: 100, hidden: 32, inner: 48 };
    const model = writeModel(join(folder, "model"), { ...llama(shape), shardBytes: 4000 });
    // the work takes a few dozen; each thread that starts opens our own modules at once
    const under = ["prlimit", "--nofile=192"];
    const output = join(folder, "out");
    const way = ["--max-shard-size", "5kB", "--verify", "full", "--threads", "2"];
    const result = cliJson(["prune", model, "-o", output, ...way], { under });
    for (const path of [model, output])
      expect(readdirSync(path).filter(isTensorFile).length).toBeGreaterThan(300);
    expect(result["verified"]).toMatchObject({ ok: true });
  });
});

function isTensorFile(name: string): boolean {
  return name.endsWith(".safetensors");
}

describe("files beyond 4 GiB", () => {
  test("a tensor behind 5 GB of another is planned, inspected, pruned and compared at its place", async () => {
    const folder = temporaryFolder();
    const random = createRandom(8);
    const weight = randomTensor(random, "model.layers.0.mlp.up_proj.weight", [64, 128]);
    const hole: ModelTensor = {
      name: "model.embed_tokens.weight",
      dtype: "F16",
      shape: [2_500_000, 1000],
      data: 5e9,
    };
    const model = writeModel(join(folder, "model"), {
      tensors: [hole, weight],
      config: { model_type: "x" },
    });
    const { result } = JSON.parse(measure(["inspect", model, "--json"]).stdout);
    expect(result.bytes).toBe(5e9 + 64 * 128 * 2);
    expect(JSON.parse(measure(["plan", model, "--json"]).stdout).ok).toBe(true);

    // the tasks of a run on the two tensors, without writing the 5 GB
    const opened = await openModel(model);
    const plan = makePlan(opened.archive, pruneRecipe({}, { to: "dense" }), {
      threads: 1,
      limits: DEFAULT_LIMITS,
    });
    const paths = { "model.safetensors": opened.pathOf("model.safetensors") };
    const step = plan.steps.find(({ name }) => name === weight.name)!;
    const { begin, end } = step.source.extents[0]!;
    expect(begin).toBeGreaterThan(2 ** 32);
    const out = join(folder, "out");
    writeFileSync(out, "");
    const position = 4.5e9;
    const options = { strictFinite: false, keepDense: true };
    runTask({ kind: "transform", step, paths, options, target: { path: out, position } });
    const { dtype, shape, name } = weight;
    const source = { path: paths["model.safetensors"], begin, end };
    runTask({
      kind: "copy",
      source,
      target: { path: out, position: position + 1e8 },
      part: { name, dtype, shape },
    });
    const bytes = new Uint8Array(end - begin);
    readInto(out, position, bytes);
    expect(Buffer.compare(bytes, prunedBytes(weight, 0.5))).toBe(0);
    readInto(out, position + 1e8, bytes);
    expect(Buffer.compare(bytes, weight.data as Uint8Array)).toBe(0);
    closeFiles();
  });
});
