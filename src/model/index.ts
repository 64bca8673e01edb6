export { isQuantizedConfig, tiedEmbeddings } from "./checkpoint.ts";
export { linearShapes } from "./linearShapes.ts";
export {
  blockIndex,
  describeTensor,
  describeTensors,
  type Role,
  type TensorRole,
} from "./roles.ts";
export { checkConfigShapes } from "./shapes.ts";
