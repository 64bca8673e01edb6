/** The thread of ./tokenise.ts: opens the tokenizer, tokenises one text, answers once. */
import { parentPort, workerData } from "node:worker_threads";
import { toSpInferError } from "../core/errors.ts";
import type { TokeniserAnswer, TokeniserWork } from "./tokenise.ts";
import { openTokenizer } from "./tokenizer.ts";

const { source, text, most } = workerData as TokeniserWork;
try {
  const ids = openTokenizer(source).encode(text, most);
  const answer: TokeniserAnswer = { ids };
  parentPort?.postMessage(answer, [ids.buffer as ArrayBuffer]);
} catch (thrown) {
  const answer: TokeniserAnswer = { error: toSpInferError(thrown).toRecord() };
  parentPort?.postMessage(answer);
}
