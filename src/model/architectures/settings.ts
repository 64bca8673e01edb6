/** config.json of one model, read key by key; every rejection names the key. */
import type { ModelConfig } from "../../core/archive.ts";
import { SpInferError } from "../../core/errors.ts";
import { isCount, isRecord } from "../../core/guards.ts";
import { printable } from "../../core/text.ts";
import type { Activation } from "./ops.ts";

const ACTIVATIONS: ReadonlyMap<string, Activation> = new Map([
  ["silu", "silu"],
  ["swish", "silu"],
  ["gelu", "gelu"],
  ["gelu_new", "gelu-tanh"],
  ["gelu_fast", "gelu-tanh"],
  ["gelu_pytorch_tanh", "gelu-tanh"],
  ["relu", "relu"],
]);

/** Of the key, and where it is nested: "rope_scaling.factor". */
type Where = string;

export class Settings {
  private readonly values: ModelConfig;
  private readonly where: Where;

  constructor(values: ModelConfig, where: Where = "") {
    this.values = values;
    this.where = where;
  }

  /** Settings that are nested in these. */
  part(key: string, values: ModelConfig): Settings {
    return new Settings(values, `${this.where}${key}.`);
  }

  /** The value of a key; null is how Python writes that there is none. */
  value(key: string): unknown {
    return this.values[key] ?? undefined;
  }

  /** Whether the key is there, be it null. */
  states(key: string): boolean {
    return Object.hasOwn(this.values, key);
  }

  record(key: string): Record<string, unknown> | undefined {
    const value = this.value(key);
    if (value === undefined || isRecord(value)) return value as Record<string, unknown> | undefined;
    throw this.wrong(key, show(value), "an object");
  }

  text(key: string): string | undefined {
    const value = this.value(key);
    if (value === undefined || typeof value === "string") return value;
    throw this.wrong(key, show(value), "a text");
  }

  number(key: string): number | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw this.wrong(key, show(value), "a number");
  }

  /** A number above 0. */
  positive(key: string, fallback?: number): number {
    const value = this.number(key) ?? fallback;
    if (value === undefined) throw this.wrong(key, "nothing", "a number above 0");
    if (value > 0) return value;
    throw this.wrong(key, show(value), "a number above 0");
  }

  /** A whole number above 0, by the first of its names that is there. */
  count(keys: string | readonly string[], fallback?: number): number {
    const names = typeof keys === "string" ? [keys] : keys;
    const key = names.find((name) => this.value(name) !== undefined) ?? names[0]!;
    const value = this.value(key) ?? fallback;
    if (isCount(value) && value > 0) return value;
    throw this.wrong(key, show(value), "a whole number above 0");
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.value(key) ?? fallback;
    if (typeof value === "boolean") return value;
    throw this.wrong(key, show(value), "true or false");
  }

  /** A list of `length` numbers above 0. */
  numbers(key: string, length: number): readonly number[] {
    const value = this.value(key);
    const isList =
      Array.isArray(value) &&
      value.length === length &&
      value.every((item) => typeof item === "number" && item > 0 && Number.isFinite(item));
    if (isList) return value;
    throw this.wrong(key, show(value), `a list of ${length} numbers above 0`);
  }

  /** `value`, which must be one of those that are implemented. */
  oneOf<Choice extends string>(key: string, value: string, choices: readonly Choice[]): Choice {
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    throw this.unsupported(key, `"${printable(value, 60)}"`, choices.join(", "));
  }

  activation(key: string, fallback: string): Activation {
    const name = this.text(key) ?? fallback;
    const found = ACTIVATIONS.get(name);
    if (found !== undefined) return found;
    throw this.unsupported(key, `"${printable(name, 60)}"`, [...ACTIVATIONS.keys()].join(", "));
  }

  /** The error for a flag that changes what the model computes in a way that is not implemented. */
  refuse(key: string): void {
    if (this.flag(key, false)) throw this.unsupported(key, "true", "false");
  }

  unsupported(key: string, found: string, expected: string): SpInferError {
    const name = `${this.where}${key}`;
    return new SpInferError("E_ARCH_OPTION", `config.json: ${name} ${found} is not implemented`, {
      found: `${name} ${found}`,
      expected,
      hint: "this model can be pruned without calibration, but not run; report it with its config.json",
    });
  }

  wrong(key: string, found: string, expected: string): SpInferError {
    const name = `${this.where}${key}`;
    return new SpInferError("E_CONFIG", `config.json: ${name} is ${found}, expected ${expected}`, {
      found,
      expected,
      hint: "take the config.json that belongs to these weights",
    });
  }
}

function show(value: unknown): string {
  return value === undefined ? "missing" : printable(JSON.stringify(value), 60);
}
