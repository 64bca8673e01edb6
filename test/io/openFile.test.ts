/** Files as they are met: pipes, devices, links, replaced ones, and models in the Hugging Face cache. */
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { locateModel } from "../../src/io/modelLocation.ts";
import { closeFiles, fileSource, readInto } from "../../src/io/openFile.ts";
import { inspectModel } from "../../src/pipeline/inspect.ts";
import { openModel } from "../../src/pipeline/openModel.ts";
import { llama, temporaryFolder, writeModel } from "../helpers/models.ts";
import { refusal } from "../helpers/safetensorsFile.ts";

const onWindows = process.platform === "win32";

afterEach(() => {
  vi.unstubAllEnvs();
  closeFiles();
});

describe.skipIf(onWindows)("PA-01 what is no regular file", () => {
  test("a pipe, a socket, a device or a folder is refused at once", async () => {
    const folder = temporaryFolder();
    execFileSync("mkfifo", [join(folder, "pipe.safetensors")]);
    mkdirSync(join(folder, "folder.safetensors"));
    const socket = join(folder, "socket.safetensors");
    const server = createServer().listen(socket);
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once("listening", resolve));
    const expected = {
      "pipe.safetensors": "pipe",
      "socket.safetensors": "socket",
      "folder.safetensors": "folder",
    };
    for (const [name, found] of Object.entries(expected)) {
      const error = await refusal(() => fileSource(join(folder, name)));
      expect(error.code, name).toBe("E_NOT_REGULAR");
      expect(error.detail.found).toContain(found);
    }
    expect((await refusal(() => openModel("/dev/zero"))).code).toBe("E_NOT_REGULAR");
    expect((await refusal(() => openModel(join(folder, "pipe.safetensors")))).code).toBe(
      "E_NOT_REGULAR",
    );
  });

  test("as a shard of a model is refused too", async () => {
    const model = writeModel(join(temporaryFolder(), "model"), { ...llama(), shardBytes: 50_000 });
    const name = readdirSync(model).find((file) => file.startsWith("model-00002"))!;
    const shard = join(model, name);
    renameSync(shard, `${shard}.aside`);
    execFileSync("mkfifo", [shard]);
    const error = await refusal(() => openModel(model));
    expect(error.code).toBe("E_NOT_REGULAR");
    expect(error.message).toContain("model-00002");
  });
});

describe.skipIf(onWindows)("links", () => {
  test("PA-02 out of the model folder are refused, and followed when asked for", async () => {
    const folder = temporaryFolder();
    const model = writeModel(join(folder, "model"), llama());
    renameSync(join(model, "model.safetensors"), join(folder, "secret"));
    symlinkSync("../secret", join(model, "model.safetensors"));
    const error = await refusal(() => openModel(model));
    expect(error.code).toBe("E_PATH_ESCAPE");
    expect(error.detail.hint).toContain("--follow-symlinks");
    expect((await openModel(model, { followSymlinks: true })).archive.entries.length).toBe(21);
  });

  test("PA-02 within the model folder are followed", async () => {
    const model = writeModel(join(temporaryFolder(), "model"), llama());
    renameSync(join(model, "model.safetensors"), join(model, "weights"));
    symlinkSync("weights", join(model, "model.safetensors"));
    expect((await openModel(model)).archive.entries.length).toBe(21);
  });

  test("PA-03 in a circle, or to nothing, are clear errors", async () => {
    const folder = temporaryFolder();
    const model = writeModel(join(folder, "model"), llama());
    const file = join(model, "model.safetensors");
    renameSync(file, join(folder, "aside"));
    symlinkSync("model.safetensors", file);
    expect((await refusal(() => openModel(model))).message).toContain("ELOOP");
    renameSync(file, join(folder, "circle"));
    symlinkSync("nowhere", file);
    const dangling = await refusal(() => openModel(model));
    expect(dangling.code).toBe("E_SHARD_MISSING");
    expect(dangling.message).toContain("model.safetensors");
  });
});

describe.skipIf(onWindows)("the Hugging Face cache", () => {
  /** A cache as huggingface_hub lays it out: snapshots of links into blobs. */
  function fakeCache(): { cache: string; commit: string } {
    const cache = join(temporaryFolder(), "hub");
    const repo = join(cache, "models--some-org--some-model");
    const commit = "0123456789abcdef0123456789abcdef01234567";
    const snapshot = writeModel(join(repo, "snapshots", commit), llama());
    mkdirSync(join(repo, "blobs"));
    mkdirSync(join(repo, "refs"));
    writeFileSync(join(repo, "refs", "main"), commit);
    for (const [i, name] of ["config.json", "model.safetensors"].entries()) {
      renameSync(join(snapshot, name), join(repo, "blobs", `blob${i}`));
      symlinkSync(`../../blobs/blob${i}`, join(snapshot, name));
    }
    vi.stubEnv("HF_HUB_CACHE", cache);
    return { cache, commit };
  }

  test("PA-02 holds models by name, whose links lead to the same repository's blobs", async () => {
    const { commit } = fakeCache();
    const opened = await openModel("some-org/some-model");
    expect(opened.location.cached).toBe(`some-org/some-model@${commit}`);
    expect(opened.archive.entries.length).toBe(21);
    expect((await openModel(`some-org/some-model@${commit}`)).archive.entries.length).toBe(21);
  });

  test("PA-02 a link to another repository's blobs is refused", async () => {
    const { cache, commit } = fakeCache();
    const foreign = join(cache, "models--some-org--other", "blobs");
    mkdirSync(foreign, { recursive: true });
    const file = join(
      cache,
      "models--some-org--some-model",
      "snapshots",
      commit,
      "model.safetensors",
    );
    writeFileSync(join(foreign, "x"), readFileSync(file));
    renameSync(file, join(cache, "aside"));
    symlinkSync(join(foreign, "x"), file);
    expect((await refusal(() => openModel("some-org/some-model"))).code).toBe("E_PATH_ESCAPE");
  });

  test("PA-10 what is not in it is never downloaded; the command that does it is told", async () => {
    fakeCache();
    const error = await refusal(() => openModel("some-org/another@v2"));
    expect(error).toMatchObject({ code: "E_NOT_IN_CACHE", exit: 11 });
    expect(error.detail.hint).toContain("hf download some-org/another --revision v2");
    for (const name of ["some-org/some-model@../../etc", "../x/y", "some-org/.."])
      expect(["E_NOT_IN_CACHE", "E_MODEL_NOT_FOUND"]).toContain(
        (await refusal(() => locateModel(name))).code,
      );
  });
});

describe("a file that changes", () => {
  test("between two openings is read anew", async () => {
    const folder = temporaryFolder();
    const model = writeModel(join(folder, "model"), llama({ layers: 1 }));
    expect((await inspectModel(model, { threads: 0 })).tensors.length).toBe(12);
    const other = writeModel(join(folder, "other"), llama({ layers: 2 }));
    for (const name of ["config.json", "model.safetensors"])
      renameSync(join(other, name), join(model, name));
    expect((await inspectModel(model, { threads: 0 })).tensors.length).toBe(21);
  });

  test("WR-11 and ends before what is read of it says so, with the byte", async () => {
    const path = join(temporaryFolder(), "file");
    writeFileSync(path, "0123456789");
    const source = fileSource(path);
    truncateSync(path, 4);
    const error = await refusal(() => source.read(2, 8));
    expect(error.code).toBe("E_SOURCE_CHANGED");
    expect(error.detail.offset).toBe(4);
    appendFileSync(path, "456789");
    expect(Buffer.from(await source.read(2, 8)).toString()).toBe("234567");
  });

  test("more files than the pool keeps open are all read right", () => {
    const folder = temporaryFolder();
    const paths = Array.from({ length: 50 }, (_, i) => join(folder, `${i}`));
    for (const [i, path] of paths.entries()) writeFileSync(path, Uint8Array.of(i));
    const byte = new Uint8Array(1);
    for (let round = 0; round < 3; round++) {
      for (const [i, path] of paths.entries()) {
        readInto(path, 0, byte);
        expect(byte[0]).toBe(i);
      }
    }
  });
});
