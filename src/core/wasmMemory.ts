/** One WebAssembly instance and its memory, used as a scratch arena: nothing lives across calls. */

const PAGE = 65_536;

type WasmFunction = (...args: number[]) => number;

/** The part of WebAssembly used here; the Node 20 type package does not declare it. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
}

interface ModuleExports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  readonly __heap_base: { readonly value: number };
  readonly [name: string]: unknown;
}

export interface WasmArena {
  /** Calls an exported function; results are unsigned. */
  call(name: string, ...args: number[]): number;
  /** Makes room for `bytes` and returns where they begin: a multiple of 16. */
  reserve(bytes: number): number;
  /** Views of the memory; valid until the next `reserve`. */
  bytes(begin: number, length: number): Uint8Array;
  halves(begin: number, length: number): Uint16Array;
  words(begin: number, length: number): Uint32Array;
  doubles(begin: number, length: number): Float64Array;
}

/** Compiles and instantiates a module of ours. Throws what WebAssembly throws when it cannot. */
export function createArena(module: Uint8Array): WasmArena {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module), {});
  const exports = instance.exports as ModuleExports;
  const { memory } = exports;
  const base = Math.ceil(exports.__heap_base.value / 16) * 16;
  return {
    call: (name, ...args) => ((exports[name] as WasmFunction)(...args) ?? 0) >>> 0,
    reserve(bytes) {
      const missing = base + bytes - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
      return base;
    },
    bytes: (begin, length) => new Uint8Array(memory.buffer, begin, length),
    halves: (begin, length) => new Uint16Array(memory.buffer, begin, length),
    words: (begin, length) => new Uint32Array(memory.buffer, begin, length),
    doubles: (begin, length) => new Float64Array(memory.buffer, begin, length),
  };
}
