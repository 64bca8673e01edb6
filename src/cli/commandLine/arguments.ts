/** What a command line said, checked, by name. */
import { SpInferError } from "../../core/errors.ts";

export type ArgumentValue = string | boolean | readonly string[];

export class Arguments {
  private readonly values: ReadonlyMap<string, ArgumentValue>;

  /** Options under their long names, positionals under theirs. */
  constructor(values: ReadonlyMap<string, ArgumentValue>) {
    this.values = values;
  }

  has(name: string): boolean {
    return this.values.has(name);
  }

  flag(name: string): boolean {
    return this.values.get(name) === true;
  }

  text(name: string): string | undefined {
    const value = this.values.get(name);
    return typeof value === "string" ? value : undefined;
  }

  list(name: string): readonly string[] | undefined {
    const value = this.values.get(name);
    return Array.isArray(value) ? value : undefined;
  }

  /** Of a positional that the command requires. */
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new SpInferError("E_INTERNAL", `${name} has no value`);
    return value;
  }

  /** A whole number within bounds. Throws E_OPTION. */
  count(name: string, least: number, most: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new SpInferError("E_OPTION", `--${name}: ${JSON.stringify(text)} is not accepted`, {
      expected: `a whole number from ${least} to ${most}`,
    });
  }
}
