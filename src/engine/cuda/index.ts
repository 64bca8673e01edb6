export { GpuProcess, type GpuProcessOptions } from "./gpuProcess.ts";
export {
  type Geometry,
  type GpuFacts,
  type HalfName,
  MASKS,
  type MaskKind,
  type Measured,
  type Measurement,
  type Packed,
  type Synthetic,
  type WeightFacts,
} from "./requests.ts";
