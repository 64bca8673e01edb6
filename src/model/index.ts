export { isQuantizedConfig, type TiedEmbeddings, tiedEmbeddings } from "./checkpoint.ts";
export {
  blockIndex,
  describeTensor,
  describeTensors,
  type Orientation,
  ROLES,
  type Role,
  type TensorRole,
} from "./roles.ts";
export { checkConfigShapes } from "./shapes.ts";
