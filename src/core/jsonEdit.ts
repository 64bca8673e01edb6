/**
 * Changes top-level keys of a JSON text and leaves the text of all others as it is: key order,
 * 1e-05, 10000.0 and Infinity survive, which parsing and writing anew would change.
 */
import { JsonCursor } from "./jsonCursor.ts";
import { JsonError } from "./jsonError.ts";
import { printable } from "./text.ts";

/**
 * The text of the object in `bytes` with each key of `changes` set to its value, or taken away
 * where that is undefined. New keys come last. Throws JsonError unless it is a JSON object with
 * no key twice (NaN and Infinity are accepted).
 */
export function editJsonObject(
  bytes: Uint8Array,
  changes: Readonly<Record<string, unknown>>,
): string {
  const { before, members, behind } = topLevel(bytes);
  // white space behind "{" is how the writer separates members; an empty object has none to show
  const gap = members.size === 0 ? "\n  " : before.slice(before.lastIndexOf("{") + 1);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) members.delete(key);
    else members.set(key, memberText(key, value, gap));
  }
  const head = before.slice(0, before.lastIndexOf("{") + 1);
  const body = [...members.values()].join(`,${gap}`);
  return body === "" ? `${head}}\n` : head + gap + body + behind;
}

function topLevel(bytes: Uint8Array): {
  readonly before: string;
  readonly members: Map<string, string>;
  readonly behind: string;
} {
  const cursor = new JsonCursor(bytes, { nonFinite: true });
  const text = (begin: number, end?: number) =>
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8", begin, end);
  const members = new Map<string, string>();
  let first: number | undefined;
  let last = 0;
  cursor.object((key, keyOffset) => {
    if (members.has(key)) {
      throw new JsonError("duplicate", keyOffset, `key "${printable(key, 80)}" is there twice`);
    }
    first ??= keyOffset;
    cursor.skip();
    last = cursor.position;
    members.set(key, text(keyOffset, last));
  });
  cursor.end();
  if (first === undefined) return { before: "{", members, behind: "\n}\n" };
  return { before: text(0, first), members, behind: text(last) };
}

function memberText(key: string, value: unknown, gap: string): string {
  const lineBreak = gap.lastIndexOf("\n");
  if (lineBreak === -1) return `${JSON.stringify(key)}: ${JSON.stringify(value)}`;
  const indent = gap.slice(lineBreak + 1);
  const text = JSON.stringify(value, null, indent === "" ? 2 : indent);
  return `${JSON.stringify(key)}: ${text.replaceAll("\n", `\n${indent}`)}`;
}
