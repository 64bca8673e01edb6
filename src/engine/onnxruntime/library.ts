/** The optional library, loaded when it is first needed. */
import type * as Library from "onnxruntime-node";
import { SpInferError } from "../../core/errors.ts";

export type { Library };

/** What to run to get it. Its own install script would fetch a GPU library that nobody needs here. */
const INSTALL = "ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node@1.30.0";

/** Throws E_ENGINE_MISSING with the reason when it is not installed or cannot be loaded. */
export async function loadLibrary(): Promise<typeof Library> {
  try {
    return await import("onnxruntime-node");
  } catch (thrown) {
    const text = thrown instanceof Error ? thrown.message : String(thrown);
    const missing = (thrown as { code?: unknown }).code === "ERR_MODULE_NOT_FOUND";
    const reason = missing ? "it is not installed" : text.split("\n")[0]!;
    throw new SpInferError("E_ENGINE_MISSING", `onnxruntime-node cannot be loaded: ${reason}`, {
      found: `${process.platform} ${process.arch}`,
      hint: INSTALL,
      cause: thrown,
    });
  }
}
