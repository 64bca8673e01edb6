/** A file of float32 values, written and read in pieces: what does not fit in memory. */
import { existsSync } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { SpInferError, toSpInferError } from "../core/errors.ts";
import { writeFully } from "./atomicFile.ts";

export class FloatFile {
  readonly path: string;
  private handle: Promise<FileHandle> | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** `at` and lengths are in values. */
  async write(values: Float32Array, at: number): Promise<void> {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    await this.use(async (handle) => await writeFully(handle, bytes, 4 * at));
  }

  /** Throws E_SOURCE_CHANGED when the file ends too soon. */
  async read(at: number, count: number): Promise<Float32Array> {
    const values = new Float32Array(count);
    const bytes = new Uint8Array(values.buffer);
    await this.use(async (handle) => {
      for (let done = 0; done < bytes.length; ) {
        const { bytesRead } = await handle.read(bytes, done, bytes.length - done, 4 * at + done);
        if (bytesRead === 0) {
          throw new SpInferError("E_SOURCE_CHANGED", `${this.path}: the file is cut short`, {
            path: this.path,
            hint: "start again with --restart",
          });
        }
        done += bytesRead;
      }
    });
    return values;
  }

  async close(): Promise<void> {
    const { handle } = this;
    this.handle = undefined;
    await (await handle?.catch(() => undefined))?.close(); // whoever opened it has been told
  }

  async delete(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true });
  }

  private async use(work: (handle: FileHandle) => Promise<void>): Promise<void> {
    try {
      this.handle ??= open(this.path, existsSync(this.path) ? "r+" : "w+");
      await work(await this.handle);
    } catch (error) {
      throw toSpInferError(error, { path: this.path });
    }
  }
}
