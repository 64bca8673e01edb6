/** doctor: what SpInfer finds on this machine, and with --selftest whether it works. */
import { examine, type SelftestStep, selftest } from "../../pipeline/doctor.ts";
import type { Invocation } from "../invocation.ts";
import type { Outcome } from "../outcome.ts";
import { doctorDocument, doctorResult, doctorTable } from "../views/doctor.ts";

export async function doctor(invocation: Invocation): Promise<Outcome> {
  const { arguments: given, work, onEvent, signal, env } = invocation;
  const facts = await examine(env);
  let steps: readonly SelftestStep[] | undefined;
  if (given.flag("selftest")) {
    steps = await selftest({
      threads: work.threads,
      gpu: facts.cuda.gpu !== null,
      onEvent,
      signal,
    });
  }
  return {
    result: doctorResult(facts, steps),
    document: () => doctorDocument(facts, steps),
    table: () => doctorTable(facts, steps),
    quiet: "ok",
  };
}
