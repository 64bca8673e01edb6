/** Windows that no test of logits reaches, because its texts are shorter. */
import { describe, expect, it } from "vitest";
import { Settings } from "../../src/model/architectures/settings.ts";
import { readWindows, windowSize } from "../../src/model/architectures/windows.ts";

describe("sliding_window in config.json", () => {
  it.each([
    [{}, 4096],
    [{ sliding_window: null }, undefined],
    [{ sliding_window: 128 }, 128],
  ])("%j is a window of %s", (config, size) => {
    expect(windowSize(new Settings(config))).toBe(size);
    const windows = readWindows(new Settings(config), (block) => block === 1);
    expect([windows(0), windows(1)]).toEqual([undefined, size]);
  });

  it("is what transformers takes for Mistral, Gemma 2 and 3 without it", () => {
    const config = { num_hidden_layers: 2, layer_types: ["sliding_attention", "full_attention"] };
    const windows = readWindows(new Settings(config), () => true);
    expect([windows(0), windows(1)]).toEqual([4096, undefined]);
  });
});
