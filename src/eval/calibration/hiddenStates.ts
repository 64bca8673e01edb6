/**
 * Hidden states of all windows between two blocks. They are written to a file after every block, so
 * that a killed calibration goes on from there, and kept in memory as well where they fit.
 */
import { join } from "node:path";
import { FloatFile } from "../../io/floatFile.ts";

export interface HiddenPlace {
  readonly folder: string;
  /** What the names of files begin with. */
  readonly prefix: string;
  /** Bytes that may be kept in memory. */
  readonly memoryBytes: number;
}

/** The file of a block's input. */
export function hiddenPath({ folder, prefix }: HiddenPlace, block: number): string {
  return join(folder, `${prefix}-hidden-${block}`);
}

export class HiddenStates {
  readonly path: string;
  private readonly file: FloatFile;
  /** Values that are kept in memory; 0 where they do not all fit. */
  private readonly size: number;
  private kept: Float32Array | undefined;
  /** What was written from the beginning on, and can be read from memory. */
  private written = 0;

  /**
   * `block`: whose input they are; `values`: how many there are in all. `memory`: what others have
   * released, to be used again.
   */
  constructor(place: HiddenPlace, block: number, values: number, memory?: Float32Array) {
    this.path = hiddenPath(place, block);
    this.file = new FloatFile(this.path);
    this.size = 4 * values <= place.memoryBytes ? values : 0;
    this.kept = memory;
  }

  async write(values: Float32Array, at: number): Promise<void> {
    if (at === this.written && this.size > 0) {
      this.kept ??= new Float32Array(this.size);
      this.kept.set(values, at);
      this.written += values.length;
    }
    await this.file.write(values, at);
  }

  /** Not to be changed. */
  async read(at: number, count: number): Promise<Float32Array> {
    return at + count <= this.written
      ? this.kept!.subarray(at, at + count)
      : await this.file.read(at, count);
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  /** Gives up the memory that they are kept in. */
  release(): Float32Array | undefined {
    const { kept } = this;
    this.kept = undefined;
    this.written = 0;
    return kept;
  }

  async delete(): Promise<void> {
    this.release();
    await this.file.delete();
  }
}
