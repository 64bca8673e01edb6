/**
 * Compute only: prune (magnitude, per row, 50 %) and encode, in worker threads, nothing read or
 * written. Run as a worker: does rounds until it is told to stop, and says what each took.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

const ROWS = 4096;
const COLS = 4096;
const BYTES = ROWS * COLS * 2;

if (!isMainThread && workerData?.bench === "compute") await work();

/** GB/s of fp16 input, of each thread and of all together, for so many milliseconds. */
export async function measureCompute(dist, kernels, threads, milliseconds) {
  const workers = Array.from(
    { length: threads },
    () =>
      new Worker(new URL(import.meta.url), {
        workerData: { bench: "compute", dist, milliseconds },
        env: { ...process.env, SPINFER_KERNELS: kernels === "plain" ? "typescript" : "wasm" },
      }),
  );
  const next = (worker) =>
    new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  await Promise.all(workers.map(next)); // warmed up
  const results = workers.map(next);
  for (const worker of workers) worker.postMessage("go");
  const perThread = (await Promise.all(results)).map(({ bytes, busyMs }) => bytes / busyMs / 1e6);
  await Promise.all(workers.map((worker) => worker.terminate()));
  return { perThread, total: perThread.reduce((sum, rate) => sum + rate, 0) };
}

async function work() {
  const { transformTensor } = await import(`${workerData.dist}/src/pipeline/work/transform.js`);
  const weights = normalHalves(ROWS * COLS);
  const step = {
    name: "model.layers.0.mlp.up_proj.weight",
    role: "linear",
    source: { name: "", dtype: "F16", shape: [ROWS, COLS], extents: [], stored: "plain" },
    shape: [ROWS, COLS],
    dtype: "F16",
    orientation: "out-in",
    matrices: 1,
    matrix: { rows: ROWS, cols: COLS },
    prune: {
      method: "magnitude",
      sparsity: 0.5,
      pattern: "unstructured",
      options: { scope: "row" },
    },
    store: "auto",
    copy: false,
    bytesIn: BYTES,
    bytesOut: { most: BYTES, expected: BYTES },
  };
  const buffer = new Uint16Array(ROWS * COLS);
  const once = () => {
    buffer.set(weights);
    const begun = performance.now();
    const made = transformTensor(step, [new Uint8Array(buffer.buffer)], { strictFinite: false });
    if (made.kind !== "packed") throw new Error("it was not packed");
    return performance.now() - begun;
  };
  for (let i = 0; i < 3; i++) once();
  parentPort.on("message", () => {
    const until = performance.now() + workerData.milliseconds;
    let busyMs = 0;
    let bytes = 0;
    while (performance.now() < until) {
      busyMs += once();
      bytes += BYTES;
    }
    parentPort.postMessage({ bytes, busyMs });
  });
  parentPort.postMessage("ready");
}

/** Normal weights as models have them, σ = 0.02, from a fixed seed. */
export function normalHalves(count) {
  const out = new Uint16Array(count);
  let state = 0x9e3779b9;
  const uniform = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  for (let i = 0; i < count; i++) {
    float[0] =
      0.02 * Math.sqrt(-2 * Math.log(uniform() + 1e-12)) * Math.cos(2 * Math.PI * uniform());
    const magnitude = bits[0] & 0x7fffffff;
    // truncated to fp16; tiny values to zero
    out[i] =
      magnitude < 0x38800000 ? 0 : ((bits[0] >>> 16) & 0x8000) | ((magnitude - 0x38000000) >>> 13);
  }
  return out;
}
