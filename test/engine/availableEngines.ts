/** Which instruction sets of the native engine this machine has; where one is demanded, that it is there. */

import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { INSTRUCTION_SETS, type InstructionSet } from "../../src/engine/engine.ts";
import type { CpuContext } from "../../src/engine/native/context.ts";
import { openCpu } from "../../src/engine/native/library.ts";
import { isDemanded } from "../helpers/demanded.ts";

const hasCompiler = spawnSync("g++", ["--version"]).status === 0;

async function works(instructions: InstructionSet): Promise<boolean> {
  try {
    await (await openWith(instructions)).close();
    return true;
  } catch {
    return false;
  }
}

export function openWith(instructions: InstructionSet, threads = 1): Promise<CpuContext> {
  return openCpu(threads, { ...process.env, SPINFER_CPU_INSTRUCTIONS: instructions });
}

const found = await Promise.all(INSTRUCTION_SETS.map(works));
export const AVAILABLE_SETS = INSTRUCTION_SETS.filter((_, index) => found[index]);

/** The engines that this machine has. */
export const AVAILABLE_ENGINES = [
  ...(AVAILABLE_SETS.length === 0 ? [] : (["native"] as const)),
  "onnxruntime",
  "typescript",
] as const;

if (AVAILABLE_SETS.length === 0) {
  process.stderr.write(
    "skipped: the native engine: its library is not built, or not for this processor\n",
  );
}
if (isDemanded("g++")) {
  it("has the native engine, whose compiler SPINFER_REQUIRE demands", () => {
    expect(hasCompiler, "g++ is not there").toBe(true);
    expect(AVAILABLE_SETS, "libspinfer_cpu.so does not load").not.toEqual([]);
  });
}
