import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  bf16ToFloat,
  castFloats,
  floatBitsToBf16,
  floatBitsToFp16,
  fp16ToFloat,
  widenHalves,
} from "../../src/core/half.ts";
import { createWasmWiden } from "../../src/core/wasmHalf.ts";
import { describePython, runPython } from "../helpers/python.ts";
import { createRandom } from "../helpers/random.ts";

const ALL = 65_536;
const allHalves = Uint16Array.from({ length: ALL }, (_, bits) => bits);

describe("widening", () => {
  it("gives every fp16 value by the formula of IEEE 754", () => {
    for (let bits = 0; bits < ALL; bits++) {
      const value = fp16ToFloat(bits);
      const expected = definedValue(bits, 5, 10);
      if (!Object.is(value, expected)) throw new Error(`${bits}: ${value}, expected ${expected}`);
    }
  });

  it("gives every bf16 value by the formula of IEEE 754", () => {
    for (let bits = 0; bits < ALL; bits++) {
      const value = bf16ToFloat(bits);
      const expected = definedValue(bits, 8, 7);
      if (!Object.is(value, expected)) throw new Error(`${bits}: ${value}, expected ${expected}`);
    }
  });

  it.each(["F16", "BF16"] as const)("brings all 65,536 bit patterns of %s back", (dtype) => {
    const wide = new Float32Array(ALL);
    widenHalves(allHalves, dtype, wide);
    const back = new Uint16Array(ALL);
    expect(castFloats(wide, dtype, back)).toEqual({ overflowed: 0, underflowed: 0 });
    for (let bits = 0; bits < ALL; bits++) {
      const isNan = Number.isNaN(wide[bits]);
      // a signalling NaN becomes a quiet one, with the rest of its payload
      const expected = isNan ? bits | (dtype === "F16" ? 0x200 : 0x40) : bits;
      if (back[bits] !== expected) throw new Error(`${bits} came back as ${back[bits]}`);
    }
  });
});

describe("widening with WebAssembly", () => {
  const module = new URL("../../src/core/wasm/half.wasm", import.meta.url);
  const widen = createWasmWiden(readFileSync(module));
  const bitsOfAll = (values: Float32Array) => new Uint32Array(values.buffer);

  it.each(["F16", "BF16"] as const)("gives the bits of its twin for all of %s", (dtype) => {
    const [plain, fast] = [new Float32Array(ALL), new Float32Array(ALL)];
    widenHalves(allHalves, dtype, plain);
    widen(allHalves, dtype, fast);
    expect(Buffer.from(fast.buffer).equals(Buffer.from(plain.buffer))).toBe(true);
    expect(bitsOfAll(fast)[dtype === "F16" ? 0x3c00 : 0x3f80]).toBe(0x3f80_0000); // 1
  });

  it.each([0, 1, 7, 8, 9, 16_383, 16_384, 16_385, 40_001])("writes %i values, no more", (count) => {
    const target = new Float32Array(count + 4).fill(7);
    widen(allHalves.subarray(3, 3 + count), "F16", target.subarray(2, 2 + count));
    const plain = new Float32Array(count + 4).fill(7);
    widenHalves(allHalves.subarray(3, 3 + count), "F16", plain.subarray(2, 2 + count));
    expect(bitsOfAll(target)).toEqual(bitsOfAll(plain));
  });
});

describe("rounding", () => {
  it.each([
    ["F16", floatBitsToFp16, 5, 10],
    ["BF16", floatBitsToBf16, 8, 7],
  ] as const)(
    "is exact around every value and midpoint of %s",
    (_, cast, exponentBits, fractionBits) => {
      const largest = (((1 << exponentBits) - 1) << fractionBits) - 1;
      for (let low = 0; low < largest; low++) {
        const middle =
          (definedValue(low, exponentBits, fractionBits) +
            definedValue(low + 1, exponentBits, fractionBits)) /
          2;
        const bits = bitsOf(middle);
        if (floatOf(bits) !== middle) throw new Error("the midpoint is no binary32");
        const even = low % 2 === 0 ? low : low + 1;
        const got = [cast(bits), cast(bits - 1), cast(bits + 1), cast(bits + 0x8000_0000)];
        expectSame(got, [even, low, low + 1, even | 0x8000], low);
      }
    },
  );

  it("keeps infinities, and NaNs NaN", () => {
    const random = createRandom(1);
    for (const cast of [floatBitsToFp16, floatBitsToBf16]) {
      const infinity = cast === floatBitsToFp16 ? 0x7c00 : 0x7f80;
      expect(cast(0x7f80_0000)).toBe(infinity);
      expect(cast(0xff80_0000)).toBe(infinity | 0x8000);
      for (let i = 0; i < 10_000; i++) {
        const nan = (0x7f80_0000 | Math.max(1, random.bits() & 0x7f_ffff)) >>> 0;
        expect(cast(nan) & 0x7fff).toBeGreaterThan(infinity);
      }
    }
  });

  it("counts what overflows and what underflows", () => {
    const values = Float32Array.of(0, -0, 1e-9, -1e-9, 1, 65_519, 65_520, -1e9, Infinity, NaN);
    const target = new Uint16Array(values.length);
    expect(castFloats(values, "F16", target)).toEqual({ overflowed: 2, underflowed: 2 });
    expect([...target].map(fp16ToFloat)).toEqual([
      0,
      -0,
      0,
      -0,
      1,
      65_504,
      Infinity,
      -Infinity,
      Infinity,
      NaN,
    ]);
    const large = Float32Array.of(3.4e38, 1e-45, 1);
    expect(castFloats(large, "BF16", new Uint16Array(3))).toEqual({
      overflowed: 1,
      underflowed: 1,
    });
  });
});

describePython("16-bit floats beside NumPy and PyTorch", () => {
  it("widens all 65,536 fp16 patterns as NumPy does", () => {
    const expected = runPython(
      `import numpy as np, sys
sys.stdout.buffer.write(np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32).tobytes())`,
    );
    const wide = new Float32Array(ALL);
    widenHalves(allHalves, "F16", wide);
    expectSameFloats(wide, expected);
  });

  it("widens all 65,536 bf16 patterns as PyTorch does", () => {
    const expected = runPython(
      `import sys, torch
bits = torch.arange(65536, dtype=torch.int32).to(torch.uint16)
sys.stdout.buffer.write(bits.view(torch.bfloat16).float().numpy().tobytes())`,
    );
    const wide = new Float32Array(ALL);
    widenHalves(allHalves, "BF16", wide);
    expectSameFloats(wide, expected);
  });

  it("rounds a million random binary32 bit patterns as they do", () => {
    const random = createRandom(2);
    const bits = Uint32Array.from({ length: 1_000_000 }, (_, index) =>
      // every other one in the range of fp16, where rounding is busy
      index % 2 === 0
        ? random.bits()
        : (((random.bits() & 0x8fff_ffff) | 0x3000_0000) + random.int(2 ** 28)) >>> 0,
    );
    const output = runPython(
      `import numpy as np, sys, torch
np.seterr(all="ignore")
values = np.frombuffer(sys.stdin.buffer.read(), dtype=np.float32)
sys.stdout.buffer.write(values.astype(np.float16).tobytes())
sys.stdout.buffer.write(torch.from_numpy(values.copy()).bfloat16().view(torch.int16).numpy().tobytes())`,
      [],
      { input: new Uint8Array(bits.buffer) },
    );
    const expected = new Uint16Array(
      output.buffer.slice(output.byteOffset, output.byteOffset + output.length),
    );
    const target = new Uint16Array(bits.length);
    const values = new Float32Array(bits.buffer);
    for (const [dtype, begin] of [
      ["F16", 0],
      ["BF16", bits.length],
    ] as const) {
      castFloats(values, dtype, target);
      const infinity = dtype === "F16" ? 0x7c00 : 0x7f80;
      for (let i = 0; i < target.length; i++) {
        const [got = 0, want = 0] = [target[i], expected[begin + i]];
        // NaN payloads are each library's own
        const bothNan = (got & 0x7fff) > infinity && (want & 0x7fff) > infinity;
        if (got !== want && !bothNan) {
          throw new Error(`${dtype}: ${bits[i]!.toString(16)} became ${got}, expected ${want}`);
        }
      }
    }
  });
});

/** The value of a small binary float by its definition. */
function definedValue(bits: number, exponentBits: number, fractionBits: number): number {
  const sign = bits >>> 15 === 1 ? -1 : 1;
  const exponent = (bits >>> fractionBits) & ((1 << exponentBits) - 1);
  const fraction = (bits & ((1 << fractionBits) - 1)) / 2 ** fractionBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias);
  return sign * (1 + fraction) * 2 ** (exponent - bias);
}

function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

function floatOf(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0]!;
}

function expectSame(got: readonly number[], expected: readonly number[], at: number): void {
  if (got.some((value, index) => value !== expected[index])) {
    throw new Error(`around ${at}: ${got.join(", ")}, expected ${expected.join(", ")}`);
  }
}

function expectSameFloats(got: Float32Array, bytes: Buffer): void {
  const expected = new Uint32Array(
    bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
  );
  const bits = new Uint32Array(got.buffer);
  expect(expected).toHaveLength(got.length);
  for (let i = 0; i < bits.length; i++) {
    const bothNan = Number.isNaN(got[i]) && Number.isNaN(floatOf(expected[i]!));
    if (bits[i] !== expected[i] && !bothNan)
      throw new Error(`${i}: ${bits[i]}, expected ${expected[i]}`);
  }
}
