/** Side files that are made and not copied. */
import type { SideFile } from "../../src/core/archive.ts";

export function textFile(name: string, text: string): SideFile {
  return { name, content: { from: "bytes", bytes: new TextEncoder().encode(text) } };
}

export function jsonFile(name: string, value: unknown): SideFile {
  return textFile(name, `${JSON.stringify(value, null, 2)}\n`);
}
