/** What the schema found, at its place in the text and in our words. */
import type { z } from "zod";
import type { ErrorCode } from "../../core/errorCodes.ts";
import { nearest, printable } from "../../core/text.ts";
import type { Path, RecipeDocument } from "./document.ts";
import type { Problem } from "./problem.ts";
import { RECIPE_KEYS } from "./schema.ts";
import { describe, wrongItem, wrongValue } from "./sentences.ts";

/** Near misses are looked for among few keys, and for few unknown ones. */
const MOST_UNKNOWN = 100;

export function problemsOf(
  issues: readonly z.core.$ZodIssue[],
  document: RecipeDocument,
): Problem[] {
  const found = issues.flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.slice(0, MOST_UNKNOWN).map((key) => unknownKey(issue.path, key, document))
      : [wrong(issue.path, document)],
  );
  // a value that fails two rules is one problem
  return [
    ...new Map(found.map((problem) => [`${problem.offset} ${problem.message}`, problem])).values(),
  ];
}

/** The part of the schema that a path leads to. */
function sectionOf(path: Path): keyof typeof RECIPE_KEYS {
  if (path[1] === "overrides" && path.length >= 2) return "overrides";
  const [section] = path;
  const named = ["prune", "calibration", "evaluation", "convert"] as const;
  return named.find((name) => name === section) ?? "";
}

function unknownKey(path: Path, key: string, document: RecipeDocument): Problem {
  const section = sectionOf(path);
  const shown = `unknown key "${printable(key, 60)}"`;
  const own = RECIPE_KEYS[section];
  const close = nearest(key, own);
  const home = Object.entries(RECIPE_KEYS).find(([, keys]) => keys.includes(key));
  let message = shown;
  let hint: string | undefined =
    `keys ${section === "" ? "at the top" : `of ${section}`}: ${own.join(", ")}`;
  if (home !== undefined) {
    message = `${shown}, ${home[0] === "" ? "it stands at the top level" : `it belongs under ${home[0]}`}`;
  } else if (close !== undefined) {
    message = `${shown}, did you mean "${close}"?`;
    hint = `write ${close}`;
  }
  return {
    code: "E_RECIPE_UNKNOWN_KEY",
    message,
    offset: document.locate([...path, key]).key,
    hint,
  };
}

function wrong(path: Path, document: RecipeDocument): Problem {
  const code: ErrorCode = "E_RECIPE_VALUE";
  const offset = document.locate(path).value;
  if (path.length === 0) {
    const found =
      document.value === null ? "the recipe is empty" : `the recipe is ${describe(document.value)}`;
    return { code, message: `${found}, expected a mapping that begins with version: 1`, offset };
  }
  const { found, value } = valueAt(document.value, path);
  const key = String(path.at(-1));
  if (!found) {
    const around = path.slice(0, -1);
    const fix = key === "version" ? "version: 1" : `${key}: …`;
    return {
      code,
      message: `key "${key}" is missing, write ${fix}`,
      offset: document.locate(around).value,
    };
  }
  if (typeof path.at(-1) === "number") {
    const list = String(path.at(-2));
    const message =
      list === "overrides"
        ? `an item of overrides is ${describe(value)}, expected a mapping with targets`
        : wrongItem(list, value);
    return { code, message, offset };
  }
  if (key === "version" && typeof value === "number" && value > 1) {
    const message = `recipe version ${value} is newer than this SpInfer, which knows version 1`;
    return { code, message, offset };
  }
  return { code, message: wrongValue(key, value), offset };
}

function valueAt(root: unknown, path: Path): { readonly found: boolean; readonly value?: unknown } {
  let value = root;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) {
      return { found: false };
    }
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return { found: true, value };
}
