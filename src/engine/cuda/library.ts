/**
 * libspinfer.so through koffi: each function wrapped with its types, since koffi itself would
 * reinterpret what it is handed. Runs in the GPU process only.
 */

import { type Koffi, type NativeFunction, openSharedLibrary } from "../sharedLibrary.ts";
import {
  type Geometry,
  type GpuFacts,
  MASKS,
  MEASURED,
  type Measurement,
  type MeasureRequest,
  STATUS,
  type Synthetic,
  type WeightFacts,
} from "./requests.ts";

/** SPINFER_ABI_VERSION that these declarations are of. */
export const ABI_VERSION = 2;

const DTYPES = { F16: 1, BF16: 2 } as const;
const OVERLAP = 1;

/** A status other than OK, with the library's sentence. */
export class NativeFailure extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

function structs(koffi: Koffi) {
  const geometry = koffi.struct({
    tokens: "int32_t",
    warps: "int32_t",
    stages: "int32_t",
    blocksPerSm: "int32_t",
    cluster: "int32_t",
    roundRobin: "int32_t",
    copies: "int32_t",
  });
  return {
    geometry,
    gpu: koffi.struct({
      name: koffi.array("char", 96),
      uuid: koffi.array("char", 48),
      driver: koffi.array("char", 32),
      memoryBytes: "uint64_t",
      freeMemoryBytes: "uint64_t",
      l2Bytes: "uint64_t",
      major: "int32_t",
      minor: "int32_t",
      sms: "int32_t",
      smClockMhz: "int32_t",
      smClockMaxMhz: "int32_t",
      memoryClockMhz: "int32_t",
      powerLimitW: "int32_t",
      temperatureC: "int32_t",
      runtimeVersion: "int32_t",
      driverVersion: "int32_t",
    }),
    synthetic: koffi.struct({
      rows: "uint32_t",
      cols: "uint32_t",
      seed: "uint64_t",
      sparsity: "double",
      dtype: "uint8_t",
      mask: "uint8_t",
      reserved: "uint16_t",
    }),
    weights: koffi.struct({
      nonzeros: "uint64_t",
      payloadBytes: "uint64_t",
      offsetsBytes: "uint64_t",
      denseBytes: "uint64_t",
      rows: "uint32_t",
      cols: "uint32_t",
      maxChunkBytes: "uint32_t",
      reserved: "uint32_t",
    }),
    measurement: koffi.struct({
      medianUs: "double",
      meanUs: "double",
      deviationUs: "double",
      samplesUs: koffi.array("double", 9, "Array"),
      joules: "double",
      energyUs: "double",
      largestError: "double",
      calls: "int32_t",
      candidates: "int32_t",
      rejected: "int32_t",
      smClockMhz: "int32_t",
      geometry,
    }),
  };
}

/** The library with one measuring session. */
export class Library {
  private readonly koffi: Koffi;
  private readonly types: ReturnType<typeof structs>;
  private readonly functions: Readonly<Record<FunctionName, NativeFunction>>;
  private session: unknown;
  private rows = 0;
  private cols = 0;

  private constructor(
    koffi: Koffi,
    functions: Readonly<Record<FunctionName, NativeFunction>>,
    types: ReturnType<typeof structs>,
  ) {
    this.koffi = koffi;
    this.functions = functions;
    this.types = types;
  }

  /** Throws LibraryFailure when the file cannot be loaded or is of another ABI version. */
  static async load(path: string): Promise<Library> {
    const version = { name: "spinfer_abi_version", expected: ABI_VERSION };
    const { koffi, functions } = await openSharedLibrary(path, DECLARATIONS, version);
    return new Library(koffi, functions, structs(koffi));
  }

  describe(): GpuFacts {
    const out = this.allocate("gpu");
    this.must(this.functions.spinfer_describe_gpu(out));
    const { major, minor, runtimeVersion, driverVersion, ...facts } = this.decode("gpu", out);
    const cuda = (version: number): string =>
      `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
    return {
      ...(facts as unknown as GpuFacts),
      memoryBytes: Number(facts["memoryBytes"]),
      freeMemoryBytes: Number(facts["freeMemoryBytes"]),
      l2Bytes: Number(facts["l2Bytes"]),
      capability: `${major}.${minor}`,
      cuda: cuda(runtimeVersion as number),
      driverCuda: cuda(driverVersion as number),
    };
  }

  geometries(): Geometry[] {
    const list: Geometry[] = [];
    const out = this.allocate("geometry");
    while (this.functions.spinfer_list_geometry(list.length, out) === STATUS.ok) {
      list.push(this.decode("geometry", out) as unknown as Geometry);
    }
    return list;
  }

  draw({ rows, cols, dtype, mask, sparsity, seed }: Synthetic): WeightFacts {
    const request = this.encode("synthetic", {
      rows,
      cols,
      seed,
      sparsity,
      dtype: DTYPES[dtype],
      mask: MASKS.indexOf(mask),
      reserved: 0,
    });
    const out = this.allocate("weights");
    this.must(this.functions.spinfer_session_draw(this.opened(), request, out));
    return this.weightFacts(out);
  }

  load(meta: Uint8Array, payload: Uint8Array): WeightFacts {
    const out = this.allocate("weights");
    this.must(
      this.functions.spinfer_session_load(
        this.opened(),
        meta,
        meta.byteLength,
        payload,
        payload.byteLength,
        out,
      ),
    );
    return this.weightFacts(out);
  }

  multiply(x: Uint16Array, tokens: number, geometry?: Geometry, overlap = false): Uint16Array {
    if (x.length !== tokens * this.cols) {
      throw new NativeFailure(
        STATUS.badArgument,
        `x has ${x.length} values, expected ${tokens} × ${this.cols}`,
      );
    }
    const y = new Uint16Array(tokens * this.rows);
    this.must(
      this.functions.spinfer_session_multiply(
        this.opened(),
        x,
        tokens,
        y,
        this.geometry(geometry),
        overlap ? OVERLAP : 0,
      ),
    );
    return y;
  }

  decodeWeights(): Uint16Array {
    const dense = new Uint16Array(this.rows * this.cols);
    this.must(this.functions.spinfer_session_decode(this.opened(), dense));
    return dense;
  }

  measure({ what, tokens, geometry, overlap, energySeconds }: MeasureRequest): Measurement {
    const out = this.allocate("measurement");
    this.must(
      this.functions.spinfer_session_measure(
        this.opened(),
        MEASURED.indexOf(what),
        tokens,
        this.geometry(geometry),
        overlap === true ? OVERLAP : 0,
        energySeconds ?? 0,
        out,
      ),
    );
    return this.decode("measurement", out) as unknown as Measurement;
  }

  private opened(): unknown {
    if (this.session === undefined) {
      const out = Buffer.alloc(this.koffi.sizeof("void *"));
      this.must(this.functions.spinfer_session_open(out));
      this.session = this.koffi.decode(out, "void *");
    }
    return this.session;
  }

  private weightFacts(bytes: Buffer): WeightFacts {
    const raw = this.decode("weights", bytes);
    const { reserved: _, ...facts } = Object.fromEntries(
      Object.entries(raw).map(([key, value]) => [key, Number(value)]),
    ) as unknown as WeightFacts & { reserved: number };
    this.rows = facts.rows;
    this.cols = facts.cols;
    return facts;
  }

  private geometry(geometry: Geometry | undefined): Buffer | null {
    return geometry === undefined ? null : this.encode("geometry", { ...geometry });
  }

  private must(status: unknown): void {
    if (status === STATUS.ok) return;
    throw new NativeFailure(status as number, String(this.functions.spinfer_last_error()));
  }

  private allocate(type: keyof ReturnType<typeof structs>): Buffer {
    return Buffer.alloc(this.koffi.sizeof(this.types[type]));
  }

  private encode(type: keyof ReturnType<typeof structs>, value: object): Buffer {
    const bytes = this.allocate(type);
    this.koffi.encode(bytes, this.types[type], value);
    return bytes;
  }

  private decode(
    type: keyof ReturnType<typeof structs>,
    bytes: Buffer,
  ): Record<string, string | number | bigint | Geometry | readonly number[]> {
    return this.koffi.decode(bytes, this.types[type]);
  }
}

const DECLARATIONS = {
  spinfer_last_error: "const char *spinfer_last_error()",
  spinfer_describe_gpu: "int32_t spinfer_describe_gpu(void *out)",
  spinfer_list_geometry: "int32_t spinfer_list_geometry(int32_t index, void *out)",
  spinfer_session_open: "int32_t spinfer_session_open(void *out)",
  spinfer_session_draw: "int32_t spinfer_session_draw(void *session, void *request, void *out)",
  spinfer_session_load:
    "int32_t spinfer_session_load(void *session, void *meta, uint64_t meta_bytes, void *payload, uint64_t payload_bytes, void *out)",
  spinfer_session_multiply:
    "int32_t spinfer_session_multiply(void *session, void *x, uint32_t n, void *y, void *geometry, uint32_t flags)",
  spinfer_session_decode: "int32_t spinfer_session_decode(void *session, void *dense)",
  spinfer_session_measure:
    "int32_t spinfer_session_measure(void *session, int32_t what, uint32_t n, void *geometry, uint32_t flags, double energy_seconds, void *out)",
} as const;
type FunctionName = keyof typeof DECLARATIONS;
