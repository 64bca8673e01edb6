/**
 * Synthetic model folders: small Llama-like models and oddities, written as Hugging Face would,
 * with random weights from a seed. And what pruning must make of them, computed by sorting.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, onTestFinished } from "vitest";
import { DTYPE_BITS, type Dtype, isDtype } from "../../src/core/dtype.ts";
import { createRandom, type Random } from "./random.ts";

export interface ModelTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Its bytes; a number: so many bytes of a hole in the file, which read as zeros. */
  readonly data: Uint8Array | number;
}

export interface ModelFolder {
  readonly tensors: readonly ModelTensor[];
  readonly config?: object | undefined;
  /** Data bytes of a shard; absent: one file. */
  readonly shardBytes?: number;
  /** Other files. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

/** A folder that is gone after all tests of the file. */
export function fileFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-test-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "spinfer-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes a model into `folder`, and returns the folder. */
export function writeModel(folder: string, model: ModelFolder): string {
  mkdirSync(folder, { recursive: true });
  if (model.config !== undefined)
    writeFileSync(join(folder, "config.json"), JSON.stringify(model.config, null, 2));
  for (const [name, content] of Object.entries(model.files ?? {}))
    writeFileSync(join(folder, name), content);
  const shards = splitUp(model.tensors, model.shardBytes ?? Number.POSITIVE_INFINITY);
  if (shards.length === 1) {
    writeTensors(join(folder, "model.safetensors"), shards[0]!);
    return folder;
  }
  const map: Record<string, string> = {};
  for (const [i, tensors] of shards.entries()) {
    const name = `model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`;
    writeTensors(join(folder, name), tensors);
    for (const tensor of tensors) map[tensor.name] = name;
  }
  const total_size = model.tensors.reduce((sum, tensor) => sum + sizeOf(tensor), 0);
  writeFileSync(
    join(folder, "model.safetensors.index.json"),
    JSON.stringify({ metadata: { total_size }, weight_map: map }),
  );
  return folder;
}

function digits(number: number): string {
  return String(number).padStart(5, "0");
}

function splitUp(tensors: readonly ModelTensor[], shardBytes: number): ModelTensor[][] {
  const shards: ModelTensor[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    if (bytes > 0 && bytes + sizeOf(tensor) > shardBytes) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(tensor);
    bytes += sizeOf(tensor);
  }
  return shards;
}

function sizeOf({ data }: ModelTensor): number {
  return typeof data === "number" ? data : data.length;
}

/** One safetensors file. */
export function writeTensors(path: string, tensors: readonly ModelTensor[]): void {
  let end = 0;
  const members = [`"__metadata__":{"format":"pt"}`];
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    const begin = end;
    end += sizeOf(tensor);
    members.push(
      `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`,
    );
  }
  const header = Buffer.from(`{${members.join(",")}}`);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const fd = openSync(path, "w");
  writeSync(fd, length);
  writeSync(fd, header);
  let at = 8 + header.length;
  for (const tensor of tensors) {
    if (typeof tensor.data !== "number") writeSync(fd, tensor.data, 0, tensor.data.length, at);
    at += sizeOf(tensor);
  }
  ftruncateSync(fd, at);
  closeSync(fd);
}

/** Random finite values, spread over exponents, with many equal magnitudes among 16-bit ones. */
export function randomTensor(
  random: Random,
  name: string,
  shape: readonly number[],
  dtype: Dtype = "F16",
): ModelTensor {
  const count = shape.reduce((product, size) => product * size, 1);
  const data = new Uint8Array((count * DTYPE_BITS[dtype]) / 8);
  if (dtype === "F16" || dtype === "BF16") {
    const [mask, base] = dtype === "F16" ? [0x3bff, 0] : [0x03ff, 0x3c00];
    const bits = new Uint16Array(data.buffer);
    for (let i = 0; i < count; i += 2) {
      const word = random.bits();
      bits[i] = (word & 0x8000) | (base + (word & mask));
      if (i + 1 < count) bits[i + 1] = ((word >>> 16) & 0x8000) | (base + ((word >>> 16) & mask));
    }
  } else if (dtype === "F32") {
    const floats = new Float32Array(data.buffer);
    for (let i = 0; i < count; i++) floats[i] = (random.next() - 0.5) * 0.1;
  } else data.set(random.bytes(data.length));
  return { name, dtype, shape, data };
}

export interface LlamaShape {
  readonly hidden?: number;
  readonly inner?: number;
  readonly layers?: number;
  readonly vocab?: number;
  readonly heads?: number;
  readonly dtype?: Dtype;
  /** dtype of the norms. */
  readonly normDtype?: Dtype;
  readonly tied?: boolean;
  readonly seed?: number;
}

/** A model with Llama's names and shapes. */
export function llama(shape: LlamaShape = {}): ModelFolder {
  const { hidden = 64, inner = 160, layers = 2, vocab = 96, heads = 4, dtype = "F16" } = shape;
  const { normDtype = dtype, tied = false, seed = 1 } = shape;
  const random = createRandom(seed);
  const tensors: ModelTensor[] = [];
  const add = (name: string, dims: number[], type: Dtype = dtype): void => {
    tensors.push(randomTensor(random, name, dims, type));
  };
  add("model.embed_tokens.weight", [vocab, hidden]);
  for (let layer = 0; layer < layers; layer++) {
    const block = `model.layers.${layer}`;
    add(`${block}.input_layernorm.weight`, [hidden], normDtype);
    for (const projection of ["q", "k", "v", "o"])
      add(`${block}.self_attn.${projection}_proj.weight`, [hidden, hidden]);
    add(`${block}.post_attention_layernorm.weight`, [hidden], normDtype);
    add(`${block}.mlp.gate_proj.weight`, [inner, hidden]);
    add(`${block}.mlp.up_proj.weight`, [inner, hidden]);
    add(`${block}.mlp.down_proj.weight`, [hidden, inner]);
  }
  add("model.norm.weight", [hidden], normDtype);
  if (!tied) add("lm_head.weight", [vocab, hidden]);
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: hidden,
    intermediate_size: inner,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: heads,
    vocab_size: vocab,
    tie_word_embeddings: tied,
    torch_dtype: { F16: "float16", BF16: "bfloat16" }[dtype as string] ?? "float32",
  };
  const files = {
    "tokenizer.json": JSON.stringify({ version: "1.0", model: { type: "BPE" } }),
    "generation_config.json": JSON.stringify({ eos_token_id: 2 }),
  };
  return { tensors, config, files };
}

/** GPT-2's names; its Conv1D matrices are stored inputs × outputs. */
export function gpt2(hidden = 64, layers = 2, seed = 2): ModelFolder {
  const random = createRandom(seed);
  const tensors = [randomTensor(random, "transformer.wte.weight", [96, hidden])];
  for (let layer = 0; layer < layers; layer++) {
    const block = `transformer.h.${layer}`;
    tensors.push(
      randomTensor(random, `${block}.ln_1.weight`, [hidden]),
      randomTensor(random, `${block}.attn.c_attn.weight`, [hidden, 3 * hidden]),
      randomTensor(random, `${block}.attn.c_attn.bias`, [3 * hidden]),
      randomTensor(random, `${block}.attn.c_proj.weight`, [hidden, hidden]),
      randomTensor(random, `${block}.mlp.c_fc.weight`, [hidden, 4 * hidden]),
      randomTensor(random, `${block}.mlp.c_proj.weight`, [4 * hidden, hidden]),
    );
  }
  const config = {
    architectures: ["GPT2LMHeadModel"],
    model_type: "gpt2",
    n_embd: hidden,
    n_layer: layers,
    n_head: 4,
    vocab_size: 96,
  };
  return { tensors, config };
}

/** A mixture of experts whose experts are stacked in one tensor each. */
export function stackedExperts(seed = 3): ModelFolder {
  const random = createRandom(seed);
  const block = "model.layers.0";
  return {
    tensors: [
      randomTensor(random, "model.embed_tokens.weight", [48, 32], "BF16"),
      randomTensor(random, `${block}.self_attn.q_proj.weight`, [32, 32], "BF16"),
      randomTensor(random, `${block}.mlp.gate.weight`, [3, 32], "BF16"),
      randomTensor(random, `${block}.mlp.experts.gate_up_proj`, [3, 96, 32], "BF16"),
      randomTensor(random, `${block}.mlp.experts.down_proj`, [3, 32, 48], "BF16"),
    ],
    config: { model_type: "qwen3_moe", hidden_size: 32, num_hidden_layers: 1 },
  };
}

/** The same tensor with other bytes. */
export function withBytes(tensor: ModelTensor, data: Uint8Array): ModelTensor {
  return { ...tensor, data };
}

/**
 * Zeroes the `drop` weights of least magnitude, the first of equal ones first; by sorting, so as to
 * share nothing with what is tested. `bits` is a matrix or part of one.
 */
export function dropLeast(bits: Uint16Array | Uint32Array, drop: number): void {
  const mask = bits instanceof Uint16Array ? 0x7fff : 0x7fff_ffff;
  const order = [...bits.keys()].sort((a, b) => (bits[a]! & mask) - (bits[b]! & mask) || a - b);
  for (const index of order.slice(0, drop)) bits[index] = 0;
}

/** A 16- or 32-bit tensor's bits, in memory of their own. */
export function bitsOf({ data, dtype }: ModelTensor): Uint16Array | Uint32Array {
  if (typeof data === "number" || !isDtype(dtype)) throw new Error("no bits");
  const { buffer } = data.slice();
  return DTYPE_BITS[dtype] === 32 ? new Uint32Array(buffer) : new Uint16Array(buffer);
}

/** What pruning a matrix to `sparsity` must give, as bytes; `swapped`: stored inputs × outputs. */
export function prunedBytes(
  tensor: ModelTensor,
  sparsity: number,
  { scope = "matrix", swapped = false }: { scope?: "matrix" | "row"; swapped?: boolean } = {},
): Uint8Array {
  const stored = bitsOf(tensor);
  const [first = 1, second = 1] = tensor.shape;
  const [rows, cols] = swapped ? [second, first] : [first, second];
  const place = (row: number, col: number): number =>
    swapped ? col * rows + row : row * cols + col;
  const bits = stored.slice();
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++) bits[row * cols + col] = stored[place(row, col)]!;
  if (scope === "matrix") dropLeast(bits, Math.floor(bits.length * sparsity));
  else {
    for (let row = 0; row < rows; row++)
      dropLeast(bits.subarray(row * cols, (row + 1) * cols), Math.floor(cols * sparsity));
  }
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++) stored[place(row, col)] = bits[row * cols + col]!;
  return new Uint8Array(stored.buffer);
}

/** SHA-256 of every file in a folder, by name. */
export function folderHashes(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder)
      .sort()
      .map((name) => [name, sha256(readFileSync(join(folder, name)))]),
  );
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Names beside `path` that begin with its name: what a run has left behind. */
export function leftovers(path: string): string[] {
  const at = path.lastIndexOf("/");
  const [folder, name] = [path.slice(0, at), path.slice(at + 1)];
  return readdirSync(folder).filter((entry) => entry.startsWith(name) && entry !== name);
}

/** Header of a safetensors file, as JSON has it, and where its data begin. */
export function headerOf(path: string): {
  readonly dataBegin: number;
  readonly entries: Readonly<
    Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>
  >;
} {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const { __metadata__: _, ...entries } = JSON.parse(file.toString("utf8", 8, 8 + length));
  return { dataBegin: 8 + length, entries };
}

/** The stored bytes of all tensors of a folder, by name, read in the plainest way. */
export function storedTensors(folder: string): Map<string, ModelTensor> {
  const tensors = new Map<string, ModelTensor>();
  for (const name of readdirSync(folder).sort()) {
    if (!name.endsWith(".safetensors")) continue;
    const path = join(folder, name);
    const { dataBegin, entries } = headerOf(path);
    const file = readFileSync(path);
    for (const [tensor, { dtype, shape, data_offsets }] of Object.entries(entries)) {
      const [begin, end] = data_offsets;
      const data = new Uint8Array(file.subarray(dataBegin + begin, dataBegin + end));
      tensors.set(tensor, { name: tensor, dtype, shape, data });
    }
  }
  return tensors;
}

export function fileBytes(path: string): number {
  return statSync(path).size;
}
