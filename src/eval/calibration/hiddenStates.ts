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
  private readonly kept: Map<number, Float32Array> | undefined;

  /** `block`: whose input they are; `values`: how many there are in all. */
  constructor(place: HiddenPlace, block: number, values: number) {
    const { memoryBytes } = place;
    this.path = hiddenPath(place, block);
    this.file = new FloatFile(this.path);
    this.kept = 4 * values <= memoryBytes ? new Map() : undefined;
  }

  async write(values: Float32Array, at: number): Promise<void> {
    this.kept?.set(at, values);
    await this.file.write(values, at);
  }

  /** In the pieces in which they were written, or from the file. */
  async read(at: number, count: number): Promise<Float32Array> {
    const kept = this.kept?.get(at);
    return kept?.length === count ? kept : await this.file.read(at, count);
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  async delete(): Promise<void> {
    this.kept?.clear();
    await this.file.delete();
  }
}
