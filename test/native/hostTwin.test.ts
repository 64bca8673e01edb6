/** The C++ twin of the container's codec and its validator, built by g++ alone: no GPU, no CUDA. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plainKernels } from "../../formats/tile-bitmap/chunks.ts";
import { VALUE_DTYPES } from "../../formats/tile-bitmap/layout.ts";
import { type HalfMatrix, packMatrix } from "../../formats/tile-bitmap/matrix.ts";
import type { HalfDtype } from "../../src/core/dtype.ts";
import { randomMatrix } from "../formats/tile-bitmap/matrices.ts";
import { findCompiler } from "../helpers/compiler.ts";
import { createRandom } from "../helpers/random.ts";

const buildScript = fileURLToPath(new URL("../../scripts/buildKernels.mjs", import.meta.url));
const goldenFolder = new URL("../golden/tile-bitmap/", import.meta.url);
const hasCompiler = findCompiler("g++", "the C++ twin of the codec");

let folder = "";
let program = "";

beforeAll(() => {
  if (!hasCompiler) return;
  folder = mkdtempSync(join(tmpdir(), "spinfer-native-"));
  const built = spawnSync(process.execPath, [buildScript, "--host", "--out", folder]);
  if (built.status !== 0) throw new Error(`buildKernels --host: ${built.stderr.toString()}`);
  program = join(folder, "hostTest");
});
afterAll(() => {
  if (folder !== "") rmSync(folder, { recursive: true });
});

const bytesOf = (bits: Uint16Array): Buffer =>
  Buffer.from(bits.buffer, bits.byteOffset, bits.byteLength);

function run(args: readonly (string | number)[], input: Uint8Array): Buffer {
  const done = spawnSync(program, args.map(String), { input, maxBuffer: 1 << 28 });
  if (done.status !== 0) throw new Error(`hostTest ${args[0]}: ${done.stderr.toString()}`);
  return done.stdout;
}

function encode(matrix: HalfMatrix, transposed: boolean): Buffer {
  const { rows, cols, dtype, bits } = matrix;
  return run(["encode", rows, cols, VALUE_DTYPES[dtype], transposed ? 1 : 0], bytesOf(bits));
}

interface GoldenCase {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: HalfDtype;
  readonly transposed: boolean;
  readonly values: readonly (readonly [number, number, number])[];
  readonly payload: readonly string[];
  readonly weightMeta: readonly string[];
}

describe.skipIf(!hasCompiler)("the C++ twin of the codec (needs g++)", () => {
  it("passes its own tests under the address and undefined-behaviour sanitizers", () => {
    const done = spawnSync(program, [], { encoding: "utf8" });
    expect(done.stdout + done.stderr).toMatch(/hostTest: \d{4} checks, 0 failures/);
    expect(done.status).toBe(0);
  });

  it.each(readdirSync(goldenFolder).filter((name) => name.endsWith(".json")))(
    "writes and reads the golden matrix %s",
    (file) => {
      const golden = JSON.parse(readFileSync(new URL(file, goldenFolder), "utf8")) as GoldenCase;
      const { rows, cols, dtype, transposed } = golden;
      const bits = new Uint16Array(rows * cols);
      for (const [row, col, value] of golden.values) bits[row * cols + col] = value;
      const meta = golden.weightMeta.join("");
      const stored = meta + golden.payload.join("");
      expect(encode({ rows, cols, dtype, bits }, transposed).toString("hex")).toBe(stored);
      const back = run(["decode", meta.length / 2], Buffer.from(stored, "hex"));
      expect(back.equals(bytesOf(bits))).toBe(true);
    },
  );

  it("writes the same bytes as the TypeScript codec for random matrices with tails", () => {
    const random = createRandom(17);
    for (let i = 0; i < 40; i++) {
      const rows = 1 + random.int(100);
      const cols = 1 + random.int(200);
      const dtype: HalfDtype = i % 2 === 0 ? "F16" : "BF16";
      const matrix = randomMatrix(random, rows, cols, (i % 11) / 10, dtype);
      const packed = packMatrix(matrix, i % 3 === 0, plainKernels);
      const expected = Buffer.concat([packed.meta, packed.payload]);
      expect(encode(matrix, i % 3 === 0).equals(expected), `${rows} x ${cols}`).toBe(true);
      const back = run(["decode", packed.meta.length], expected);
      expect(back.equals(bytesOf(matrix.bits)), `${rows} x ${cols}`).toBe(true);
    }
  });

  it("says why it rejects a damaged container", () => {
    const packed = packMatrix(randomMatrix(createRandom(1), 40, 70, 0.5), false, plainKernels);
    packed.payload[0]! ^= 1;
    const input = Buffer.concat([packed.meta, packed.payload]);
    expect(() => run(["decode", packed.meta.length], input)).toThrow(/bitmap|stored zero|padding/);
  });
});
