/** libspinfer_cpu.so (kernels/include/spinfer_cpu.h): found, opened, and its processor asked. */

import { SpInferError } from "../../core/errors.ts";
import { findLibrary } from "../../io/nativeLibrary.ts";
import { INSTRUCTION_SETS, type InstructionSet } from "../engine.ts";
import { LibraryFailure, openSharedLibrary, type SharedLibrary } from "../sharedLibrary.ts";
import { CpuContext } from "./context.ts";
import { DECLARATIONS, type FunctionName, STATUS } from "./declarations.ts";

const VERSION = { name: "spinfer_cpu_abi_version", expected: 1 };

type Environment = Readonly<Record<string, string | undefined>>;

const BUILD = "npm run build:cpu in a clone builds it, with a C++ compiler";
const OTHER = "use --engine onnxruntime, or leave --engine out";

/**
 * The calling thread is one of `threads`, also where none is asked for.
 * `SPINFER_CPU_INSTRUCTIONS` takes another instruction set than the processor's best. Throws
 * E_ENGINE_MISSING when there is no library that works on this processor, E_OPTION for a name that
 * is no instruction set's.
 */
export async function openCpu(
  threads: number,
  env: Environment = process.env,
): Promise<CpuContext> {
  const { path, tried } = findLibrary("libspinfer_cpu.so", env);
  if (path === undefined) throw missing("it is not there", tried.join(", "), BUILD);
  const asked = askedInstructions(env);
  const library = await load(path);
  const best = String(library.functions.spinfer_cpu_best());
  if (best === "") throw missing("this processor lacks AVX2", path, OTHER);
  const out = new BigUint64Array(1);
  const status = library.functions.spinfer_cpu_open(Math.max(1, threads), asked ?? null, out);
  if (status === STATUS.unsupported)
    throw missing(`this processor lacks ${asked}`, path, "leave SPINFER_CPU_INSTRUCTIONS out");
  if (status === STATUS.memory) {
    throw new SpInferError("E_MEMORY", `the CPU library could not start ${threads} threads`, {
      hint: "use fewer threads (--threads)",
    });
  }
  if (status !== STATUS.ok) {
    const sentence = `spinfer_cpu_open(${threads}, ${asked ?? "null"}) returned ${status}`;
    throw new SpInferError("E_INTERNAL", sentence);
  }
  return new CpuContext(library, out[0]!, asked ?? (best as InstructionSet));
}

async function load(path: string): Promise<SharedLibrary<FunctionName>> {
  try {
    return await openSharedLibrary(path, DECLARATIONS, VERSION);
  } catch (thrown) {
    if (thrown instanceof LibraryFailure)
      throw missing(thrown.message, path, thrown.hint ?? BUILD, thrown);
    throw thrown;
  }
}

function askedInstructions(env: Environment): InstructionSet | undefined {
  const asked = env["SPINFER_CPU_INSTRUCTIONS"] ?? "";
  if (asked === "") return undefined;
  const known = INSTRUCTION_SETS.find((name) => name === asked);
  if (known !== undefined) return known;
  throw new SpInferError("E_OPTION", "SPINFER_CPU_INSTRUCTIONS names no instruction set", {
    found: JSON.stringify(asked),
    expected: INSTRUCTION_SETS.join(", "),
    hint: "leave it out: the best one that the processor has is taken",
  });
}

function missing(reason: string, looked: string, hint: string, cause?: unknown): SpInferError {
  return new SpInferError("E_ENGINE_MISSING", `the CPU library cannot be used: ${reason}`, {
    found: `${process.platform} ${process.arch}, ${looked}`,
    expected: "libspinfer_cpu.so for Linux on x64, and a processor with AVX2",
    hint,
    cause,
  });
}
