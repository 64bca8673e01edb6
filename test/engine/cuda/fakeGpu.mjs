// Stands for the GPU process: answers with made-up but consistent numbers, or fails as it is told.
// The library path that it is started with names the failure: …/fault-<kind>.so.
const geometry = {
  tokens: 8,
  warps: 16,
  stages: 2,
  blocksPerSm: 1,
  cluster: 1,
  roundRobin: 1,
  copies: 1,
};
const other = { ...geometry, warps: 8, roundRobin: 0 };
const failure = /fault-([\w-]+)/.exec(process.argv[2] ?? "")?.[1];
let weights;

function measurement(medianUs, extra = {}) {
  return {
    medianUs,
    meanUs: medianUs,
    deviationUs: medianUs / 100,
    samplesUs: [0.98, 0.99, 1, 1, 1, 1, 1, 1.01, 1.02].map((share) => share * medianUs),
    joules: 0,
    energyUs: 0,
    largestError: 0.4,
    calls: 100,
    candidates: 1,
    rejected: 0,
    smClockMhz: 0,
    geometry,
    ...extra,
  };
}

const ANSWERS = {
  describe: () => ({
    name: "Made-up GPU",
    uuid: "GPU-0",
    driver: "1.2.3",
    memoryBytes: 80e9,
    freeMemoryBytes: 79e9,
    l2Bytes: 50e6,
    capability: "9.0",
    sms: 132,
    smClockMhz: 345,
    smClockMaxMhz: 1980,
    memoryClockMhz: 2619,
    powerLimitW: 700,
    temperatureC: 40,
    cuda: "13.0",
    driverCuda: "13.0",
  }),
  geometries: () => [geometry, other],
  draw: ({ rows, cols, sparsity }) => {
    const nonzeros = Math.round(rows * cols * (1 - sparsity));
    weights = {
      rows,
      cols,
      nonzeros,
      payloadBytes: nonzeros * 2 + (rows * cols) / 8,
      offsetsBytes: 4,
      denseBytes: rows * cols * 2,
      maxChunkBytes: 4352,
    };
    return weights;
  },
  // time in proportion to the bytes, so that ratios are known: dense 1, sparse its share of bytes
  measure: ({ what, tokens, geometry: asked, overlap, energySeconds }) => {
    const dense = weights.denseBytes / 1e6 + 1;
    const sparse = dense * ((weights.payloadBytes + weights.offsetsBytes) / weights.denseBytes);
    const energy = energySeconds > 0 ? { joules: 1e-3, smClockMhz: 1900 } : {};
    if (what === "dense-lt") return measurement(dense, { candidates: 17, ...energy });
    if (what === "dense-gemm") return measurement(dense * 1.5);
    if (what === "dense-gemv") return measurement(dense * (tokens === 1 ? 0.9 : 2));
    if (what === "stream-limit") return measurement(sparse * 0.9);
    if (what === "2:4") return { failure: { status: 7, message: "cuSPARSELt was not found" } };
    const isOther = asked !== undefined && asked.warps === other.warps && asked.roundRobin === 0;
    const time = sparse * (isOther ? 0.5 : 1) * (overlap ? 0.8 : 1);
    return measurement(time, { geometry: asked ?? geometry, ...energy });
  },
};

const FAILURES = {
  segfault: () => process.kill(process.pid, "SIGSEGV"),
  killed: () => process.kill(process.pid, "SIGKILL"),
  hang: () => undefined,
  throws: () => {
    throw new Error("what nobody foresaw");
  },
};

process.on("message", ({ id, kind, ask }) => {
  const status = /^status-(\d+)$/.exec(failure ?? "")?.[1];
  if (status !== undefined) {
    process.send({ id, failure: { status: Number(status), message: "the library said so" } });
  } else if (failure === "library") {
    process.send({ id, library: { message: "its ABI version is 1, expected 2", path: "x.so" } });
  } else if (failure !== undefined) {
    FAILURES[failure]();
  } else {
    const answer = ANSWERS[kind](ask);
    process.send(answer.failure === undefined ? { id, answer } : { id, ...answer });
  }
});
process.on("disconnect", () => process.exit(0));
