export { isQuantizedConfig, tiedEmbeddings } from "./checkpoint.ts";
export { type LinearShape, linearShapes } from "./linearShapes.ts";
export {
  blockIndex,
  describeTensor,
  describeTensors,
  type Role,
  type TensorRole,
} from "./roles.ts";
export { checkConfigShapes } from "./shapes.ts";
