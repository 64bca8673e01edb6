/** Option values that are lists in one word: "1,8,16", "0.5,0.6", "4096x4096,11008x4096". */
import { SpInferError } from "../../core/errors.ts";
import type { Arguments } from "./arguments.ts";

export function words(given: Arguments, name: string): readonly string[] | undefined {
  const text = given.text(name);
  return text === undefined ? undefined : text.split(",").map((word) => word.trim());
}

/** Throws E_OPTION for what is no number within the bounds, and for one that is there twice. */
export function numbers(
  given: Arguments,
  name: string,
  { least, most, whole }: { least: number; most: number; whole: boolean },
): readonly number[] | undefined {
  const list = words(given, name);
  if (list === undefined) return undefined;
  const form = whole ? /^\d{1,9}$/ : /^\d{0,3}\.?\d{1,6}$/;
  const values = list.map((word) => {
    const value = Number(word);
    if (form.test(word) && value >= least && value <= most) return value;
    throw new SpInferError("E_OPTION", `--${name}: ${JSON.stringify(word)} is not accepted`, {
      expected: `${whole ? "whole numbers" : "numbers"} from ${least} to ${most}, separated by commas`,
    });
  });
  const [repeated] = values.filter((value, index) => values.indexOf(value) !== index);
  if (repeated === undefined) return values;
  throw new SpInferError("E_OPTION", `--${name}: ${repeated} is there twice`);
}

/** One number. Throws E_OPTION as `numbers` does, and for more than one. */
export function number(
  given: Arguments,
  name: string,
  bounds: { least: number; most: number; whole: boolean },
): number | undefined {
  const list = numbers(given, name, bounds);
  if (list === undefined || list.length === 1) return list?.[0];
  throw new SpInferError("E_OPTION", `--${name}: one number is expected, not ${list.length}`);
}

/** Throws E_OPTION for a word that is none of the choices. */
export function choices<Choice extends string>(
  given: Arguments,
  name: string,
  allowed: readonly Choice[],
): readonly Choice[] | undefined {
  return words(given, name)?.map((word) => {
    const found = allowed.find((choice) => choice === word);
    if (found !== undefined) return found;
    throw new SpInferError("E_OPTION", `--${name}: ${JSON.stringify(word)} is not accepted`, {
      expected: allowed.join(", "),
    });
  });
}
