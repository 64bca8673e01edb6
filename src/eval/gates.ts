/** Quality gates: what a result must be for the command to succeed. */
import { SpInferError } from "../core/errors.ts";

/** What a gate is about; each a number of the report. */
export type GateMetric = "ppl" | "delta" | "kl" | "agreement";

export interface Gate {
  /** As the user wrote it. */
  readonly text: string;
  readonly metric: GateMetric;
  readonly operator: "<=" | ">=";
  /** Percentages as fractions. */
  readonly bound: number;
}

export interface GateResult {
  readonly gate: Gate;
  readonly value: number;
  readonly passed: boolean;
}

const EXAMPLES = '"ppl<=12.3", "ppl<=+5%", "kl<=0.1" or "agreement>=95%"';
const FORM = /^(ppl|kl|agreement)\s*(<=|>=)\s*(\+?)(\d+(?:\.\d+)?)(%?)$/;
const OPERATORS: Readonly<Record<GateMetric, Gate["operator"]>> = {
  ppl: "<=",
  delta: "<=",
  kl: "<=",
  agreement: ">=",
};

/**
 * ppl<=12.3       perplexity at most that
 * ppl<=+5%        at most 5 % above the base's
 * kl<=0.1         mean KL divergence from the base, in nats
 * agreement>=95%  share of tokens with the same most likely next token as the base
 *
 * Throws E_OPTION.
 */
export function parseGate(text: string): Gate {
  const match = FORM.exec(text.trim());
  const [, word = "", operator = "", plus = "", digits = "", percent = ""] = match ?? [];
  const relative = plus !== "" && percent !== "";
  const metric = (word === "ppl" && relative ? "delta" : word) as GateMetric;
  const number = Number(digits);
  if (match === null || operator !== OPERATORS[metric]) throw notAccepted(text);
  // a percentage is of something: "+5%" of the base's perplexity, "95%" of the tokens
  const wantsPercent = metric === "delta" || metric === "agreement";
  if ((percent !== "") !== wantsPercent || (plus !== "") !== (metric === "delta")) {
    throw notAccepted(text);
  }
  if (metric === "agreement" && number > 100) throw notAccepted(text);
  return {
    text: text.trim(),
    metric,
    operator: OPERATORS[metric],
    bound: percent === "" ? number : number / 100,
  };
}

function notAccepted(text: string): SpInferError {
  return new SpInferError("E_OPTION", `--gate: ${JSON.stringify(text)} is not accepted`, {
    expected: EXAMPLES,
  });
}

/** Throws E_USAGE for a gate whose figure is not measured: it needs a base that was run. */
export function checkGates(gates: readonly Gate[], against: "nothing" | "report" | "model"): void {
  for (const { text, metric } of gates) {
    if (metric === "ppl" || against === "model") continue;
    if (metric === "delta" && against === "report") continue;
    const needed = metric === "delta" ? "--base or --compare" : "--base";
    throw new SpInferError("E_USAGE", `--gate ${JSON.stringify(text)} needs ${needed}`, {
      hint: "name the dense model with --base",
    });
  }
}

export function judge(
  gates: readonly Gate[],
  figures: Readonly<Partial<Record<GateMetric, number>>>,
): GateResult[] {
  return gates.map((gate) => {
    const value = figures[gate.metric];
    if (value === undefined) throw new SpInferError("E_INTERNAL", `${gate.text} was not measured`);
    const passed = gate.operator === "<=" ? value <= gate.bound : value >= gate.bound;
    return { gate, value, passed };
  });
}
