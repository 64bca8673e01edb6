import { createHash } from "node:crypto";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openTextSet } from "../../src/eval/textSet.ts";
import { temporaryFolder } from "../helpers/models.ts";

const sha256 = (content: string | Uint8Array): string =>
  createHash("sha256").update(content).digest("hex");

/** A file in a folder that is gone after the test. */
function file(name: string, content: string | Uint8Array): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, content);
  return path;
}

const open = (path: string, field?: string) => openTextSet(path, { field, limitBytes: 1000 });

describe("a text set", () => {
  it("of a plain file is its bytes as they are", async () => {
    const text = "\ufeffOne\r\nzwei 𝟙\n\n";
    const path = file("a.txt", text);
    expect(await open(path)).toEqual({
      path,
      kind: "file",
      field: undefined,
      files: [{ path, bytes: Buffer.byteLength(text), sha256: sha256(text) }],
      documents: 1,
      text,
      sha256: sha256(text),
    });
  });

  it("of JSON lines is their texts, joined as the papers join the rows of WikiText-2", async () => {
    const rows = ["", " = Title = \n", "", " Text . \n"];
    const path = file("rows.jsonl", rows.map((text) => `${JSON.stringify({ text })}\n`).join("\n"));
    const set = await open(path);
    expect(set).toMatchObject({ kind: "jsonl", field: "text", documents: 4 });
    expect(set.text).toBe(rows.join("\n\n"));
    expect(set.sha256).toBe(sha256(rows.join("\n\n")));
    expect(set.files[0]!.sha256).not.toBe(set.sha256);
  });

  it("takes another field, and any name with it", async () => {
    const path = file("rows.json", '{"body":"a","text":"x"}\r\n{"body":"b"}');
    expect((await open(path, "body")).text).toBe("a\n\nb");
  });

  it("of a folder is its .txt files in the order of their names' bytes", async () => {
    const folder = temporaryFolder();
    for (const name of ["b.txt", "B.txt", "é.txt", "10.txt", "9.txt", "c.md"])
      writeFileSync(join(folder, name), name);
    mkdirSync(join(folder, "a.txt"));
    const set = await open(folder);
    expect(set.text).toBe(["10.txt", "9.txt", "B.txt", "b.txt", "é.txt"].join("\n\n"));
    expect(set).toMatchObject({ kind: "folder", documents: 5 });
    expect(set.files.map(({ sha256: hash }) => hash)).toEqual(
      set.text.split("\n\n").map((name) => sha256(name)),
    );
  });
});

describe("a text set that cannot be used", () => {
  it.each<[string, string, string | Uint8Array, string | undefined, string]>([
    ["no UTF-8", "a.txt", Uint8Array.of(97, 98, 0xe4, 99), undefined, "byte 2 is not UTF-8"],
    ["nothing", "a.txt", "", undefined, "there is no text in it"],
    ["white space", "a.txt", " \n\n", undefined, "there is no text in it"],
    ["no lines", "a.jsonl", "", undefined, "there is no text in it"],
    [
      "a line that is not JSON",
      "a.jsonl",
      '{"text":"a"}\n{"text":',
      undefined,
      "line 2 is not JSON",
    ],
    ["a line that is a list", "a.jsonl", '["a"]', undefined, "line 1 is not a JSON object"],
    ["another field", "a.jsonl", '\n{"txet":"a"}', undefined, 'line 2 has no field "text"'],
    ["a number", "a.jsonl", '{"text":1}', undefined, 'line 1: "text" is no text'],
    [
      "a field of every object",
      "a.jsonl",
      "{}",
      "constructor",
      'line 1 has no field "constructor"',
    ],
    ["half a pair", "a.jsonl", '{"text":"\\ud800"}', undefined, "line 1: half of a surrogate pair"],
  ])("because of %s", async (_, name, content, field, message) => {
    const path = file(name, content);
    await expect(open(path, field)).rejects.toMatchObject({
      code: "E_TEXT",
      message: `${path}: ${message}`,
    });
  });

  it("says what to do about bytes and lines of another kind", async () => {
    const other: [string, string | Uint8Array, string | undefined, string][] = [
      ["a.txt", Uint8Array.of(0xff), undefined, "iconv"],
      ["a.txt", "plain", "text", "without --field"],
    ];
    for (const [name, content, field, hint] of other)
      await expect(open(file(name, content), field)).rejects.toMatchObject({
        detail: { hint: expect.stringContaining(hint) },
      });
  });

  it("says which field there is", async () => {
    await expect(open(file("a.jsonl", '{"txet":"a"}'))).rejects.toMatchObject({
      detail: { hint: "write --field txet" },
    });
  });

  it("because the folder has none", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "a.md"), "text");
    await expect(open(folder)).rejects.toMatchObject({
      code: "E_TEXT",
      message: `${folder}: the folder has no .txt file`,
    });
    writeFileSync(join(folder, "a.txt"), "text");
    await expect(open(folder, "text")).rejects.toMatchObject({ code: "E_TEXT" });
  });

  it("because it is more than the limit", async () => {
    await expect(open(file("a.txt", "a".repeat(1001)))).rejects.toMatchObject({
      code: "E_LIMIT",
      exit: 12,
    });
    expect((await open(file("a.txt", "a".repeat(1000)))).text).toHaveLength(1000);
  });

  it("because it is not there, or no file", async () => {
    await expect(open("/nowhere/a.txt")).rejects.toMatchObject({ code: "E_IO" });
    if (process.platform === "win32") return;
    const folder = temporaryFolder();
    symlinkSync("/dev/zero", join(folder, "a.txt"));
    await expect(open(folder)).rejects.toMatchObject({ code: "E_NOT_REGULAR" });
  });
});
