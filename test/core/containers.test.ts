import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { recogniseContainer, refuseContainer } from "../../src/core/containers.ts";
import { createRandom } from "../helpers/random.ts";
import { parseFile, rawSafetensors, refusal, u8 } from "../helpers/safetensorsFile.ts";

const latin1 = (text: string) => Buffer.from(text, "latin1");

/** The local header of the first file in a zip archive. */
function zip(member: string): Uint8Array {
  const header = Buffer.alloc(30);
  header.write("PK\x03\x04", "latin1");
  header.writeUInt16LE(Buffer.byteLength(member), 26);
  return Buffer.concat([header, Buffer.from(member), Buffer.alloc(64)]);
}

function tar(): Uint8Array {
  const block = Buffer.alloc(512);
  block.write("pickle");
  block.write("ustar", 257);
  return block;
}

/** A pickle that would run a command if anything loaded it. */
const EVIL = "cos\nsystem\n(S'touch /tmp/spinfer-was-here'\ntR.";

const KINDS: readonly (readonly [string, string, Uint8Array])[] = [
  ["PK-01", "zip-pickle", zip("archive/data.pkl")],
  ["PK-01", "zip-pickle", zip("pytorch_model/data/0")],
  ["PK-03 TorchScript", "zip-pickle", zip("model/code/__torch__.py")],
  ["PK-02 protocol 2", "pickle", latin1("\x80\x02}q\x00.")],
  ["PK-02 protocol 3", "pickle", latin1("\x80\x03cos\nsystem\n.")],
  ["PK-02 protocol 4", "pickle", latin1("\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94.")],
  ["PK-02 protocol 5", "pickle", latin1("\x80\x05\x95\x0b\0\0\0\0\0\0\0}\x94.")],
  ["PK-02 protocol 0", "pickle", latin1(EVIL)],
  ["PK-02 protocol 0, a dictionary", "pickle", latin1("(dp0\nS'a'\n.")],
  ["PK-02 protocol 1", "pickle", latin1("}q\x00.")],
  [
    "PK-03 stacked, PyTorch before 1.6",
    "pickle",
    latin1("\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."),
  ],
  ["PK-03 tar, PyTorch before 0.1.10", "tar", tar()],
  ["PK-04", "npz", zip("weights/layer0.npy")],
  ["PK-04", "npy", latin1("\x93NUMPY\x01\x00v\x00{'descr': '<f4'}")],
  ["PK-04", "hdf5", latin1("\x89HDF\r\n\x1a\n\0\0")],
  ["PK-04", "msgpack", latin1("\x82\xa6params\x81\xa1w\x90")],
  ["PK-04", "msgpack", latin1("\xde\x00\x12\xd9\x28model/decoder")],
  ["PK-04", "onnx", latin1("\x08\x08\x12\x07pytorch\x1a\x052.0.0")],
  ["PK-04", "onnx", latin1("\x08\x0a:\xa3\x05\x0a")],
  ["PK-04", "gzip", gzipSync("weights")],
  ["PK-04", "zip", zip("readme.txt")],
  ["PK-04", "zip", latin1(`PK\x05\x06${"\0".repeat(18)}`)],
  ["PK-04", "gguf", latin1("GGUF\x03\x00\x00\x00")],
  ["PK-04", "ggml", latin1("tjgg\x03\x00\x00\x00")],
  ["PK-04", "tflite", latin1("\x1c\x00\x00\x00TFL3")],
  ["PK-04", "compressed", latin1("\x28\xb5\x2f\xfd\x04")],
  ["ST-28", "git-lfs pointer", latin1("version https://git-lfs.github.com/spec/v1\noid sha256:0")],
  ["ST-28", "html", latin1("\n <!DOCTYPE HTML>")],
  ["ST-28", "html", latin1("\xef\xbb\xbf<html lang=en>")],
  ["ST-28", "json", latin1('{"error": "Invalid credentials"}')],
];

describe("recogniseContainer", () => {
  it.each(KINDS)("%s: knows %s by its first bytes", (_, kind, bytes) => {
    expect(recogniseContainer(bytes)).toMatchObject({ kind });
  });

  it("knows nothing of empty, short, random or safetensors files", () => {
    const random = createRandom(1);
    expect(recogniseContainer(new Uint8Array())).toBeUndefined();
    expect(recogniseContainer(Uint8Array.of(0x80))).toBeUndefined();
    expect(recogniseContainer(rawSafetensors({ a: u8(0, 4) }, 4))).toBeUndefined();
    const named = Array.from({ length: 1000 }, () => recogniseContainer(random.bytes(512)));
    expect(named.filter((container) => container !== undefined).length).toBeLessThan(10);
  });
});

describe("refusals", () => {
  it.each(["zip-pickle", "pickle"])("PK-01 never opens a pickle: %s", (kind) => {
    const container = recogniseContainer(KINDS.find((item) => item[1] === kind)![2])!;
    const error = refuseContainer("pytorch_model.bin", container);
    expect(error).toMatchObject({ code: "E_PICKLE", exit: 3, detail: { found: kind } });
    expect(error.message).toMatch(
      /^pytorch_model\.bin: the file is .*; SpInfer never opens pickles$/,
    );
    expect(error.detail.hint).toContain("weights_only=True");
  });

  it("PK-04 lists what can be read", () => {
    const error = refuseContainer("x.h5", recogniseContainer(latin1("\x89HDF\r\n\x1a\n"))!);
    expect(error).toMatchObject({ code: "E_CONTAINER", exit: 3 });
    expect(error.message).toBe("x.h5: the file is an HDF5 file (Keras)");
    expect(error.detail.hint).toBe("SpInfer reads safetensors (a file or a model folder) and GGUF");
  });

  it.each(KINDS)("%s: %s named .safetensors is refused by its kind", async (_, kind, bytes) => {
    const error = await refusal(() => parseFile(bytes));
    expect(error).toMatchObject({ code: "E_NOT_SAFETENSORS", detail: { found: kind } });
    expect(error.detail.hint).toBeTruthy();
  });
});
