/**
 * The C reader: built as C11 and C++17 without a warning, run under sanitizers over the golden
 * matrices, over damaged inputs with our verdicts beside its own, over folders, and fuzzed.
 */
import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fuzzFactor } from "../fuzz/harness.ts";
import { isDemanded } from "../helpers/demanded.ts";
import {
  compareVerdicts,
  type Judged,
  judgedHeaders,
  judgedMatrices,
} from "../helpers/readerInputs.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const GOLDEN = join(ROOT, "test/golden/tile-bitmap");
const WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
const SANITIZERS = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const LANGUAGES = {
  c11: ["gcc", "-std=c11"],
  "c++17": ["g++", "-x", "c++", "-std=c++17"],
} as const;
const HOST_SOURCES = ["crc32", "geometry", "reference", "status", "validate"];
const FUZZ_RUNS = 200_000 * fuzzFactor();
const INPUTS = 5000 * fuzzFactor();

/** Whether tests of a tool run; a skip says why, and a tool that is demanded is never skipped. */
function has(tool: string, demand: string, check: () => boolean): boolean {
  const there = check() || isDemanded(demand);
  if (!there) process.stderr.write(`skipped: the C reader with ${tool}: it is not installed\n`);
  return there;
}

const hasGcc = has(
  "gcc and g++",
  "g++",
  () =>
    spawnSync("gcc", ["--version"]).status === 0 && spawnSync("g++", ["--version"]).status === 0,
);
const hasFuzzer = has("clang-14 and libclang-rt-14-dev", "clang", () => {
  const args = ["-fsanitize=fuzzer", "-x", "c", "-", "-o", "/dev/null"];
  const input = "int LLVMFuzzerTestOneInput(const char* d, long n) { return d == 0 && n; }";
  return spawnSync("clang-14", args, { input }).status === 0;
});

const folder = mkdtempSync(join(tmpdir(), "spinfer-reader-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function compile(command: readonly string[], ...args: readonly string[]): void {
  const done = spawnSync(command[0]!, [...command.slice(1), ...args], { encoding: "utf8" });
  expect(done.stderr).toBe("");
  expect(done.status).toBe(0);
}

const SOURCE = join(ROOT, "test/native/readerProgram.c");

describe.skipIf(!hasGcc).each(["c11", "c++17"] as const)("the C reader as %s", (language) => {
  const program = join(folder, `reader-${language}`);
  const command = LANGUAGES[language];

  beforeAll(() => compile([...command, ...WARNINGS, ...SANITIZERS], SOURCE, "-o", program));

  it.each(["-O0", "-O2", "-O3"])("compiles with %s without a warning", (level) => {
    compile([...command, ...WARNINGS, level], "-c", SOURCE, "-o", join(folder, "object.o"));
  });

  const lines = (args: readonly string[], input: Uint8Array): string[] => {
    const done = spawnSync(program, args, { input, maxBuffer: 1 << 28 });
    expect(done.stderr.toString()).toBe("");
    expect(done.status).toBe(0);
    return done.stdout.toString().trimEnd().split("\n");
  };
  const verdicts = (args: readonly string[], { stream }: Judged): string[] =>
    lines(args, stream).map((line) => line.trimEnd());

  it.each(goldenFiles())("reads the golden matrix %s", (file) => {
    const { meta, payload, dense, rows, cols } = readGolden(file);
    const head = Buffer.alloc(12);
    head.writeUInt32LE(8 + meta.length + payload.length, 0);
    head.writeUInt32LE(meta.length, 4);
    head.writeUInt32LE(1, 8);
    const [line] = lines(["matrices"], Buffer.concat([head, meta, payload]));
    expect(line).toBe(`${rows} ${cols} ${crc32(dense).toString(16).padStart(8, "0")}`);
  });

  it(`agrees with ours on ${INPUTS} good and damaged matrices, in the code too`, () => {
    const judged = judgedMatrices(INPUTS, 61);
    const { disagreements, otherCode } = compareVerdicts(
      judged.verdicts,
      verdicts(["matrices"], judged),
    );
    expect(disagreements).toEqual([]);
    expect(otherCode).toBe(0);
    expect(new Set(judged.verdicts.filter((verdict) => verdict.startsWith("E_"))).size).toBe(9);
  });

  it(`agrees with ours on ${INPUTS} good and damaged safetensors headers`, () => {
    const judged = judgedHeaders(INPUTS, 62);
    const { disagreements, otherCode } = compareVerdicts(
      judged.verdicts,
      verdicts(["headers"], judged),
    );
    expect(disagreements).toEqual([]);
    // several faults in one file
    expect(otherCode / judged.verdicts.length).toBeLessThan(0.1);
  });
});

function goldenFiles(): string[] {
  return readdirSync(GOLDEN).filter((name) => name.endsWith(".json"));
}

interface Golden {
  readonly rows: number;
  readonly cols: number;
  readonly meta: Buffer;
  readonly payload: Buffer;
  /** Bytes of the dense tensor. */
  readonly dense: Buffer;
}

function readGolden(file: string): Golden {
  const json = JSON.parse(readFileSync(join(GOLDEN, file), "utf8"));
  const { rows, cols, transposed } = json as { rows: number; cols: number; transposed: boolean };
  const dense = Buffer.alloc(2 * rows * cols);
  for (const [row, col, value] of json.values as [number, number, number][]) {
    dense.writeUInt16LE(value, 2 * (transposed ? col * rows + row : row * cols + col));
  }
  const [meta, payload] = [json.weightMeta, json.payload].map((hex: string[]) =>
    Buffer.from(hex.join(""), "hex"),
  );
  return { rows, cols, meta: meta!, payload: payload!, dense };
}

describe.skipIf(!hasGcc)("the C reader and the example on folders", () => {
  const program = join(folder, "reader");
  const example = join(folder, "example");
  const sparse = join(folder, "sparse");
  const shards = join(folder, "shards");
  let dense: ReadonlyMap<string, string>;

  beforeAll(async () => {
    compile([...LANGUAGES.c11, ...WARNINGS, ...SANITIZERS], SOURCE, "-o", program);
    const library = await import(join(ROOT, "dist/src/index.js"));
    const run = async (from: string, to: string, recipe: string): Promise<void> => {
      await library.executeRecipe(from, to, library.readRecipe(recipe, "recipe"), { threads: 1 });
    };
    const prune = "version: 1\nprune: {method: magnitude, sparsity: 0.6}\n";
    await run(join(ROOT, "models/demo"), sparse, prune);
    await run(join(ROOT, "models/demo"), shards, `${prune}convert: {max_shard_size: 1MB}\n`);
    await run(sparse, join(folder, "dense"), "version: 1\nconvert: {to: dense}\n");
    dense = tensorHashes(join(folder, "dense/model.safetensors"));
  });

  const read = (path: string): { status: number | null; output: string } => {
    const { status, stdout, stderr } = spawnSync(program, ["folder", path], { encoding: "utf8" });
    return { status, output: stdout + stderr };
  };

  it.each([
    ["one file", sparse],
    ["shards", shards],
  ])("gives the dense tensors of %s", (_, path) => {
    const { status, output } = read(path);
    expect(status, output).toBe(0);
    const found = new Map(
      output
        .trimEnd()
        .split("\n")
        .map((line) => {
          const [name = "", , , hash = ""] = line.split(" ");
          return [name, hash];
        }),
    );
    expect(found.size).toBe(38);
    expect(found).toEqual(dense);
  });

  const change = (name: string, edit: (text: string) => string | Buffer): string => {
    const copy = mkdtempSync(join(folder, "changed-"));
    for (const file of readdirSync(shards)) {
      const bytes = readFileSync(join(shards, file));
      writeFileSync(join(copy, file), file === name ? edit(bytes.toString("latin1")) : bytes);
    }
    return copy;
  };
  const INDEX = "model.safetensors.index.json";

  it.each([
    ["E_TB_VERSION", "config.json", (t: string) => t.replace('"1.0"', '"2.0"')],
    ["E_MODEL_UNRECOGNISED", "config.json", (t: string) => t.replace('"spinfer"', '"gptq"')],
    ["E_CONFIG", "config.json", (t: string) => t.slice(0, -10)],
    ["E_PATH_ESCAPE", INDEX, (t: string) => t.replace(/"model-00001/, '"../model-00001')],
    ["E_INDEX_EXT", INDEX, (t: string) => t.replace(/-(\d+)\.safetensors"/, '-$1.bin"')],
    ["E_INDEX", INDEX, (t: string) => t.replace("weight_map", "weights")],
    ["E_INDEX_MISMATCH", INDEX, (t: string) => t.replace("model.norm.weight", "model.norm.x")],
    ["E_IO", INDEX, (t: string) => t.replace(/"model-00001-/, '"model-00009-')],
    ["E_ST_TRUNCATED", "model-00001-of-00004.safetensors", (t: string) => latin(t.slice(0, -1))],
    ["E_(?:TB_[A-Z]+|HASH)", "model-00003-of-00004.safetensors", damageMiddle],
  ])("refuses with %s", (code, file, edit) => {
    expect(readdirSync(shards)).toContain(file);
    const { status, output } = read(change(file, edit));
    expect(output).toMatch(new RegExp(`^${code} `, "m"));
    expect(status).toBe(3);
  });

  it.each([
    ["version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a git-lfs pointer"],
    ["\xef\xbb\xbf \n<!DOCTYPE html><html>", "an HTML or XML page"],
    ["<Error><Code>AccessDenied", "an HTML or XML page"],
    [' {"error": "not found"}', "a JSON text"],
    ["GGUF\x03\0\0\0\0\0\0\0\0\0\0\0", "a GGUF file"],
    ["PK\x03\x04 archive/data.pkl", "a zip archive or a pickle"],
    ["\x80\x02}q\0(X\x0f\0\0\0", "a zip archive or a pickle"],
  ])("says what %j is", (text, kind) => {
    const { status, output } = read(change("model-00001-of-00004.safetensors", () => latin(text)));
    expect(output).toMatch(new RegExp(`^E_NOT_SAFETENSORS .*${kind}`, "m"));
    expect(status).toBe(3);
  });

  it("refuses a matrix that is too large when dense", () => {
    const copy = mkdtempSync(join(folder, "large-"));
    const config = readFileSync(join(sparse, "config.json"));
    writeFileSync(join(copy, "config.json"), config);
    writeHeaderAlone(join(copy, "model.safetensors"), 1 << 18, (1 << 17) + 64);
    const { status, output } = read(copy);
    expect(output).toMatch(/^E_LIMIT_DENSE .*262144 x 131136/m);
    expect(status).toBe(3);
  });

  it("multiplies with what it read, as C11 and as C++17", () => {
    const sources = HOST_SOURCES.map((name) => join(ROOT, `kernels/src/${name}.cpp`));
    const host = join(folder, "libspinfer.so");
    compile(["g++", "-std=c++17", "-O2", "-fPIC", "-shared"], ...sources, "-o", host);
    for (const command of Object.values(LANGUAGES)) {
      const flags = ["-I", join(ROOT, "kernels/include"), "-Wall", "-Wextra", "-Werror"];
      const source = join(ROOT, "integrations/c/example.c");
      const libraries = ["-x", "none", host, `-Wl,-rpath,${folder}`, "-lm"];
      compile([...command, ...SANITIZERS, ...flags], source, ...libraries, "-o", example);
      const done = spawnSync(example, [sparse], { encoding: "utf8" });
      expect(done.stderr).toBe("");
      expect(done.stdout).toMatch(
        /up_proj\.weight: 640 x 256, 60\.0 % zeros, largest error 0\.0e\+00/,
      );
      expect(done.stdout).toMatch(
        /^28 products, ABI \d+, \d\.\d{3} s for 4 tokens, \d\.\d{3} s to load$/m,
      );
      const name = "model.layers.0.mlp.up_proj.weight";
      expect(done.stdout).toMatch(new RegExp(`^${name}: .*, CRC-32 ${dense.get(name)!}$`, "m"));
      expect(done.status).toBe(0);
      expect(spawnSync(example, [sparse, "model.layers.0.mlp.up_proj"]).status).toBe(0);
      expect(spawnSync(example, [sparse, "nothing"]).status).toBe(1);
      expect(spawnSync(example, [join(folder, "dense")]).status).toBe(3);
    }
  });
});

/** A packed weight of these sides with a header, a payload of no bytes, and a hole for offsets. */
function writeHeaderAlone(path: string, rows: number, cols: number): void {
  const chunks = (rows / 32) * (cols / 64);
  const metaBytes = Math.ceil((64 + 4 * (chunks + 1)) / 16) * 16;
  const meta = Buffer.alloc(64);
  meta.write("SPTILEBM\x01\0\0\0\x01\x01", "latin1");
  meta.writeUInt32LE(rows, 16);
  meta.writeUInt32LE(cols, 20);
  meta.writeUInt16LE(32, 24);
  meta.writeUInt16LE(64, 26);
  meta.writeUInt32LE(64, 28);
  meta.writeUInt32LE(chunks, 48);
  const entry = (words: number, begin: number, end: number) => ({
    ...{ dtype: "I64", shape: [words], data_offsets: [begin, end] },
  });
  const header = Buffer.from(
    JSON.stringify({
      "a.weight": entry(0, 0, 0),
      "a.weight_meta": entry(metaBytes / 8, 0, metaBytes),
    }),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(path, Buffer.concat([length, header, meta]));
  truncateSync(path, 8 + header.length + metaBytes);
}

/** Another byte in the middle of a file, which is a packed weight. */
function damageMiddle(text: string): Buffer {
  const bytes = latin(text);
  bytes[bytes.length >> 1]! ^= 0x5a;
  return bytes;
}

function latin(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** CRC-32 of the bytes of each tensor of a safetensors file. */
function tensorHashes(path: string): ReadonlyMap<string, string> {
  const file = readFileSync(path);
  const headerEnd = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, headerEnd)) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== "__metadata__")
      .map(
        ([
          name,
          {
            data_offsets: [begin, end],
          },
        ]) => {
          const hash = crc32(file.subarray(headerEnd + begin, headerEnd + end));
          return [name, hash.toString(16).padStart(8, "0")];
        },
      ),
  );
}

describe.skipIf(!hasFuzzer)("the C reader under libFuzzer (needs clang-14)", () => {
  it(`holds for ${FUZZ_RUNS} inputs under the address and undefined-behaviour sanitizers`, () => {
    const program = join(folder, "fuzz");
    const corpus = join(folder, "corpus");
    mkdirSync(corpus);
    seedCorpus(corpus);
    const sanitizers = ["-O1", "-g", "-fsanitize=fuzzer,address,undefined"];
    const flags = ["clang-14", "-std=c11", ...sanitizers, "-fno-sanitize-recover=all"];
    compile(flags, join(ROOT, "test/native/readerFuzz.c"), "-o", program);
    const options = [`-runs=${FUZZ_RUNS}`, "-seed=1", "-max_len=8192", "-rss_limit_mb=1024"];
    const done = spawnSync(program, [...options, corpus], { encoding: "utf8", cwd: folder });
    expect(done.status, done.stderr.slice(-4000)).toBe(0);
    expect(done.stderr).toContain(`Done ${FUZZ_RUNS} runs`);
  });
});

/** Golden matrices and good headers, behind the byte that chooses the parser. */
function seedCorpus(corpus: string): void {
  for (const file of goldenFiles()) {
    const { meta, payload } = readGolden(file);
    if (meta.length > 64 + 7 * 16) continue;
    // the target takes the size of weight_meta from the first byte, and writes the magic over it
    meta[0] = (meta.length - 64) / 16;
    writeFileSync(join(corpus, file), Buffer.concat([Buffer.of(0), meta, payload]));
  }
  const header = '{"a":{"dtype":"F16","shape":[2,4],"data_offsets":[0,16]}}';
  writeFileSync(join(corpus, "header"), Buffer.concat([Buffer.of(1), Buffer.from(header)]));
}
