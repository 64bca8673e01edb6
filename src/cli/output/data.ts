/** Results for programs: JSON, JSON lines, CSV. */
import { printable } from "../../core/text.ts";
import type { Cell, Table } from "./document.ts";

/**
 * JSON whose text a terminal shows as it is: control, format and separator characters, which JSON
 * allows raw in part, are written as escapes.
 */
export function jsonText(value: unknown, indent: number): string {
  return JSON.stringify(value, undefined, indent).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) =>
    char === "\n" ? char : escapeUnits(char),
  );
}

function escapeUnits(char: string): string {
  let text = "";
  for (let i = 0; i < char.length; i++)
    text += `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`;
  return text;
}

/** One object a row, each with its schema. */
export function jsonLines(table: Table, command: string): string {
  return table.rows
    .map((row) => {
      const cells = table.columns.map(({ key }) => [key, row[key] ?? null] as const);
      return `${jsonText({ schema: "spinfer.row/1", command, ...Object.fromEntries(cells) }, 0)}\n`;
    })
    .join("");
}

/** RFC 4180 with \n at the end of lines; the first line names the columns. */
export function csv({ columns, rows }: Table): string {
  const line = (cells: readonly Cell[]): string => `${cells.map(csvCell).join(",")}\n`;
  return [
    line(columns.map(({ key }) => key)),
    ...rows.map((row) => line(columns.map(({ key }) => row[key] ?? null))),
  ].join("");
}

function csvCell(value: Cell): string {
  if (value === null) return "";
  if (typeof value !== "string") return String(value);
  const text = printable(value, 100_000);
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
