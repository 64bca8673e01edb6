/** The dequantiser of each tensor type. */
import type { TensorType } from "../types.ts";
import type { Dequantize } from "./blocks.ts";
import {
  dequantizeQ4_0,
  dequantizeQ4_1,
  dequantizeQ5_0,
  dequantizeQ5_1,
  dequantizeQ8_0,
} from "./blocks32.ts";
import { dequantizeQ4_K, dequantizeQ5_K, dequantizeQ6_K } from "./blocks256.ts";
import { dequantizeBf16, dequantizeF16, dequantizeF32 } from "./plain.ts";

export const DEQUANTIZERS: { readonly [Type in TensorType]: Dequantize } = {
  F32: dequantizeF32,
  F16: dequantizeF16,
  BF16: dequantizeBf16,
  Q8_0: dequantizeQ8_0,
  Q4_0: dequantizeQ4_0,
  Q4_1: dequantizeQ4_1,
  Q5_0: dequantizeQ5_0,
  Q5_1: dequantizeQ5_1,
  Q4_K: dequantizeQ4_K,
  Q5_K: dequantizeQ5_K,
  Q6_K: dequantizeQ6_K,
};
