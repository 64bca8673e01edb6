// The built package on a real GPU: npm run test:gpu. Needs dist/, the library and node alone.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { plainKernels } from "../../dist/formats/tile-bitmap/chunks.js";
import { checkPacked, packMatrix } from "../../dist/formats/tile-bitmap/matrix.js";
import { multiplyPacked } from "../../dist/formats/tile-bitmap/product.js";
import { bf16ToFloat, fp16ToFloat } from "../../dist/src/core/half.js";
import { GpuProcess } from "../../dist/src/engine/cuda/index.js";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const SPINFER = path("../../dist/src/cli/main.js");
const DEMO = path("../../models/demo");
const folder = mkdtempSync(join(tmpdir(), "spinfer-gpu-"));
after(() => rmSync(folder, { recursive: true }));

function spinfer(...words) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SPINFER, ...words], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, SPINFER_CACHE: join(folder, "cache") },
  });
  assert.equal(status, 0, `spinfer ${words.join(" ")}: exit ${status}\n${stdout}\n${stderr}`);
  return stdout;
}

// xorshift: the same matrices on every run
let state = 0x2545f491;
function random() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}

function halves(count, dtype, sparsity) {
  const exponent = dtype === "BF16" ? 0x3f00 : 0x3800; // magnitudes from 0.5 up
  return Uint16Array.from({ length: count }, () => {
    if (random() < sparsity) return 0;
    return (random() < 0.5 ? 0x8000 : 0) | (exponent + Math.floor(random() * 256));
  });
}

async function withGpu(work, options = {}) {
  const gpu = new GpuProcess(options);
  try {
    return await work(gpu);
  } finally {
    await gpu.close();
  }
}

/** One matrix: loaded, decoded and multiplied on the GPU, compared with the codec and product here. */
async function compare(gpu, rows, cols, dtype, sparsity) {
  const toFloat = dtype === "BF16" ? bf16ToFloat : fp16ToFloat;
  const step = dtype === "BF16" ? 2 ** -8 : 2 ** -11;
  const bits = halves(rows * cols, dtype, sparsity);
  const packed = packMatrix({ rows, cols, dtype, bits }, false, plainKernels);
  const facts = await gpu.ask("load", packed);
  assert.equal(facts.nonzeros, packed.nonzeros);
  assert.deepEqual(await gpu.ask("decode", null), bits);
  const meta = checkPacked(packed.payload, packed.meta, {}, { crc: true });
  for (const tokens of [1, 5, 16, 33, 65]) {
    const x = halves(tokens * cols, dtype, 0);
    const y = await gpu.ask("multiply", { x, tokens });
    const { sums, magnitudes } = multiplyPacked(meta, packed.payload, x, tokens);
    for (let i = 0; i < y.length; i++) {
      const bound = Math.abs(sums[i]) * step + magnitudes[i] * 2 ** -16 + 2 ** -24;
      const error = Math.abs(toFloat(y[i]) - sums[i]);
      assert.ok(error <= bound, `${rows}x${cols}, n ${tokens}: ${error} > ${bound}`);
    }
  }
}

describe("the codec and the product on the GPU and in TypeScript", () => {
  const shapes = [
    [1, 1],
    [31, 63],
    [33, 65],
    [97, 131],
    [256, 512],
    [640, 256],
  ];
  for (const dtype of ["F16", "BF16"]) {
    for (const sparsity of [0, 0.5, 0.9, 1]) {
      it(`agree for ${dtype} at ${100 * sparsity} % zeros`, async () => {
        await withGpu(async (gpu) => {
          for (const [rows, cols] of shapes) await compare(gpu, rows, cols, dtype, sparsity);
        });
      });
    }
  }
});

describe("the GPU process", () => {
  it("ends with one typed error when a kernel faults, and the next one works", async () => {
    const draw = { rows: 64, cols: 64, dtype: "F16", mask: "random", sparsity: 0.5, seed: 1 };
    await withGpu(
      async (gpu) => {
        await assert.rejects(gpu.ask("draw", draw), (error) => {
          assert.equal(error.code, "E_GPU_FAULT");
          assert.equal(error.exit, 8);
          assert.match(error.message, /cudaErrorIllegalAddress|cudaErrorMisalignedAddress/);
          assert.match(error.detail.found, /while it worked on draw/);
          return true;
        });
        await assert.rejects(gpu.ask("describe", null), { code: "E_GPU_FAULT" });
      },
      { program: path("./faultingProcess.mjs") },
    );
    await withGpu(async (gpu) => assert.equal((await gpu.ask("draw", draw)).rows, 64));
  });

  it("says how much memory was needed", async () => {
    await withGpu(async (gpu) => {
      const huge = { rows: 1 << 20, cols: 1 << 20, dtype: "F16", mask: "random", sparsity: 0.5 };
      await assert.rejects(gpu.ask("draw", { ...huge, seed: 1 }), (error) => {
        assert.equal(error.code, "E_GPU_MEMORY");
        assert.match(error.message, /bytes of device memory needed, \d+ of \d+ are free/);
        return true;
      });
    });
  });

  it("refuses a damaged container before it is uploaded", async () => {
    await withGpu(async (gpu) => {
      const bits = halves(64 * 64, "F16", 0.5);
      const { meta, payload } = packMatrix(
        { rows: 64, cols: 64, dtype: "F16", bits },
        false,
        plainKernels,
      );
      payload[0] ^= 1;
      await assert.rejects(gpu.ask("load", { meta, payload }), { code: "E_TB_LAYOUT" });
    });
  });
});

describe("the command line", () => {
  it("doctor finds the GPU and multiplies on it", () => {
    const { result } = JSON.parse(spinfer("doctor", "--selftest", "--json"));
    assert.ok(Number(result.cuda.gpu.capability) >= 8);
    assert.match(result.cuda.gpu.uuid, /^GPU-/);
    assert.equal(result.cuda.problem, null);
    assert.ok(result.selftest.some(({ name, ok }) => name === "product on the GPU" && ok));
  });

  it("bench kernels measures shapes, energy and 2:4", () => {
    const words = ["--shapes", "1024x4096,97x131", "--n", "1,8", "--sparsity", "0.5"];
    const { result } = JSON.parse(
      spinfer("bench", "kernels", ...words, "--energy", "2", "--two-four", "--json"),
    );
    assert.equal(result.cells.length, 4);
    for (const cell of result.cells) {
      assert.ok(cell.largest_error <= 1);
      assert.ok(cell.millijoules > 0 && cell.baseline_millijoules > 0);
      assert.ok(cell.samples_ns.length === 9 && cell.ratio > 0);
      if (cell.m === 1024) assert.ok(cell.two_four_ratio > 0);
    }
  });

  it("prune, bench kernels and tune work on a checkpoint's own masks", () => {
    spinfer("prune", DEMO, "-o", "sparse", "--sparsity", "0.6", "--progress", "none");
    const bench = JSON.parse(spinfer("bench", "kernels", "sparse", "--n", "1,16", "--json"));
    assert.equal(bench.result.cells.length, 14);
    for (const cell of bench.result.cells) assert.equal(cell.mask, "checkpoint");
    const tuned = JSON.parse(spinfer("tune", "sparse", "--n", "1", "--json")).result;
    assert.ok(tuned.measured > 0);
    for (const { choices } of tuned.matrices) assert.equal(choices[0].from, "measured here");
    const cache = JSON.parse(readFileSync(join(folder, "cache/tune.json"), "utf8"));
    assert.equal(cache.entries.length, tuned.measured);
    assert.equal(JSON.parse(spinfer("tune", "sparse", "--n", "1", "--json")).result.measured, 0);
  });
});
