/** The worker thread: tasks in, results or error records out. */
import { parentPort } from "node:worker_threads";
import { toSpInferError } from "../../core/errors.ts";
import { runTask, type Task, transferables } from "./tasks.ts";

parentPort?.on("message", (task: Task) => {
  try {
    const result = runTask(task);
    parentPort?.postMessage({ result }, transferables(result));
  } catch (thrown) {
    const error = toSpInferError(thrown);
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    parentPort?.postMessage({ error: error.toRecord(), stack });
  }
});
