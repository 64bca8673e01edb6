/** Hidden states between two blocks are the same from memory and from their file. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { HiddenStates } from "../../src/eval/calibration/hiddenStates.ts";
import { temporaryFolder } from "../helpers/models.ts";

const values = Float32Array.from({ length: 96 }, (_, i) => Math.sin(i));

describe.each([
  ["in memory", 4 * values.length],
  ["beyond the memory that they may take", 4 * values.length - 1],
])("hidden states %s", (_, memoryBytes) => {
  const place = (folder: string) => ({ folder, prefix: "main", memoryBytes });

  it("are read as they were written, in those pieces and in others", async () => {
    const states = new HiddenStates(place(temporaryFolder()), 3, values.length);
    for (let at = 0; at < values.length; at += 32) {
      await states.write(values.slice(at, at + 32), at);
    }
    for (const [at, count] of [
      ...[0, 32, 64].map((begin) => [begin, 32] as const),
      ...([
        [0, 96],
        [16, 40],
        [95, 1],
      ] as const),
    ]) {
      expect([...(await states.read(at, count))]).toEqual([...values.slice(at, at + count)]);
    }
    await states.delete();
    expect(existsSync(states.path)).toBe(false);
  });

  it("are there for a run that goes on, and an error where their file is cut short", async () => {
    const folder = temporaryFolder();
    const before = new HiddenStates(place(folder), 3, values.length);
    await before.write(values.slice(), 0);
    await before.close();
    const after = new HiddenStates(place(folder), 3, values.length);
    expect([...(await after.read(8, 8))]).toEqual([...values.slice(8, 16)]);
    await expect(after.read(90, 32)).rejects.toMatchObject({ code: "E_SOURCE_CHANGED" });
    await after.close();
  });
});
