import { describe, expect, it } from "vitest";
import { isQuantizedConfig, tiedEmbeddings } from "../../src/model/index.ts";

describe("isQuantizedConfig", () => {
  it.each([
    [{ quantization_config: { quant_method: "gptq", bits: 4 } }, "gptq, 4 bits"],
    [{ quantization_config: { quant_method: "AWQ", w_bit: 4 } }, "awq, 4 bits"],
    [{ quantization_config: { quant_method: "fp8" } }, "fp8"],
    [{ quantization_config: { quant_method: "mxfp4" } }, "mxfp4"],
    [{ quantization_config: { load_in_4bit: true } }, "bitsandbytes, 4 bits"],
    [
      { quantization_config: { quant_method: "bitsandbytes", load_in_8bit: true } },
      "bitsandbytes, 8 bits",
    ],
    [{ compression_config: { quant_method: "compressed-tensors" } }, "compressed-tensors"],
    [{ text_config: { quantization_config: { quant_method: "gptq", bits: 3 } } }, "gptq, 3 bits"],
    [{ quantization_config: { anything: 1 } }, "an unnamed method"],
  ])("SH-14 names the method of %j", (config, method) => {
    expect(isQuantizedConfig(config)).toBe(method);
  });

  it.each([
    undefined,
    {},
    { quantization_config: null },
    { quantization_config: {} },
    { quantization_config: "gptq" },
    { quantization_config: { quant_method: "spinfer", format: "tile-bitmap" } },
    { text_config: [] },
  ])("SH-14 finds none in %j", (config) => {
    expect(isQuantizedConfig(config)).toBeUndefined();
  });

  it("SH-14 shows a hostile method name escaped and cut", () => {
    const config = { quantization_config: { quant_method: `\x1b[31m${"x".repeat(500)}` } };
    expect(isQuantizedConfig(config)).toMatch(/^\\u\{1b\}\[31mx+…$/);
    expect(isQuantizedConfig(config)).toHaveLength(60);
  });
});

describe("tiedEmbeddings", () => {
  const embedding = { name: "model.embed_tokens.weight", shape: [100, 8] };
  const head = { name: "lm_head.weight", shape: [100, 8] };

  it("SH-13 believes config.json", () => {
    expect(tiedEmbeddings({ tie_word_embeddings: true }, [embedding])).toEqual({
      tied: true,
      note: "the output matrix is the input embedding",
    });
    expect(tiedEmbeddings({ tie_word_embeddings: false }, [embedding, head])).toEqual({
      tied: false,
      head: "lm_head.weight",
      note: "the output matrix is a tensor of its own",
    });
    expect(tiedEmbeddings({ text_config: { tie_word_embeddings: true } }, [embedding]).tied).toBe(
      true,
    );
  });

  it("SH-13 says that a stored head of a tied model is a copy", () => {
    expect(tiedEmbeddings({ tie_word_embeddings: true }, [head, embedding])).toEqual({
      tied: true,
      head: "lm_head.weight",
      note: "the output matrix is the input embedding; lm_head.weight is a copy of it",
    });
  });

  it("SH-13 goes by the tensors where config.json says nothing", () => {
    expect(tiedEmbeddings({}, [embedding]).tied).toBe(true);
    expect(tiedEmbeddings(undefined, [embedding, head]).tied).toBe(false);
    expect(tiedEmbeddings({ tie_word_embeddings: "yes" }, [embedding, head]).tied).toBe(false);
  });
});
