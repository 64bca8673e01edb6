/** Tensor files are little-endian, and values are read through typed arrays of the host's order. */
import os from "node:os";
import { SpInferError } from "./errors.ts";

/** Throws E_HOST_ENDIAN on a big-endian machine. */
export function requireLittleEndian(): void {
  if (os.endianness() === "LE") return;
  throw new SpInferError(
    "E_HOST_ENDIAN",
    "this machine is big-endian; model files are little-endian and would be read wrongly",
    { found: "big-endian", expected: "little-endian" },
  );
}
