import { describe, expect, it } from "vitest";
import { SpInferError } from "../../src/core/errors.ts";
import { checkGates, type Gate, judge, parseGate } from "../../src/eval/gates.ts";

function complaint(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof SpInferError) return `${thrown.code} ${thrown.message}`;
    throw thrown;
  }
  return "accepted";
}

describe("a gate", () => {
  it.each<[string, Omit<Gate, "text">]>([
    ["ppl<=12.3", { metric: "ppl", operator: "<=", bound: 12.3 }],
    ["ppl<=+5%", { metric: "delta", operator: "<=", bound: 0.05 }],
    [" ppl <= +0% ", { metric: "delta", operator: "<=", bound: 0 }],
    ["kl<=0.1", { metric: "kl", operator: "<=", bound: 0.1 }],
    ["agreement>=95%", { metric: "agreement", operator: ">=", bound: 0.95 }],
  ])("%s is read", (text, gate) => {
    expect(parseGate(text)).toEqual({ text: text.trim(), ...gate });
  });

  it.each([
    "",
    "ppl",
    "ppl<12",
    "ppl=12",
    "ppl>=12",
    "ppl<=",
    "ppl<=-5%",
    "ppl<=5%", // of what?
    "ppl<=+5",
    "ppl<=1e3",
    "ppl<=NaN",
    "ppl<=.5",
    "ppl<=12.3.4",
    "PPL<=12",
    "kl<=+1",
    "kl<=1%",
    "kl>=1",
    "agreement>=0.95",
    "agreement<=95%",
    "agreement>=101%",
    "loss<=2",
    "ppl<=12 kl<=1",
  ])("%j is refused", (text) => {
    expect(complaint(() => parseGate(text))).toBe(
      `E_OPTION --gate: ${JSON.stringify(text)} is not accepted`,
    );
  });

  it("needs what it is about to be measured", () => {
    const [ppl, delta, kl] = ["ppl<=12", "ppl<=+5%", "kl<=1"].map(parseGate) as [Gate, Gate, Gate];
    expect(() => checkGates([ppl, delta, kl], "model")).not.toThrow();
    expect(() => checkGates([ppl, delta], "report")).not.toThrow();
    expect(complaint(() => checkGates([ppl, kl], "report"))).toBe(
      'E_USAGE --gate "kl<=1" needs --base',
    );
    expect(complaint(() => checkGates([ppl, delta], "nothing"))).toBe(
      'E_USAGE --gate "ppl<=+5%" needs --base or --compare',
    );
  });

  it("is passed at its bound and missed beyond", () => {
    const gates = ["ppl<=12", "ppl<=+5%", "agreement>=95%"].map(parseGate);
    const passed = (figures: object) => judge(gates, figures).map((result) => result.passed);
    expect(passed({ ppl: 12, delta: 0.05, agreement: 0.95 })).toEqual([true, true, true]);
    expect(passed({ ppl: 12.001, delta: 0.0501, agreement: 0.9499 })).toEqual([
      false,
      false,
      false,
    ]);
    expect(passed({ ppl: Number.NaN, delta: -1, agreement: 1 })).toEqual([false, true, true]);
  });
});
