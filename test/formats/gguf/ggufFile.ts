/** Writes GGUF files for tests, right ones and wrong ones: every count and offset can be forged. */
import { TENSOR_TYPES, type TensorType, VALUE_TYPES } from "../../../formats/gguf/types.ts";

/** A value with the name of its type; arrays say the type of their items. */
export type TestValue =
  | { readonly type: string; readonly value: number | bigint | boolean | string }
  | ArrayValue;

export interface ArrayValue {
  readonly type: "array";
  readonly of: string;
  readonly items: readonly (number | bigint | boolean | string | ArrayValue)[];
  /** Another count than there are items. */
  readonly count?: number | bigint;
}

export interface TestTensor {
  readonly name: string;
  readonly dims: readonly (number | bigint)[];
  /** Name of a type, or a number that none has. */
  readonly type: TensorType | number;
  /** Bytes of its data; zeros when absent. */
  readonly data?: Uint8Array;
  /** Other than the right one. */
  readonly offset?: number | bigint;
}

export interface TestFile {
  readonly magic?: string;
  readonly version?: number;
  readonly tensorCount?: number | bigint;
  readonly keyCount?: number | bigint;
  readonly keys?: readonly (readonly [key: string | Uint8Array, value: TestValue])[];
  readonly tensors?: readonly TestTensor[];
  readonly alignment?: number;
  /** No data section at all. */
  readonly headerOnly?: boolean;
}

const scratch = new Uint8Array(4 * 1024 * 1024);
const view = new DataView(scratch.buffer);
const encoder = new TextEncoder();

/** The bytes of a file, in fresh memory. */
export function ggufFile(file: TestFile): Uint8Array {
  const { keys = [], tensors = [], alignment = 32 } = file;
  const out = new Writer();
  out.text(file.magic ?? "GGUF");
  out.u32(file.version ?? 3);
  out.u64(file.tensorCount ?? tensors.length);
  out.u64(file.keyCount ?? keys.length);
  for (const [key, value] of keys) {
    out.string(key);
    out.typed(value);
  }
  let offset = 0;
  for (const { name, dims, type, offset: forged } of tensors) {
    out.string(name);
    out.u32(dims.length);
    for (const size of dims) out.u64(size);
    out.u32(typeof type === "number" ? type : TENSOR_TYPES[type].id);
    out.u64(forged ?? offset);
    offset += pad(tensorBytes(dims, type), alignment);
  }
  if (file.headerOnly || tensors.length === 0) return out.bytes();
  out.zeros(pad(out.length, alignment) - out.length);
  for (const { dims, type, data } of tensors) {
    const bytes = tensorBytes(dims, type);
    if (data === undefined) out.zeros(bytes);
    else out.raw(data);
    out.zeros(pad(bytes, alignment) - bytes);
  }
  return out.bytes();
}

/** Bytes of a tensor's data; 0 for what no file can hold. */
export function tensorBytes(dims: readonly (number | bigint)[], type: TensorType | number): number {
  if (typeof type === "number") return 0;
  const { blockWeights, blockBytes } = TENSOR_TYPES[type];
  const weights = dims.reduce((product: number, size) => product * Number(size), 1);
  const bytes = (weights / blockWeights) * blockBytes;
  return Number.isInteger(bytes) && bytes < 1024 * 1024 ? bytes : 0;
}

const pad = (bytes: number, alignment: number) => Math.ceil(bytes / alignment) * alignment;

class Writer {
  length = 0;

  u32(value: number): void {
    view.setUint32(this.length, value, true);
    this.length += 4;
  }

  u64(value: number | bigint): void {
    view.setBigUint64(this.length, BigInt.asUintN(64, BigInt(value)), true);
    this.length += 8;
  }

  text(value: string): void {
    this.length += encoder.encodeInto(value, scratch.subarray(this.length)).written;
  }

  string(value: string | Uint8Array): void {
    const begin = this.length;
    this.length += 8;
    if (typeof value === "string") this.text(value);
    else this.raw(value);
    view.setBigUint64(begin, BigInt(this.length - begin - 8), true);
  }

  raw(bytes: Uint8Array): void {
    scratch.set(bytes, this.length);
    this.length += bytes.length;
  }

  zeros(count: number): void {
    scratch.fill(0, this.length, this.length + count);
    this.length += count;
  }

  typed(value: TestValue): void {
    this.u32(typeId(value.type));
    this.untyped(value);
  }

  untyped(value: TestValue): void {
    if ("items" in value) {
      this.u32(typeId(value.of));
      this.u64(value.count ?? value.items.length);
      for (const item of value.items) {
        this.untyped(typeof item === "object" ? item : { type: value.of, value: item });
      }
    } else {
      this.scalar(value.type, value.value);
    }
  }

  scalar(type: string, value: number | bigint | boolean | string): void {
    const at = this.length;
    switch (type) {
      case "string":
        this.string(String(value));
        break;
      case "f32":
        view.setFloat32(at, Number(value), true);
        this.length += 4;
        break;
      case "f64":
        view.setFloat64(at, Number(value), true);
        this.length += 8;
        break;
      default: {
        const bytes = INTEGER_BYTES[type] ?? 4;
        view.setBigInt64(at, BigInt.asIntN(64, BigInt(value)), true);
        this.length += bytes;
      }
    }
  }

  bytes(): Uint8Array {
    return scratch.slice(0, this.length);
  }
}

const INTEGER_BYTES: Readonly<Record<string, number>> = {
  u8: 1,
  i8: 1,
  bool: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  u64: 8,
  i64: 8,
};

/** The number of a type; one that no type has for an unknown name. */
function typeId(name: string): number {
  const id = (VALUE_TYPES as readonly string[]).indexOf(name);
  return id === -1 ? 99 : id;
}
