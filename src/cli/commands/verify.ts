/** verify: is a checkpoint what it should be? What it finds is its result. */
import { SpInferError } from "../../core/errors.ts";
import { requireFolder } from "../../io/smallFile.ts";
import { type VerifyLevel, verifyCheckpoint } from "../../pipeline/verify.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { failureOf, verifyDocument, verifyResult, verifyTable } from "../views/verify.ts";

export async function verify(invocation: Invocation): Promise<Outcome> {
  const { arguments: given, work, signal, onEvent } = invocation;
  const checkpoint = given.required("checkpoint");
  const level = (given.text("level") ?? "hash") as VerifyLevel;
  const against = given.text("against");
  requireFolder(checkpoint, "a folder that SpInfer wrote");
  if (against !== undefined && level !== "full") {
    throw new SpInferError("E_USAGE", `--against is not used at level ${level}`, {
      hint: "add --level full",
    });
  }
  const report = await verifyCheckpoint(checkpoint, {
    ...work,
    level,
    against,
    statistics: given.text("stats"),
    failFast: given.flag("fail-fast"),
    keepUnknown: true, // a tensor that the writer carried over is no finding
    onEvent,
    signal,
  });
  const failure = failureOf(report);
  return {
    result: verifyResult(report),
    document: () => verifyDocument(report),
    table: () => verifyTable(report),
    ...(failure === undefined ? {} : { failure }),
  };
}
