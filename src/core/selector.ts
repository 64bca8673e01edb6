/**
 * Which tensors a recipe means. A pattern is one of
 *
 *   Linear            every linear layer (the word that llm-compressor recipes use)
 *   lm_head           a word without dots: the whole name, or the last part of the module's name
 *   model.norm        the exact name of a tensor or of its module (the name without ".weight")
 *   *.mlp.*_proj      `*` for any characters, `?` for one; the whole name
 *   re:.*down_proj    a regular expression, anchored at the start only, like Python's `re.match`
 *
 * Regular expressions come from strangers' recipes, so they run on RE2, whose time is linear in the
 * name; look-around and back-references, which RE2 has not, are refused.
 */
import { RE2JS } from "re2js";
import { SpInferError } from "./errors.ts";
import { printable } from "./text.ts";

const LONGEST_PATTERN = 1000;

/** RE2 unrolls counted repetition: (\w{100}){10} is a thousand steps in twelve characters. */
const MOST_STEPS = 3000;

export interface Pattern {
  readonly text: string;
  readonly kind: "linear" | "name" | "glob" | "regex";
  /**
   * Whether the tensor of that name is meant. "Linear" says yes to all: the caller offers it
   * linear layers only.
   */
  matches(tensorName: string): boolean;
}

/** Throws E_PATTERN when the text is empty, too long, or no regular expression of RE2. */
export function compilePattern(text: string): Pattern {
  if (text.trim() === "" || text.length > LONGEST_PATTERN) {
    throw new SpInferError(
      "E_PATTERN",
      `pattern "${printable(text, 60)}" has ${text.length} characters`,
      { expected: `1 to ${LONGEST_PATTERN} characters, not all spaces` },
    );
  }
  if (text === "Linear") return { text, kind: "linear", matches: () => true };
  if (text.startsWith("re:")) return { text, kind: "regex", matches: regexMatcher(text) };
  if (/[*?]/.test(text)) return { text, kind: "glob", matches: globMatcher(text) };
  return { text, kind: "name", matches: nameMatcher(text) };
}

/** One predicate for several patterns: true when any of them matches. */
export function compileSelector(patterns: readonly string[]): (name: string) => boolean {
  const compiled = patterns.map(compilePattern);
  return (name) => compiled.some((pattern) => pattern.matches(name));
}

/** "model.norm.weight" → "model.norm"; other names stay. */
export function moduleName(tensorName: string): string {
  return tensorName.endsWith(".weight") ? tensorName.slice(0, -".weight".length) : tensorName;
}

function nameMatcher(text: string): (name: string) => boolean {
  if (text.includes(".")) return (name) => name === text || moduleName(name) === text;
  return (name) => {
    const module = moduleName(name);
    return name === text || module.slice(module.lastIndexOf(".") + 1) === text;
  };
}

function globMatcher(text: string): (name: string) => boolean {
  const source = text.replace(/[\\^$.|+()[\]{}*?]/g, (char) => {
    if (char === "*") return ".*";
    return char === "?" ? "." : `\\${char}`;
  });
  const regex = RE2JS.compile(`\\A(?:${source})\\z`, RE2JS.DOTALL);
  return (name) => regex.test(name) || regex.test(moduleName(name));
}

function regexMatcher(text: string): (name: string) => boolean {
  const source = text.slice("re:".length);
  if (source === "") {
    throw new SpInferError("E_PATTERN", 'pattern "re:" is empty', {
      hint: "write re:.* for every name",
    });
  }
  const steps = patternSteps(text);
  if (steps > MOST_STEPS) {
    throw new SpInferError(
      "E_PATTERN",
      `pattern "${printable(text)}" unrolls to about ${steps} steps`,
      { expected: `at most ${MOST_STEPS}`, hint: "use smaller counts in {}, or + and *" },
    );
  }
  const alone = compileRegex(source, text);
  if (source.includes("\\Q")) {
    // \Q may quote to the end, and would quote what is put behind it
    return (name) => alone.matcher(name).lookingAt() || alone.matcher(moduleName(name)).lookingAt();
  }
  let anchored: RE2JS | undefined; // made when first used: a recipe that is only checked needs none
  return (name) => {
    anchored ??= RE2JS.compile(`\\A(?:${source})`); // several times faster than `lookingAt`
    return anchored.test(name) || anchored.test(moduleName(name));
  };
}

/**
 * The expression by itself: "a)(?:b" must not become valid by what is put around it. Throws
 * E_PATTERN; `text` is the whole pattern, for the message.
 */
function compileRegex(source: string, text: string): RE2JS {
  try {
    return RE2JS.compile(source);
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new SpInferError(
      "E_PATTERN",
      `pattern "${printable(text)}" is not a regular expression: ${printable(reason.replace(/^error parsing regexp: /, ""))}`,
      {
        expected: "the syntax of RE2, which has no look-around and no back-references",
        cause: thrown,
      },
    );
  }
}

/** At least the number of steps that compiling a pattern takes, from its counts of `{n}` and `{n,m}`. */
export function patternSteps(text: string): number {
  let steps = text.length;
  if (!text.startsWith("re:")) return steps;
  for (const [, group, least = "", most = ""] of text.matchAll(/(\)?)\{(\d+)(?:,(\d*))?\}/g)) {
    const count = Math.max(1, Number(least), Number(most));
    // a group may hold everything before it
    steps = group === ")" ? steps * count : steps + count;
  }
  return steps;
}
