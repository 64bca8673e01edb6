/** An error for people: what, what was expected and found, what to do, where to read more. */
import type { ErrorRecord } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import { paint } from "./style.ts";

/**
 *     error[E_ST_TRUNCATED]: model.safetensors: the file is cut short
 *       expected: 4,966,188,864 bytes
 *       found:    4,553,872,004 bytes
 *       fix:      fetch the file again
 *       docs:     spinfer help E_ST_TRUNCATED                        (exit 3)
 */
export function errorText(error: ErrorRecord, colour: boolean): string {
  const [first = "", ...more] = error.message.split("\n").map((line) => printable(line, 2000));
  const details: (readonly [string, string | null])[] = [
    ["expected", error.expected],
    ["found", error.found],
    ["fix", error.hint],
    ["docs", `spinfer help ${error.code}`],
  ];
  const rows = details.flatMap(([label, value]) => {
    if (value === null) return [];
    const shown = value.split("\n").map((line) => printable(line, 2000));
    return [`  ${`${label}:`.padEnd(9)} ${shown.join(`\n${" ".repeat(12)}`)}`];
  });
  const last = `${rows.pop()!.padEnd(66)}  (exit ${error.exit})`;
  const head = `${paint(`error[${error.code}]`, "bad", colour)}: ${first}`;
  return `${[head, ...more.map((line) => `  ${line}`), ...rows, last].join("\n")}\n`;
}
