/** What doctor found. */
import { formatBytes, formatDuration } from "../../core/text.ts";
import type { DoctorFacts, SelftestStep } from "../../pipeline/doctor.ts";
import {
  type Block,
  type Document,
  faint,
  good,
  lines,
  type Row,
  strong,
  type Table,
  type Tone,
} from "../output/document.ts";
import type { DoctorResult } from "../schemas/doctor.ts";
import { gpuLine, gpuResult } from "./gpu.ts";

const LITTLE_DISK = 1e9;
const OLDEST_NODE = [20, 19] as const;

export function doctorResult(
  facts: DoctorFacts,
  steps: readonly SelftestStep[] | undefined,
): DoctorResult {
  return {
    spinfer: facts.spinfer,
    node: facts.node,
    platform: facts.platform,
    arch: facts.arch,
    system: facts.system,
    cpu: facts.cpu,
    threads: facts.threads,
    memory_bytes: facts.memoryBytes,
    free_memory_bytes: facts.freeMemoryBytes,
    folder: facts.folder,
    free_disk_bytes: facts.freeDiskBytes,
    endianness: facts.endianness,
    kernels: facts.kernels,
    native_engine: { ...facts.nativeEngine },
    cuda: {
      library: facts.cuda.library,
      gpu: facts.cuda.gpu === null ? null : gpuResult(facts.cuda.gpu),
      problem: facts.cuda.problem,
    },
    environment: { ...facts.environment },
    selftest:
      steps?.map(({ name, ok, detail, elapsedMs }) => ({
        name,
        ok,
        detail,
        elapsed_ms: Math.round(elapsedMs),
      })) ?? null,
  };
}

interface Finding {
  readonly what: string;
  readonly status: "good" | "caution" | "bad" | "fact";
  readonly value: string;
  readonly advice?: string;
}

function findings(facts: DoctorFacts, steps: readonly SelftestStep[] | undefined): Finding[] {
  const [major = 0, minor = 0] = facts.node.split(".").map(Number);
  const recent = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  return [
    { what: "spinfer", status: "fact", value: facts.spinfer },
    {
      what: "node",
      status: recent ? "good" : "bad",
      value: facts.node,
      ...(recent ? {} : { advice: `needs ${OLDEST_NODE.join(".")} or later` }),
    },
    {
      what: "system",
      status: "fact",
      value: `${facts.system}, ${facts.platform}-${facts.arch}`,
    },
    { what: "cpu", status: "fact", value: `${facts.cpu}, ${facts.threads} at once` },
    {
      what: "byte order",
      status: facts.endianness === "LE" ? "good" : "bad",
      value: facts.endianness === "LE" ? "little-endian" : "big-endian",
      ...(facts.endianness === "LE" ? {} : { advice: "model files would be read wrongly" }),
    },
    {
      what: "memory",
      status: "fact",
      value: `${formatBytes(facts.freeMemoryBytes)} of ${formatBytes(facts.memoryBytes)} free`,
    },
    {
      what: "disk",
      status: facts.freeDiskBytes < LITTLE_DISK ? "caution" : "good",
      value: `${formatBytes(facts.freeDiskBytes)} free in ${facts.folder}`,
      ...(facts.freeDiskBytes < LITTLE_DISK ? { advice: "little room for a checkpoint" } : {}),
    },
    facts.kernels === "wasm-simd"
      ? { what: "kernels", status: "good", value: "WebAssembly with SIMD" }
      : {
          what: "kernels",
          status: "caution",
          value: "plain TypeScript",
          advice: "the same bytes, but slower: no WebAssembly SIMD, or SPINFER_KERNELS says so",
        },
    nativeFinding(facts),
    gpuFinding(facts),
    ...(steps ?? []).map(
      ({ name, detail, elapsedMs }): Finding => ({
        what: `selftest: ${name}`,
        status: "good",
        value: `${detail}, ${formatDuration(elapsedMs)}`,
      }),
    ),
  ];
}

/** Another engine runs where this one does not, to the same result but for the last bits. */
function nativeFinding({ nativeEngine, environment }: DoctorFacts): Finding {
  const { instructions, problem } = nativeEngine;
  if (instructions !== null) {
    return { what: "CPU engine", status: "good", value: `native, with ${instructions}` };
  }
  const variables = ["SPINFER_CPU_LIBRARY", "SPINFER_CPU_INSTRUCTIONS"];
  const isNamed = variables.some((name) => (environment[name] ?? "") !== "");
  // a wrong option is refused by every command; a missing library is not
  const other = problem?.code === "E_OPTION" ? [] : ["until then another engine runs, slower"];
  return {
    what: "CPU engine",
    status: isNamed ? "caution" : "fact",
    value: `not native: ${problem?.message ?? "unknown"}`,
    advice: [...(problem?.hint === undefined ? [] : [problem.hint]), ...other].join("; "),
  };
}

/** A machine without a GPU is nothing to worry about; one whose GPU cannot be used is. */
function gpuFinding({ cuda: { library, gpu, problem }, environment }: DoctorFacts): Finding {
  if (gpu !== null) return { what: "GPU", status: "good", value: gpuLine(gpu) };
  const isNamed = (environment["SPINFER_LIBRARY"] ?? "") !== "";
  const plain = !isNamed && (library === null || problem?.code === "E_GPU_NONE");
  const found = isNamed && problem?.found ? ` (${problem.found})` : "";
  return {
    what: "GPU",
    status: plain ? "fact" : "caution",
    value: `not used: ${problem?.message ?? "unknown"}${found}`,
    advice: "everything but spinfer bench and spinfer tune works without",
  };
}

const MARKS: Readonly<Record<string, { readonly mark: string; readonly tone?: Tone }>> = {
  good: { mark: "✓", tone: "good" },
  caution: { mark: "!", tone: "caution" },
  bad: { mark: "✗", tone: "bad" },
  fact: { mark: " " },
};

export function doctorTable(facts: DoctorFacts, steps: readonly SelftestStep[] | undefined): Table {
  return {
    columns: [
      {
        key: "status",
        title: "",
        show: (status) => MARKS[String(status)]!.mark,
        tone: (status) => MARKS[String(status)]!.tone,
      },
      { key: "what", title: "" },
      { key: "value", title: "" },
      { key: "advice", title: "" },
    ],
    rows: findings(facts, steps).map(
      ({ what, status, value, advice }): Row => ({ status, what, value, advice: advice ?? null }),
    ),
  };
}

export function doctorDocument(
  facts: DoctorFacts,
  steps: readonly SelftestStep[] | undefined,
): Document {
  const environment = Object.entries(facts.environment);
  const blocks: Block[] = [{ kind: "table", table: doctorTable(facts, steps) }];
  if (environment.length > 0) {
    blocks.push(lines([strong("environment")], ...environment.map(([k, v]) => [`  ${k}=${v}`])));
  }
  blocks.push(
    steps === undefined
      ? lines([faint("To try the whole pipeline on a small model: spinfer doctor --selftest")])
      : lines([good("✓"), " SpInfer works on this machine"]),
  );
  return blocks;
}
