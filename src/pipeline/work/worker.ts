/** The worker thread: tasks in, results or error records out. */
import { parentPort } from "node:worker_threads";
import { toSpInferError } from "../../core/errors.ts";
import { Workspace } from "./buffers.ts";
import type { Assignment } from "./pool.ts";
import { runTask, transferables } from "./tasks.ts";

parentPort?.on("message", ({ task, buffer }: Assignment) => {
  const workspace = new Workspace(buffer);
  try {
    const result = runTask(task, workspace);
    const moved = transferables(result);
    // what is not in the result goes back by itself
    const idle = workspace.buffer;
    if (idle === undefined || moved.includes(idle)) parentPort?.postMessage({ result }, moved);
    else parentPort?.postMessage({ result, idle }, [...moved, idle]);
  } catch (thrown) {
    const error = toSpInferError(thrown);
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    parentPort?.postMessage({ error: error.toRecord(), stack });
  }
});
