/** In a file of its own: the peak memory of the process is part of the promise. */
import { expect, it } from "vitest";
import { parseHeader, type SafetensorsHeader } from "../../../formats/safetensors/header.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { processorMs } from "../../helpers/processorTime.ts";

const TENSORS = 1_000_000;

/** Length and header of a file with a million tensors of 8 bytes, written without any garbage. */
function largeHeader(): Uint8Array {
  const file = Buffer.alloc(DEFAULT_LIMITS.headerBytes, " ");
  let at = 8 + file.write("{", 8, "latin1");
  for (let i = 0; i < TENSORS; i++) {
    const name = `model.layers.${i}.q_proj.weight`;
    const offsets = `[${i * 8},${i * 8 + 8}]`;
    const comma = i === 0 ? "" : ",";
    at += file.write(
      `${comma}"${name}":{"dtype":"F16","shape":[2,2],"data_offsets":${offsets}}`,
      at,
      "latin1",
    );
  }
  at += file.write("}", at, "latin1");
  file.writeBigUInt64LE(BigInt(file.length - 8));
  return file;
}

it("ST-27 reads a header of 100 MB with a million tensors in seconds and 12 times its size", () => {
  const whole = largeHeader();
  const before = process.memoryUsage.rss() - whole.length;
  let entries: SafetensorsHeader["entries"] = [];
  const ms = processorMs(() => {
    const fileBytes = whole.length + TENSORS * 8;
    ({ entries } = parseHeader(whole, fileBytes, "x.safetensors", { limits: DEFAULT_LIMITS }));
  });
  const peak = process.resourceUsage().maxRSS * 1024 - before;
  expect(entries).toHaveLength(TENSORS);
  expect(entries.at(-1)).toMatchObject({ begin: whole.length + (TENSORS - 1) * 8 });
  console.info(
    `header of ${whole.length} bytes: ${ms.toFixed(0)} ms of processor time, peak ${(peak / whole.length).toFixed(1)} times its size`,
  );
  expect(peak).toBeLessThan(12 * whole.length);
  expect(ms).toBeLessThan(10_000);
}, 60_000);

it("ST-27 does not slow down with escapes", () => {
  const names = Array.from({ length: 200_000 }, (_, i) => `"\\u0061${i}"`);
  const entries = names.map((name) => `${name}:{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`);
  const header = Buffer.from(`        {${entries.join(",")}}`);
  let first: string | undefined;
  const ms = processorMs(() => {
    const options = { limits: DEFAULT_LIMITS };
    first = parseHeader(header, header.length, "x.safetensors", options).entries[0]?.name;
  });
  expect(first).toBe("a0");
  expect(ms).toBeLessThan(5000);
});
