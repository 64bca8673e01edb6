/** The import alone, so that tests can take the library away. */
import type * as Library from "onnxruntime-node";

export type { Library };

export function importLibrary(): Promise<typeof Library> {
  return import("onnxruntime-node");
}
